"""The command line as a whole: parsing, help, and suggestions for what is misspelt."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from tl_app import __version__
from tl_app.cli.verbs import VERBS
from tl_app.errors import ConfigError, did_you_mean

DESCRIPTION = "From pictures or texts to a fine-tuned, evaluated, exported classifier."

EXAMPLES = """\
examples:
  tl-app train photos/                     one sub-folder a class
  tl-app audit photos/                     what is wrong with the data
  tl-app train mail.csv                    a text and a label column
  tl-app predict models/RUN new.jpg        label and probability
  tl-app evaluate models/RUN other/        how it does on other labelled pictures
  tl-app compare models/OLD models/NEW     whether the new one is not worse
  tl-app export models/RUN served/flowers  a SavedModel for TensorFlow Serving
  tl-app serve served/flowers              answers over HTTP
  tl-app doctor                            versions, devices, weights

exit codes: 0 done, 1 failure, 2 usage or configuration, 3 unusable data,
            5 compare did not show B to be not worse, 130 or 143 interrupted
environment: NO_COLOR=1 no colours; TL_APP_TRACEBACK=1 tracebacks of unexpected errors
"""

SIMILARITY = 0.65
"""Options less alike than this (`difflib`'s ratio) are no suggestion."""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Examples keep their lines, and every verb fits beside its summary."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class Parser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would print and leave."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            f"{message[:1].upper()}{message[1:]}.",
            next_step=f"{self.prog} --help",
        )


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="tl-app",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tl-app {__version__}")
    parser.set_defaults(verb=None, parser=parser)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    for name, (summary, examples, add_arguments) in VERBS.items():
        verb = verbs.add_parser(
            name,
            help=summary,
            description=f"{summary[:1].upper()}{summary[1:]}.",
            epilog="examples:\n" + "\n".join(f"  {example}" for example in examples),
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        add_arguments(verb)
        shared = verb.add_argument_group("output")
        shared.add_argument(
            "--json", action="store_true", help="one JSON document on standard output"
        )
        shared.add_argument("--quiet", action="store_true", help="results and warnings only")
        verb.set_defaults(verb=name, parser=verb)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments of one command.

    Raises:
        ConfigError: unknown verbs and options (with suggestions), missing or surplus arguments.
        SystemExit: after --help and --version, with code 0.
    """
    parser = build_parser()
    first = next((word for word in argv if not word.startswith("-")), None)
    if first is not None and first not in VERBS:
        raise ConfigError(
            f"There is no verb {first!r}.{did_you_mean(first, VERBS)}",
            allowed=", ".join(VERBS),
            next_step="tl-app --help",
        )
    arguments, extra = parser.parse_known_args(argv)
    if extra:
        # A word after an unknown option is likely its value: no problem of its own.
        extra = [word for word in extra if word.startswith("-")] or extra
        raise ConfigError.from_problems(
            [_unknown(word, arguments.parser) for word in extra],
            next_step=f"{arguments.parser.prog} --help",
        )
    return arguments


def _unknown(word: str, parser: argparse.ArgumentParser) -> str:
    if not word.startswith("-"):
        return f"One argument too many: {word!r}."
    option = word.partition("=")[0]
    known = [name for action in parser._actions for name in action.option_strings]
    problem = f"{parser.prog} has no option {option!r}."
    if parser.get_default("verb") is None and option in ("--json", "--quiet"):
        return f"{problem} It stands after a verb: tl-app VERB {option}"
    return problem + _similar_options(option, known)


def _similar_options(option: str, known: Sequence[str]) -> str:
    """A suggestion, judged without the dashes, which all options share."""
    bare = {name.lstrip("-"): name for name in known}
    close = difflib.get_close_matches(option.lstrip("-").casefold(), bare, cutoff=SIMILARITY)
    matches = " or ".join(repr(bare[name]) for name in close)
    return f" Did you mean {matches}?" if matches else ""
