"""Invented runs of any size, with real thumbnails."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from tl_app.config import Config
from tl_app.evaluation.learning import fit_verdict
from tl_app.evaluation.scoring import evaluate
from tl_app.records import (
    SIDES,
    Dataset,
    EpochRecord,
    Example,
    Predictions,
    Preprocessing,
    SetAside,
    Side,
    Split,
)
from tl_app.report.build import ReportContents

HEAD = EpochRecord("head", 1, 0.071, 0.982, 0.214, 0.936, 0.0, 2.1, True)


def picture_bytes(path: str) -> bytes:
    """A small JPEG whose colours follow from the path."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest()
    rows = np.linspace(0, 1, 96)[:, np.newaxis, np.newaxis]
    first, last = np.array(list(digest[:3])), np.array(list(digest[3:6]))
    pixels = np.broadcast_to(first * (1 - rows) + last * rows, (96, 96, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def fine_tuning(n_epochs: int = 6) -> list[EpochRecord]:
    records = [HEAD, EpochRecord("fine_tune", 0, None, 0.982, 0.214, 0.936, 0.0, 0.4, False)]
    for epoch in range(1, n_epochs + 1):
        loss = 0.17 + 0.06 * 0.5**epoch + (0.012 * max(0, epoch - 4))
        records.append(
            EpochRecord(
                "fine_tune",
                epoch,
                0.5 * 0.6**epoch + 0.01,
                min(1.0, 0.975 + 0.005 * epoch),
                loss,
                0.94 + 0.004 * min(epoch, 4),
                1e-4 * (1 - epoch / (n_epochs + 1)),
                3.4,
                epoch <= 4,
            )
        )
    return records


def build_contents(
    class_names: Sequence[str] = ("bird", "mammal", "fruit", "plant", "object"),
    *,
    n_test: int = 140,
    accuracy: float = 0.93,
    paths: Sequence[str] | None = None,
    history: Sequence[EpochRecord] | None = None,
    set_aside: Sequence[SetAside] = (),
    thumbnail: Callable[[str], bytes | None] = picture_bytes,
    seed: int = 0,
    **changes,
) -> ReportContents:
    rng = np.random.default_rng(seed)
    n_classes = len(class_names)
    shares = rng.dirichlet(np.full(n_classes, 4.0))
    y_true = rng.choice(n_classes, n_test, p=shares)
    guesses = np.where(
        rng.random(n_test) < accuracy, y_true, (y_true + rng.geometric(0.5, n_test)) % n_classes
    )
    probabilities = rng.random((n_test, n_classes), dtype=np.float32) * 0.02
    probabilities[np.arange(n_test), guesses] += rng.beta(4, 1, n_test) + 0.05
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    paths = tuple(paths or [f"{class_names[y]}/photo {i:05d}.jpg" for i, y in enumerate(y_true)])
    predictions = Predictions(paths, y_true, probabilities, tuple(class_names))
    n_other = 8 * n_test
    labels = np.concatenate([y_true, rng.choice(n_classes, n_other, p=shares)])
    sides: list[Side | None] = ["test"] * n_test
    sides += ["train"] * (7 * n_test)
    sides += ["validation"] * n_test
    examples = tuple(
        Example(
            path=paths[i] if i < n_test else f"other/{i}.jpg",
            label=int(label),
            given_side=None,
            given_group=None,
            file_hash=f"{i:064x}",
            pixel_hash=f"{i // 2 if i < 6 else i:064x}",
            width_px=500 + i % 300,
            height_px=400 + i % 200,
            mode="RGB",
            image_format="PNG" if i % 5 == 0 else "JPEG",
            exif_orientation=6 if i % 50 == 1 else 1,
            n_bytes=40_000,
            max_level=255,
            bits=8,
        )
        for i, label in enumerate(labels)
    )
    history = fine_tuning() if history is None else list(history)
    values = {
        "run_name": "stamps-efficientnet_lite0-20260101-120000",
        "config": Config().model_dump(mode="json"),
        "dataset": Dataset("/data/stamps", "data/stamps", tuple(class_names), examples,
                           tuple(set_aside)),
        "split": Split(tuple(sides), tuple(range(len(labels))), {}, 0),
        "processing": Preprocessing(224, "squash", (0, 65535), 100_000_000),
        "evaluation": evaluate(predictions, class_shares=shares),
        "predictions": predictions,
        "history": history,
        "verdict": fit_verdict(history),
        "cost": {
            "latency_ms": {"1": {"p50": 11.2, "p95": 14.9}, "32": {"p50": 301.0, "p95": 333.0}},
            "n_parameters": 3_419_429,
            "n_trainable_parameters": 1_134_021, "model_bytes": 17_400_000,
            "saved_model_bytes": 15_900_000, "peak_memory_bytes": 1_412_000_000,
        },
        "environment": {
            "tl_app": "0.1.0", "python": "3.11.2", "platform": "Linux 6.1 x86_64",
            "packages": {"tensorflow": "2.21.0", "keras": "3.15.1", "wandb": None},
            "machine": {"cpu": "Some CPU @ 2.50GHz", "cores": 2},
        },
        "decisions": {
            "hardware": {"devices": ["CPU:0"], "precision": "float32"},
            "backbone": {"name": "efficientnet_lite0", "weights_sha256": "ab" * 32},
        },
        "command": "tl-app train data/stamps --seed 0",
        "seconds": {"read": 4.2, "load": 6.1, "train": 75.3, "report": 1.2},
        "thumbnail": thumbnail,
    }  # fmt: skip
    assert set(sides) == set(SIDES)
    return ReportContents(**{**values, **changes})


@pytest.fixture
def make_contents() -> Callable[..., ReportContents]:
    """`build_contents`: an invented run with the wished class names, size and faults."""
    return build_contents


@pytest.fixture
def tuning_history() -> Callable[..., list[EpochRecord]]:
    return fine_tuning
