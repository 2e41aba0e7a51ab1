"""How much quicker texts are encoded in buckets of like length than batch by batch as they come.

    python -m benchmarks.text_encoding [--texts 4096] [--repeats 3]

Both ways run the same graph of the same encoder on the same texts, taking turns. As they come,
each batch is filled up to its longest text; in buckets, a batch holds texts of one length (in
steps of `BUCKET_TOKENS`), as the feature store computes them. The first pass of each traces and
is not counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from examples.demo_texts import texts as demo_texts
from tl_app.config import DataSettings
from tl_app.data.texts import scan_texts
from tl_app.libraries import prepare_libraries
from tl_app.progress import SilentReporter

if TYPE_CHECKING:
    from tl_app.features.items import Items

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--texts", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR")
    arguments = parser.parse_args()

    prepare_libraries()
    import keras

    from tl_app.backbones.loading import load_encoder
    from tl_app.features.extract import FrozenPart
    from tl_app.features.texts import TokenizedTexts
    from tl_app.inputs.tokenizer import build_tokenizer
    from tl_app.training.classifier import POOLS

    table = demo_texts(arguments.data / "demo_texts.csv")
    dataset = scan_texts(str(table), DataSettings(), reporter=SilentReporter(), test_required=False)
    order = np.random.default_rng(0).permutation(len(dataset.examples))[: arguments.texts]
    encoder = load_encoder(arguments.encoder, reporter=SilentReporter())
    if encoder.vocabulary is None or encoder.max_tokens is None:
        parser.error("this encoder takes strings, and its texts have no length of their own")
    items = TokenizedTexts(
        [dataset.examples[row].text for row in order],
        build_tokenizer(encoder.vocabulary, encoder.max_tokens),
    )
    model = encoder.backbone.model
    forward = FrozenPart(keras.Model(model.input, POOLS[3](name="pool")(model.output)))
    as_they_come = [np.arange(len(order))[i : i + BATCH] for i in range(0, len(order), BATCH)]
    ways: dict[str, Callable[[], np.ndarray]] = {
        "as they come": lambda: run(forward, as_they_come, lambda b: exact(items, b)),
        "in buckets": lambda: run(forward, in_buckets(items), lambda b: stacked(items, b)),
    }
    said = {name: way() for name, way in ways.items()}
    difference = float(np.abs(said["as they come"] - said["in buckets"]).max())
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    for name, each in seconds.items():
        print(f"{name}: {len(order) / median(each):.0f} texts/s")
    ratios = [a / b for a, b in zip(seconds["as they come"], seconds["in buckets"], strict=True)]
    print(
        f"in buckets {median(ratios):.2f} times as fast ({', '.join(f'{r:.2f}' for r in ratios)}); "
        f"largest difference of a feature {difference:.1g}"
    )


def run(forward, batches: list[np.ndarray], batch_of: Callable[[np.ndarray], np.ndarray]):
    """Features of all texts in their own order."""
    import tensorflow as tf

    rows = np.concatenate(batches)
    features = np.concatenate([forward(tf.constant(batch_of(batch))) for batch in batches])
    return features[np.argsort(rows)]


def in_buckets(items: Items) -> list[np.ndarray]:
    assert items.lengths is not None
    batches = []
    for length in np.unique(items.lengths):
        rows = np.flatnonzero(items.lengths == length)
        batches += [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    return batches


def stacked(items: Items, batch: np.ndarray) -> np.ndarray:
    return np.stack([items.load(int(row)) for row in batch])


def exact(items: Items, batch: np.ndarray) -> np.ndarray:
    """Filled up to the longest text of the batch, and no further."""
    rows = [np.trim_zeros(items.load(int(row)), "b") for row in batch]
    filled = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for place, row in zip(filled, rows, strict=True):
        place[: len(row)] = row
    return filled


if __name__ == "__main__":
    main()
