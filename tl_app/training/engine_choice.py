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

LOAD_SECONDS, NOMINAL_SECONDS = 0.003, 0.01
"""To decode a photograph of ordinary size, and to run a small backbone where none was timed."""


class EngineSource:
    """Builds the engine of a run.

    Args:
        config: `engine` and `backbone` matter.
        hardware: a GPU, or half precision, takes TensorFlow's own graph.
        store: remembers what was measured on this machine.
        decisions: records the choice; a resumed run does not choose again.
        reporter: is told of the choice.
    """

    def __init__(
        self,
        config: Config,
        hardware: Hardware,
        store: FeatureStore,
        decisions: Decisions,
        reporter: Reporter,
    ) -> None:
        self._config = config
        self._hardware = hardware
        self._store = store
        self._decisions = decisions
        self._reporter = reporter
        self._name: str | None = None
        self._names = engine_candidates(config, hardware)
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
    def look_seconds(self) -> float:
        """To load a picture and run the frozen part on it, as far as it was measured."""
        measured = self._decisions.read().get("engine", {}).get("images_per_second", {})
        rate = measured.get(self._name)
        return LOAD_SECONDS + (1 / rate if rate else NOMINAL_SECONDS)

    def choose(
        self,
        fingerprint: str,
        model: Callable[[], keras.Model],
        probe: Callable[[], np.ndarray],
        n_looks: int,
    ) -> Engine | None:
        """Take the fastest engine of this machine among those that say what Keras says.

        What was found for the same weights on the same machine with the same libraries holds:
        another engine would have all that was kept computed again.

        Args:
            fingerprint: of the whole frozen backbone.
            model: gives the frozen part.
            probe: gives some pictures, float32, shape (n, S, S, 3).
            n_looks: how many pictures are to be looked at.

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
        for key in (self._key(fingerprint, few=False), self._key(fingerprint, few=True)):
            remembered = self._store.recall(key)
            if remembered is not None and (names == ("folded",) or not key["few"]):
                self._settle(EngineChoice.from_dict(remembered))
                return None
        try:
            engine, choice = choose_engine(
                model(), probe(), names=names, batch_size=self._batch_size
            )
        except EngineUnavailable:
            if self._config.engine != "auto":
                raise
            self._settle(EngineChoice("tensorflow"))
            return None
        few = names == ("folded",) and len(self._names) > 1
        self._store.note(self._key(fingerprint, few=few), choice.to_dict())
        self._settle(choice)
        return engine

    def build(self, model: keras.Model) -> Engine:
        """The chosen engine for a model."""
        return build_engine(self._chosen, model, batch_size=self._batch_size)

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


def engine_candidates(config: Config, hardware: Hardware) -> tuple[str, ...]:
    """Names of the engines that may run the frozen part, the likeliest first."""
    if config.engine != "auto":
        return (config.engine,)
    on_gpu = hardware.devices[0].startswith("GPU")
    if on_gpu or hardware.precision != "float32":
        return ("tensorflow",)
    extra = ("onnxruntime",) if importlib.util.find_spec("onnxruntime") else ()
    return ("litert", *extra, "folded")
