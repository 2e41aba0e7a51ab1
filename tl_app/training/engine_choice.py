"""Which engine runs the frozen part: asked for, remembered, or measured; recorded with the run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tl_app import environment
from tl_app.config import Config
from tl_app.engines.base import Engine
from tl_app.engines.build import build_engine
from tl_app.engines.choose import EngineChoice, choose_engine
from tl_app.errors import EngineUnavailable
from tl_app.features.keys import code_fingerprint, package_version
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.training.decisions import Decisions
from tl_app.training.hardware import Hardware

LIBRARIES = {"litert": ("ai-edge-litert",), "onnxruntime": ("onnxruntime", "tf2onnx")}
"""What an engine runs on besides TensorFlow and Keras, whose versions are in every key."""

FEW_LOOKS = 100
"""For fewer pictures, measuring would take longer than the fastest engine saves."""

MANY_LOOKS = 5000
"""For fewer, an engine that takes ten seconds to build cannot win them back."""

SLOW_TO_BUILD = ("onnxruntime",)

LOAD_SECONDS, NOMINAL_SECONDS, NOMINAL_SIZE_PX = 0.003, 0.01, 224
"""To decode a photograph of ordinary size, and to run a small backbone on a picture of the usual
size where nothing was timed yet."""

BUILD_SECONDS = 1.5
"""To convert a small backbone for an engine; a measurement on two cores."""

MANY_ENOUGH = 64
"""Looks that a pass must take for its speed to be worth noting."""


class EngineSource:
    """Builds the engine of a run.

    Args:
        config: `engine` and `backbone` matter.
        hardware: a GPU, or half precision, takes TensorFlow's own graph.
        store: remembers what was measured on this machine.
        decisions: records the choice; a resumed run does not choose again.
        reporter: is told of the choice.
        shape: of a picture (or text), None where it differs.
    """

    def __init__(
        self,
        config: Config,
        hardware: Hardware,
        store: FeatureStore,
        decisions: Decisions,
        reporter: Reporter,
        shape: tuple[int | None, ...] = (NOMINAL_SIZE_PX, NOMINAL_SIZE_PX, 3),
    ) -> None:
        self._config = config
        self._hardware = hardware
        self._store = store
        self._decisions = decisions
        self._reporter = reporter
        side = shape[0] if len(shape) == 3 else None  # of pictures
        self._area = 1.0 if side is None else (side / NOMINAL_SIZE_PX) ** 2
        self._name: str | None = None
        self._names = engine_candidates(config, hardware, takes_texts=len(shape) < 3)
        recorded = decisions.read().get("engine")
        if recorded is not None:
            self._name = recorded["name"]
        elif self._names == ("tensorflow",):
            self._settle(EngineChoice("tensorflow"))

    @property
    def is_chosen(self) -> bool:
        """Whether `choose` need not be called."""
        return self._name is not None

    @property
    def identity(self) -> str:
        """All of the engine that can change a bit of its answer."""
        name = self._chosen
        # Known before the engine is built: what was kept needs none.
        versions = " ".join(f"{p} {package_version(p)}" for p in LIBRARIES.get(name, ()))
        return f"{name} {versions} {self._hardware.precision} batch {self._batch_size}"

    @property
    def nominal_seconds(self) -> float:
        """To run a small backbone on a picture of this size, before anything was timed."""
        return NOMINAL_SECONDS * self._area

    @property
    def look_seconds(self) -> float:
        """To load a picture and run the frozen part on it, as far as it was measured."""
        noted = self._store.recall(self._rate_key())
        if noted is not None:
            return float(noted["look_seconds"])
        measured = self._decisions.read().get("engine", {}).get("images_per_second", {})
        rate = measured.get(self._name)
        return LOAD_SECONDS + (1 / rate if rate else self.nominal_seconds)

    def note_look_seconds(self, seconds: float) -> None:
        """What a look took in a pass over many pictures: the next estimate is told by it."""
        self._store.note(self._rate_key(), {"look_seconds": seconds})

    def _rate_key(self) -> dict[str, Any]:
        machine = environment.machine()
        return {
            "rate": self._config.backbone,
            "area": self._area,
            "engine": self._name,
            "precision": self._hardware.precision,
            "devices": list(self._hardware.devices),
            "cpu": machine["cpu"],
            "cores": machine["cores"],
        }

    def choose(
        self,
        fingerprint: str,
        model: Callable[[], keras.Model],
        probe: Callable[[], np.ndarray],
        n_looks: int,
        n_missing: Callable[[], int] = lambda: MANY_LOOKS,
    ) -> Engine | None:
        """Take the fastest engine of this machine among those that say what Keras says.

        What was found for the same weights on the same machine with the same libraries holds:
        another engine would have all that was kept computed again.

        Args:
            fingerprint: of the whole frozen backbone.
            model: gives the frozen part.
            probe: gives some pictures, float32, shape (n, S, S, 3).
            n_looks: how many pictures are to be looked at.
            n_missing: how many of them the settled engine has not looked at yet, in any run.

        Returns:
            The engine of `model`, where it was built on the way.

        Raises:
            ConfigError: the engine that was asked for cannot run this backbone.
        """
        names = self._names
        if len(names) > 1 and n_looks < MANY_LOOKS:
            names = tuple(name for name in names if name not in SLOW_TO_BUILD)
        if len(names) > 1 and n_looks < FEW_LOOKS:
            names = ("folded",)
        # What was measured for many pictures is better than a guess for few.
        measured = self._store.recall(self._key(fingerprint, few=False))
        guessed = self._store.recall(self._key(fingerprint, few=True))
        if measured is not None:
            self._settle(EngineChoice.from_dict(measured))
            return None
        if guessed is not None:
            self._name = EngineChoice.from_dict(guessed).name
            # Few more pictures than before: another engine would look at all of them again.
            if names == ("folded",) or n_missing() < FEW_LOOKS:
                self._settle(EngineChoice.from_dict(guessed))
                return None
            self._name = None
        try:
            engine, choice = choose_engine(
                model(),
                probe(),
                names=names,
                batch_size=self._batch_size,
                reporter=self._reporter,
            )
        except EngineUnavailable as error:
            if self._config.engine != "auto":
                raise
            # The plain graph is Keras's own computation: nothing else is left to hold it to.
            self._reporter.warn(f"{error.problem} The plain TensorFlow graph is used.")
            self._settle(EngineChoice("tensorflow", refused={"auto": error.problem}))
            return None
        few = names == ("folded",) and len(self._names) > 1
        self._store.note(self._key(fingerprint, few=few), choice.to_dict())
        self._settle(choice)
        return engine

    def build(self, model: keras.Model) -> Engine:
        """The chosen engine for a model."""
        name = self._chosen
        if name not in LIBRARIES:  # TensorFlow's own graph is traced at its first call
            return build_engine(name, model, batch_size=self._batch_size)
        with self._reporter.bar(f"Building the {name} engine", 1, "graph") as bar:
            engine = build_engine(name, model, batch_size=self._batch_size)
            bar.advance()
        return engine

    @property
    def _chosen(self) -> str:
        if self._name is None:
            raise ValueError("no engine was chosen yet")
        return self._name

    @property
    def _batch_size(self) -> int:
        return self._hardware.extraction_batch

    def _settle(self, choice: EngineChoice) -> None:
        self._name = choice.name
        self._decisions.record("engine", choice.to_dict())
        self._reporter.message(f"Engine: {choice.describe()}")

    def _key(self, fingerprint: str, *, few: bool) -> dict[str, Any]:
        """What a measurement holds for."""
        machine = environment.machine()
        libraries = [name for names in LIBRARIES.values() for name in names]
        return {
            "backbone": fingerprint,
            "cpu": machine["cpu"],
            "cores": machine["cores"],
            "asked_for": self._config.engine,
            "libraries": {name: package_version(name) for name in libraries},
            "few": few,
            "code": code_fingerprint(),
        }


def engine_candidates(
    config: Config, hardware: Hardware, *, takes_texts: bool = False
) -> tuple[str, ...]:
    """Names of the engines that may run the frozen part, the likeliest first.

    Texts differ in length, which TensorFlow's own graph alone takes as it comes.
    """
    if takes_texts:
        return ("tensorflow",)
    if config.engine != "auto":
        return (config.engine,)
    on_gpu = hardware.devices[0].startswith("GPU")
    if on_gpu or hardware.precision != "float32":
        return ("tensorflow",)
    extra = ("onnxruntime",) if importlib.util.find_spec("onnxruntime") else ()
    return ("litert", *extra, "folded")
