"""Sections on the model: how it learned, what it costs, how to make it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tl_app.data.wording import Wording
from tl_app.evaluation.learning import best_record, kept_phases
from tl_app.report import text
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.learning_figure import learning_svg
from tl_app.report.page import render
from tl_app.report.training_text import augmentation_names, mirror_note, phase_facts, trained_note

MOST_EPOCHS = 200

VERDICT_WORDS = {
    "good": "Sound",
    "overfitting": "Overfitting",
    "underfitting": "Underfitting",
    "too_short": "Still improving",
    "unstable": "Unstable",
    "no_gain": "No gain from the last phase",
    "unknown": "Undecided",
}

STAGES = {
    "read": "look at every example",
    "load": "load the backbone",
    "features": "run the frozen backbone",
    "audit": "audit the data",
    "probe": "cross-validate and compare",
    "traits": "tell the examples apart",
    "train": "train",
    "calibrate": "calibrate the probabilities",
    "save": "save the model",
    "predict": "predict from the original examples",
    "evaluate": "evaluate",
    "explain": "see what spoke for the worst errors",
    "export": "export and check",
    "measure": "measure the cost",
    "report": "write the report",
}


def learning(contents: ReportContents) -> Fragment | None:
    """Curves of all phases with the verdict; None where no epoch was recorded."""
    history = contents.history
    if not history:
        return None
    best = best_record(history)
    body = render(
        "learning.html",
        figure=learning_svg(history, name="learning") if len(history) > 1 else None,
        history=history[-MOST_EPOCHS:],
        n_epochs=len(history),
        best=best,
        verdict=contents.verdict,
        verdict_word=VERDICT_WORDS.get(contents.verdict.kind, contents.verdict.kind),
    )
    return Fragment("learning", "Learning curves", body)


def training(contents: ReportContents) -> Fragment:
    """What each phase trained and how, and which augmentations were on."""
    phases = contents.config.get("phases", ())
    body = render(
        "training.html",
        phases=[
            {
                "name": phase.get("name", ""),
                "facts": phase_facts(phase, contents.config),
                "augmentations": augmentation_names(phase),
            }
            for phase in phases
        ],
        mirroring=mirror_note(phases, kept_phases(contents.history)),
        backbone=contents.config.get("backbone", "unknown"),
    )
    return Fragment("training", "Training", body)


def cost(contents: ReportContents) -> Fragment:
    """Inference time, size and memory."""
    measured = contents.cost
    latency: Mapping[str, Mapping[str, float] | float] = measured.get("latency_ms") or {}
    noun, rows = contents.wording.noun, []
    for batch, times in sorted(latency.items(), key=lambda item: int(item[0])):
        # Runs of before have the median alone.
        known = times if isinstance(times, Mapping) else {"p50": times}
        size, value = int(batch), known["p50"]
        rates = [f"{text.plural(round(1000 * size / value), noun)} a second"] if value > 0 else []
        if "p95" in known:
            rates.append(f"p95 {text.milliseconds(known['p95'])}")
        rate = "; ".join(rates)
        label = f"one {noun}" if size == 1 else f"{size} {contents.wording.nouns} at once"
        rows.append((f"Inference, {label}", text.milliseconds(value), rate))
    parameters = measured.get("n_parameters")
    share = trained_note(
        measured.get("n_trainable_parameters") if parameters else None,
        contents.config.get("phases", ()),
        kept_phases(contents.history),
    )
    rows += [
        ("Parameters", text.integer(parameters), share),
        *_trained_rows(contents.decisions),
        ("Keras model on disk", text.byte_size(measured.get("model_bytes")), ""),
        *(
            [("SavedModel on disk", text.byte_size(measured["saved_model_bytes"]), "")]
            if "saved_model_bytes" in measured
            else []
        ),
        (
            "Peak memory of the run",
            text.byte_size(measured.get("peak_memory_bytes")),
            "training included",
        ),
    ]
    body = render(
        "cost.html",
        rows=rows,
        where=_device_text(contents),
        has_latency=bool(latency),
        has_p95=any(isinstance(times, Mapping) for times in latency.values()),
        latency_of=measured.get("latency_of") or f"{contents.wording.nouns} already decoded",
    )
    return Fragment("cost", "Cost", body)


def _trained_rows(decisions: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What each phase of gradient descent trained, and what its optimizer took."""
    return [
        (
            f"Trained in phase {name}",
            text.integer(noted.get("n_parameters")),
            f"parameters; {text.byte_size(noted.get('optimizer_bytes'))} of optimizer state",
        )
        for name, noted in _mapping(decisions.get("trained")).items()
    ]


def reproduce(contents: ReportContents) -> Fragment:
    """Command, seed, versions, hashes, device and precision."""
    packages = {k: v for k, v in _mapping(contents.environment.get("packages")).items() if v}
    body = render(
        "reproduce.html",
        command=contents.command,
        facts=reproduction_facts(contents),
        packages=packages,
        seconds=[(STAGES.get(name, name), value) for name, value in contents.seconds.items()],
        total_seconds=sum(contents.seconds.values()),
        config=json.dumps(contents.config, indent=2, ensure_ascii=False),
    )
    return Fragment("reproduce", "How to reproduce it", body)


def reproduction_facts(contents: ReportContents) -> list[tuple[str, str]]:
    """Seed, device, engine, backbone, hashes and versions."""
    decisions = contents.decisions
    backbone = _mapping(decisions.get("backbone"))
    return [
        ("Seed", str(contents.config.get("seed", "not recorded"))),
        ("Device and precision", _device_text(contents)),
        ("Engine of the frozen part", _engine_text(decisions, contents.wording)),
        ("Backbone", str(backbone.get("name") or contents.config.get("backbone", "unknown"))),
        ("Weights, SHA-256", str(backbone.get("weights_sha256") or "not recorded")),
        ("Data, SHA-256", dataset_fingerprint(contents)),
        ("System", _system_text(contents.environment)),
    ]


def dataset_fingerprint(contents: ReportContents) -> str:
    """SHA-256 over bytes, class and side of every example, in their order.

    Names of files and folders do not enter, so that a copy elsewhere has the same one.
    """
    digest = hashlib.sha256()
    kind = "text_hash" if contents.dataset.modality == "text" else "file_hash"
    names = contents.dataset.class_names
    for example, side in zip(contents.dataset.examples, contents.split.sides, strict=True):
        line = f"{getattr(example, kind)}\t{names[example.label]}\t{side}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _device_text(contents: ReportContents) -> str:
    hardware = _mapping(contents.decisions.get("hardware"))
    machine = _mapping(contents.environment.get("machine"))
    devices = ", ".join(map(str, hardware.get("devices", ()))) or "not recorded"
    precision = hardware.get("precision") or contents.config.get("precision", "not recorded")
    parts = [devices, str(precision)]
    if machine.get("cpu"):
        cores = machine.get("cores")
        parts.append(f"{machine['cpu']}, {text.plural(cores, 'core') if cores else '? cores'}")
    return "; ".join(parts)


def _engine_text(decisions: Mapping[str, Any], wording: Wording) -> str:
    """Its name, and how fast each engine was that was tried."""
    engine = _mapping(decisions.get("engine"))
    speeds = _mapping(engine.get("images_per_second"))
    words = [f"{name} {speed:.0f}" for name, speed in speeds.items()]
    name = str(engine.get("name") or "not recorded")
    return f"{name} ({wording.nouns} a second when tried: {', '.join(words)})" if words else name


def _system_text(environment: Mapping[str, Any]) -> str:
    parts = [
        f"tl_app {environment['tl_app']}" if environment.get("tl_app") else "",
        f"Python {environment['python']}" if environment.get("python") else "",
        str(environment.get("platform") or ""),
    ]
    return ", ".join(part for part in parts if part) or "not recorded"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
