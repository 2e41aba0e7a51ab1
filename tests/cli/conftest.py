"""A stand-in for `tl_app.app`: these tests are about the command line alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tl_app
from tl_app.audit.quarantine import Moved
from tl_app.audit.stripping import Stripped
from tl_app.evaluation.comparison import Comparison, PairedPredictions, compare_predictions
from tl_app.evaluation.probes import CrossValidation
from tl_app.findings import Audit, Evidence, Finding, Fix, NotRun
from tl_app.records import ClassMetrics, Evaluation, Interval, Predictions, SetAside, Side


def make_evaluation() -> Evaluation:
    share = Interval(0.9, 0.8, 0.95)
    return Evaluation(
        headline={"accuracy": share, "macro_f1": share, "log_loss": Interval(0.3, 0.1, 0.5)},
        baseline={"accuracy": 0.5, "macro_f1": 0.33, "log_loss": 0.69},
        per_class=(
            ClassMetrics("cat", 10, share, share, share),
            ClassMetrics("<b>\x1b[31mdog\n", 10, share, share, share),
        ),
        confusion_counts=((9, 1), (1, 9)),
        n_examples=20,
        notes=("20 pictures are few.",),
    )


def make_comparison(n: int = 400, n_only_a: int = 30, n_only_b: int = 2) -> Comparison:
    """Of two classes in turn; A alone tells the first examples rightly, B alone the next."""
    y_true = np.arange(n) % 2
    said_a, said_b = (np.eye(2, dtype=np.float32)[y_true] * 0.8 + 0.1 for _ in "AB")
    said_b[:n_only_a] = said_b[:n_only_a, ::-1]
    said_a[n_only_a : n_only_a + n_only_b] = said_a[n_only_a : n_only_a + n_only_b, ::-1]
    pairs = PairedPredictions(
        paths=tuple(f"line\nbreak\x1b[2J {i}.jpg" for i in range(n)),
        y_true=y_true,
        probabilities_a=said_a,
        probabilities_b=said_b,
        groups=np.arange(n),
        class_names=("cat", "<b>\x1b[31mdog\n"),
        notes=(f"The figures rest on {n} pictures.",),
    )
    return compare_predictions(pairs, n_resamples=500)


def make_audit() -> Audit:
    hostile = "dog/\x1b[2J<b>\n\u202e.jpg"
    return Audit(
        root="/photos",
        source="photos",
        modality="image",
        n_examples=20,
        findings=(
            Finding(
                "exact_copies",
                "fail",
                f"{hostile} is a copy.",
                "Keep one.",
                tuple(Evidence((f"cat/{i}.jpg", hostile), {"same": "bytes"}) for i in range(5)),
                (Fix(hostile, "a copy of cat/0.jpg", "quarantine"),),
            ),
            Finding("small_class", "note", "One class is small.", "Bring more."),
        ),
        not_run=(NotRun("outliers", "there are too few"),),
    )


class FakeApp(ModuleType):
    """Records each call; returns what the real app would, or raises `failure`."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tl_app.app")
        self.folder = folder
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failure: BaseException | None = None
        self.backbone_name = "tiny_net"
        self.side: Side | None = "test"
        self.evaluation: Evaluation | None = make_evaluation()
        self.cross_validation: CrossValidation | None = None
        self.comparison = make_comparison()
        self.stripped: Stripped | None = None
        self.predictions = Predictions(
            paths=("a.jpg", "line\nbreak\x1b[2J.jpg", "bytes\udcff.jpg"),
            y_true=np.array([-1, -1, -1]),
            probabilities=np.array([[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]], dtype=np.float32),
            class_names=("cat", "dög"),
        )

    def _note(self, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.calls.append((verb, args, kwargs))
        print("a library speaks on standard output")
        if self.failure is not None:
            raise self.failure

    def _run(self) -> SimpleNamespace:
        return SimpleNamespace(
            folder=SimpleNamespace(path=self.folder / "models/r"),
            report=self.folder / "reports/r/index.html",
            saved_model=self.folder / "models/r/saved_model/1",
            seconds={"read": 1.0, "train": 70.0},
            evaluation=self.evaluation,
            set_aside=(SetAside("x.jpg", "It is empty.", "empty"),),
            modality="image",
            cross_validation=self.cross_validation,
        )

    def train(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        self._note("train", args, kwargs)
        return self._run()

    def resume(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        self._note("resume", args, kwargs)
        return self._run()

    def audit(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        self._note("audit", args, kwargs)
        folder = self.folder / "reports/a"
        return SimpleNamespace(
            audit=make_audit(), folder=folder, fixes=folder / "fixes.csv", stripped=self.stripped
        )

    def audit_apply(self, *args: Any, **kwargs: Any) -> Moved:
        self._note("audit_apply", args, kwargs)
        return Moved(self.folder / ".quarantine", ("a\n.jpg",), {"b.jpg": "it has changed"})

    def audit_undo(self, *args: Any, **kwargs: Any) -> Moved:
        self._note("audit_undo", args, kwargs)
        return Moved(self.folder / ".quarantine", ("a.jpg", "b.jpg"), {})

    def predict(self, *args: Any, **kwargs: Any) -> tuple[Predictions, list[SetAside]]:
        self._note("predict", args, kwargs)
        return self.predictions, [SetAside("bad\x1b.jpg", "It is truncated.", "truncated")]

    def evaluate(self, *args: Any, **kwargs: Any) -> Evaluation:
        self._note("evaluate", args, kwargs)
        return replace(make_evaluation(), side=self.side)

    def compare(self, *args: Any, **kwargs: Any) -> Comparison:
        self._note("compare", args, kwargs)
        return self.comparison

    def report(self, *args: Any, **kwargs: Any) -> Path:
        self._note("report", args, kwargs)
        return self.folder / "reports/r/index.html"

    def export(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        self._note("export", args, kwargs)
        return SimpleNamespace(
            version_folder=args[1] / "1",
            has_saved_model=True,
            largest_difference=2e-7,
            n_examples=20,
            small=(),
        )

    def get_backbone(self, *args: Any, **kwargs: Any) -> Path:
        self._note("get_backbone", args, kwargs)
        return Path("kept/w.whl")

    def backbones(self) -> list[dict[str, Any]]:
        self._note("backbones", (), {})
        return [
            {
                "name": self.backbone_name,
                "modality": "image",
                "image_size_px": 64,
                "n_parameters": 3_400_000,
                "licence": "MIT",
                "weights": "here",
            }
        ]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApp:
    fake = FakeApp(tmp_path)
    monkeypatch.setitem(sys.modules, "tl_app.app", fake)
    monkeypatch.setattr(tl_app, "app", fake, raising=False)
    return fake
