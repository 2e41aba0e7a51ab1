"""What the ways of fine-tuning an encoder of texts cost: seconds a step, and peak memory.

    python -m benchmarks.text_training [--ways ...] [--steps 8] [--tokens 128] [--batch-size 32]

Each way is a process of its own, on the same texts of one length, and trains the whole encoder for
some steps; the first step of each traces and is not counted. Memory is the largest that no file
stands behind, over what the process held before its first step.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.processes import anonymous_bytes, measured_environment, run_measured
from tl_app.progress import SilentReporter

BASE = {"name": "tune", "unfreeze": "all", "epochs": 1, "views": 0, "patience_epochs": None}
WAYS: dict[str, tuple[dict[str, Any], str]] = {
    "whole": ({}, "float32"),
    "recompute": ({"recompute": True}, "float32"),
    "bfloat16": ({}, "mixed_bfloat16"),
    "lora": ({"lora_rank": 8}, "float32"),
    "qlora int8": ({"lora_rank": 8, "base_weights": "int8"}, "float32"),
    "qlora int4": ({"lora_rank": 8, "base_weights": "int4"}, "float32"),
}
"""Way -> settings of its phase, and precision."""

MB = 1_000_000


class StepClock(SilentReporter):
    """Notes when each step ends, and the memory before the first."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []
        self.bytes_before = 0

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Any]:
        if title.startswith("tune "):
            self.ends, self.bytes_before = [], anonymous_bytes(os.getpid())
        yield self

    def advance(self, n: int = 1, *, note: str = "") -> None:
        if n:
            self.ends.append(time.perf_counter())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128, help="of every text, a multiple of 16")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        train(arguments.one, arguments)
        return
    options = [
        *("--encoder", arguments.encoder, "--steps", str(arguments.steps)),
        *("--tokens", str(arguments.tokens), "--batch-size", str(arguments.batch_size)),
    ]
    command = [sys.executable, "-m", "benchmarks.text_training", *options, "--one"]
    with tempfile.TemporaryDirectory(prefix="tl-app-text-training-") as scratch:
        environment = measured_environment(Path(scratch))
        del environment["TL_APP_CACHE"]  # the encoder's wheel is there
        for way in arguments.ways:
            done = run_measured([*command, way], environment=environment, folder=Path(scratch))
            seconds, before = map(float, done.stdout.split()[-2:])
            memory = (done.peak_anonymous_bytes - before) / MB
            print(
                f"{way:11} {seconds:6.2f} s a step, {memory:6.0f} MB more than before", flush=True
            )


def train(way: str, arguments: argparse.Namespace) -> None:
    from tl_app.libraries import prepare_libraries

    prepare_libraries()
    import numpy as np

    from tl_app.app.beginning import load_for
    from tl_app.backbones.loading import load_encoder
    from tl_app.backbones.policy import dtype_policy
    from tl_app.config import Config, Phase
    from tl_app.features.store import FeatureStore
    from tl_app.features.texts import TokenizedTexts
    from tl_app.inputs.tokenizer import build_tokenizer
    from tl_app.run import RunFolder
    from tl_app.training.classifier import Classifier
    from tl_app.training.hardware import choose_hardware
    from tl_app.training.phase_inputs import TrainingData
    from tl_app.training.phases import PhaseTrainer

    settings, precision = WAYS[way]
    config = Config(
        backbone=arguments.encoder,
        phases=(Phase.model_validate(BASE | settings),),
        precision=precision,
        batch_size=arguments.batch_size,
    )
    n_train = arguments.steps * arguments.batch_size
    words = [
        "it",
        "was",
        "a",
        "very",
        "good",
        "day",
        "and",
        "we",
        "all",
        "went",
        "home",
        "on",
        "foot",
    ]
    random = np.random.default_rng(0)
    # A word is a token; two stand around them.
    texts = [" ".join(random.choice(words, arguments.tokens - 2)) for _ in range(n_train + 8)]
    hardware = choose_hardware(config)
    strategy = hardware.build_strategy()
    clock = StepClock()
    encoder = load_for(
        lambda: load_encoder(arguments.encoder, reporter=clock), 0, hardware, strategy
    )
    with strategy.scope(), dtype_policy(hardware.precision):
        classifier = Classifier(encoder.backbone, 2, config)
    assert encoder.vocabulary is not None
    assert encoder.max_tokens is not None
    items = TokenizedTexts(texts, build_tokenizer(encoder.vocabulary, encoder.max_tokens))
    if set(items.lengths) != {arguments.tokens}:
        sys.exit(f"texts of {arguments.tokens} tokens were wanted, and got {set(items.lengths)}")
    data = TrainingData(
        items=items,
        labels=np.arange(len(texts), dtype=np.int64) % 2,
        groups=np.arange(len(texts)),
        train_rows=np.arange(n_train),
        validation_rows=np.arange(n_train, len(texts)),
        class_names=("even", "odd"),
    )
    with tempfile.TemporaryDirectory(prefix="tl-app-run-") as scratch:
        folder = RunFolder.create(Path(scratch), "one")
        store = FeatureStore(Path(scratch) / "store")
        trainer = PhaseTrainer(
            classifier, data, config, hardware, strategy, folder, store, [], clock
        )
        trainer.prepare()
        trainer.run()
    print(median(np.diff(clock.ends)), clock.bytes_before)


if __name__ == "__main__":
    main()
