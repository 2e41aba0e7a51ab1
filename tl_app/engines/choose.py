"""The fastest engine that says what Keras says, found by trying."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_app.engines.base import CONVERTED, Engine, number_types, runs_on_gpu
from tl_app.engines.build import build_engine
from tl_app.engines.fold import fold_batch_normalization
from tl_app.engines.refusals import first_line, refusal
from tl_app.errors import EngineUnavailable
from tl_app.progress import Reporter, SilentReporter

AGREEMENT = 1e-5
"""Largest difference from Keras, as a share of an output's largest value, in float32 on a CPU."""

GRAPH_AGREEMENT = 1e-3
"""The same for the plain graph: it is Keras's own, and some models make much of a rounding."""

GPU_AGREEMENT = 1e-2
"""The same on a GPU, which rounds float32 products to 10 bits unless told otherwise."""

HALF_AGREEMENT = 0.25
"""The same in half precision, where a compiled graph rounds less often than Keras does."""

REFERENCE_BATCH = 8
"""Keras's own call keeps more in memory than a compiled graph."""

NEAR = 0.05
"""Engines are equally fast within this share: a measurement of a second is no better."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What was found, for the records of a run.

    Attributes:
        name: the engine that was taken.
        images_per_second: of every engine that was measured; empty where there was no choice.
        refused: engine -> why it was not taken into account.
    """

    name: str
    images_per_second: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EngineChoice:
        return cls(**values)

    def describe(self) -> str:
        """One line for people: "litert (178 images/s; folded 147)"."""
        if self.name not in self.images_per_second:
            return self.name
        others = sorted(
            ((speed, name) for name, speed in self.images_per_second.items() if name != self.name),
            reverse=True,
        )
        words = [f"{_speed(self.images_per_second[self.name])} images/s"]
        words += [f"{name} {_speed(speed)}" for speed, name in others]
        return f"{self.name} ({'; '.join(words)})"


def choose_engine(
    model: keras.Model,
    probe: np.ndarray,
    *,
    names: Sequence[str],
    batch_size: int,
    budget_seconds: float = 1.0,
    reporter: Reporter | None = None,
) -> tuple[Engine, EngineChoice]:
    """Build, compare with Keras, measure, and take the fastest.

    Args:
        model: functional, float32 pixels (n, S, S, 3) in 0..255 to one or several outputs.
        probe: float32, shape (n, S, S, 3); pictures like those to come, since noise and black
            pictures hide errors.
        names: candidates, the preferred first: of equally fast ones the first is taken. A
            single one is not measured.
        batch_size: as for `build_engine`.
        budget_seconds: for the measurements; each engine runs one batch at least, whatever it
            takes. Building comes on top: a second or two each, for ONNX Runtime more.
        reporter: shows progress.

    Raises:
        EngineUnavailable: none of them can be built and agrees with Keras.
    """
    candidates = tuple(dict.fromkeys(names))
    engines: dict[str, Engine] = {}
    refused: dict[str, str] = {}
    errors: list[EngineUnavailable] = []
    # A step for what Keras says, one for each engine, one for the measurement.
    with (reporter or SilentReporter()).bar("Trying engines", len(candidates) + 2, "steps") as bar:
        reference = _reference(model, probe)
        limit = _limit(model)
        # Folded once for all; folding again finds nothing left to do.
        folded = fold_batch_normalization(model) if set(names) != {"tensorflow"} else model
        bar.advance()
        for name in candidates:
            try:
                source = model if name == "tensorflow" else folded
                engine = build_engine(name, source, batch_size=batch_size)
                allowed = max(limit, GRAPH_AGREEMENT) if name == "tensorflow" else limit
                _check_agreement(engine, probe, reference, allowed)
            except EngineUnavailable as error:
                refused[name] = error.problem
                errors.append(error)
            else:
                engines[name] = engine
            if name in CONVERTED:
                # Graphs that refer to themselves are left, some hundred megabytes of them.
                gc.collect()
            bar.advance(note=name)
        if not engines:
            raise _none_left(errors)
        if len(candidates) == 1:
            bar.advance()
            return engines[candidates[0]], EngineChoice(candidates[0])
        speeds = _measure(engines, probe, batch_size, budget_seconds)
        bar.advance()
    enough = max(speeds.values()) * (1 - NEAR)
    name = next(name for name in engines if speeds[name] >= enough)
    return engines[name], EngineChoice(name, speeds, refused)


def _reference(model: keras.Model, probe: np.ndarray) -> list[np.ndarray]:
    """What Keras says itself: float32 (n, ...) for each output."""
    parts = []
    for start in range(0, len(probe), REFERENCE_BATCH):
        pixels = tf.constant(probe[start : start + REFERENCE_BATCH], tf.float32)
        outputs = tf.nest.flatten(model(pixels, training=False))
        parts.append([tf.cast(output, tf.float32).numpy() for output in outputs])
    return [np.concatenate(rows) for rows in zip(*parts, strict=True)]


def _limit(model: keras.Model) -> float:
    if set(number_types(model)) & {"float16", "bfloat16"}:
        return HALF_AGREEMENT
    return GPU_AGREEMENT if runs_on_gpu(model) else AGREEMENT


def _check_agreement(
    engine: Engine, probe: np.ndarray, reference: Sequence[np.ndarray], limit: float
) -> None:
    """
    Raises:
        EngineUnavailable: it fails, an output is missing, or one differs by more than the limit.
    """
    try:
        answer = engine(probe)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise refusal(engine.name, first_line(error)) from error
    shapes, wanted = [a.shape for a in answer], [r.shape for r in reference]
    if shapes != wanted:
        raise _disagreement(engine.name, f"its outputs have shapes {shapes}, not {wanted}")
    for index, (ours, theirs) in enumerate(zip(answer, reference, strict=True)):
        largest = float(np.abs(theirs).max(initial=0.0))
        difference = float(np.abs(ours - theirs).max(initial=0.0))
        # Written so that a difference which is not a number is no agreement.
        if not difference <= limit * largest:
            share = difference / largest if largest else float("inf")
            raise _disagreement(
                engine.name, f"output {index} differs by {share:.1e} of its largest value"
            )


def _measure(
    engines: Mapping[str, Engine], probe: np.ndarray, batch_size: int, budget_seconds: float
) -> dict[str, float]:
    """Images a second of each, by the median of batches in turn.

    In turn, since a busy machine then slows all of them. Nothing is warmed up here: each
    engine has already answered the probe.
    """
    pictures = np.resize(probe, (batch_size, *probe.shape[1:]))
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    started = time.perf_counter()
    while True:
        for name, engine in engines.items():
            before = time.perf_counter()
            engine(pictures)
            seconds[name].append(time.perf_counter() - before)
        if time.perf_counter() - started >= budget_seconds:
            return {name: batch_size / median(values) for name, values in seconds.items()}


def _speed(images_per_second: float) -> str:
    return f"{images_per_second:.0f}" if images_per_second >= 10 else f"{images_per_second:.1f}"


def _disagreement(name: str, reason: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"The engine {name} does not say what Keras says: {reason}.",
        received=name,
        allowed=f"a difference of at most {AGREEMENT:g} in float32 on a CPU",
        next_step="take another engine, and report it with `tl-app doctor`",
    )


def _none_left(errors: Sequence[EngineUnavailable]) -> EngineUnavailable:
    if len(errors) == 1:
        return errors[0]
    return EngineUnavailable(
        "No engine can run this model:\n" + "\n".join(f"  - {error.problem}" for error in errors),
        next_step=errors[0].next_step,
    )
