"""Where training stands, on disk: enough to go on bit for bit.

    checkpoints/latest.npz             counters, history, variables, optimizer, dropout seeds
    checkpoints/best-<phase>-<n>.npz   the weights with the best validation log-loss so far

The best weights are written first and named by `latest`, so that a kill between the two
leaves a pair that belongs together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_app.errors import RunError
from tl_app.records import EpochRecord
from tl_app.storage import read_arrays, write_arrays


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Counters of a run in training.

    Attributes:
        phase: index of the phase under way; the number of phases when all are done.
        epoch: finished epochs of it.
        step: finished steps of the epoch under way.
        sums: loss, correct and count of those steps.
        best_loss: best validation log-loss over all phases.
        best: name of the file with its weights, or None.
        epochs_without_gain: of the phase under way.
        batch_size: may shrink when a GPU's memory is too small.
        history: all finished epochs.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)
    best_loss: float = float("inf")
    best: str | None = None
    epochs_without_gain: int = 0
    batch_size: int = 32
    history: tuple[EpochRecord, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "epoch": self.epoch,
            "step": self.step,
            "sums": list(self.sums),
            "best_loss": self.best_loss,
            "best": self.best,
            "epochs_without_gain": self.epochs_without_gain,
            "batch_size": self.batch_size,
            "history": [record.to_dict() for record in self.history],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingState:
        history = tuple(EpochRecord.from_dict(record) for record in values["history"])
        return cls(**{**values, "sums": tuple(values["sums"]), "history": history})


class Checkpoints:
    """The checkpoint folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.latest = folder / "latest.npz"

    def save(
        self,
        state: TrainingState,
        variables: Sequence[keras.Variable],
        optimizer: Sequence[keras.Variable] = (),
    ) -> None:
        """Write `latest`; best weights that it does not name are removed afterwards."""
        arrays = {"state": np.frombuffer(json.dumps(state.to_dict()).encode(), dtype=np.uint8)}
        arrays |= _named("variable", variables)
        arrays |= _named("optimizer", optimizer)
        write_arrays(self.latest, arrays)
        for path in self.folder.glob("best-*.npz"):
            if path.name != state.best:
                path.unlink()

    def save_state(self, state: TrainingState) -> None:
        """Change the counters of `latest` and nothing else."""
        arrays = self._read(self.latest)
        arrays["state"] = np.frombuffer(json.dumps(state.to_dict()).encode(), dtype=np.uint8)
        write_arrays(self.latest, arrays)

    def save_best(
        self, state: TrainingState, phase: str, epoch: int, variables: Sequence[keras.Variable]
    ) -> TrainingState:
        """Write the best weights; the state that names them must then be saved."""
        name = f"best-{phase}-{epoch}.npz"
        write_arrays(self.folder / name, _named("variable", variables))
        return replace(state, best=name)

    def restore_state(self) -> TrainingState | None:
        """Where training stood, or None before the first checkpoint.

        Raises:
            RunError: the checkpoint is damaged.
        """
        if not self.latest.exists():
            return None
        return TrainingState.from_dict(json.loads(self._read(self.latest)["state"].tobytes()))

    def restore_variables(self, variables: Sequence[keras.Variable]) -> None:
        """Put back the weights of `latest`."""
        _assign("variable", self._read(self.latest), variables, self.latest)

    def restore_optimizer(self, variables: Sequence[keras.Variable]) -> bool:
        """Put back the optimizer of `latest`; False when the phase had not begun."""
        arrays = self._read(self.latest)
        if not any(name.startswith("optimizer/") for name in arrays):
            return False
        _assign("optimizer", arrays, variables, self.latest)
        return True

    def restore_best(self, state: TrainingState, variables: Sequence[keras.Variable]) -> None:
        """Put back the best weights over all phases."""
        if state.best is not None:
            path = self.folder / state.best
            _assign("variable", self._read(path), variables, path)

    def _read(self, path: Path) -> dict[str, np.ndarray]:
        try:
            return read_arrays(path)
        except RunError as error:
            raise RunError(
                f"A checkpoint cannot be read. {error.problem}",
                received=str(path),
                allowed="a checkpoint as tl_app wrote it",
                next_step=f"rm -r {self.folder}   then --resume: training starts again from its "
                "first phase and ends with the same weights",
            ) from error


def _named(kind: str, variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    return {
        f"{kind}/{i}": keras.ops.convert_to_numpy(variable) for i, variable in enumerate(variables)
    }


def _assign(
    kind: str,
    arrays: Mapping[str, np.ndarray],
    variables: Sequence[keras.Variable],
    path: Path,
) -> None:
    shapes = {f"{kind}/{i}": tuple(v.shape) for i, v in enumerate(variables)}
    found = {name: a.shape for name, a in arrays.items() if name.startswith(f"{kind}/")}
    if shapes != found:
        raise RunError(
            "The checkpoint is of another model.",
            received=f"{path}: {len(found)} {kind} arrays",
            allowed=f"{len(shapes)} of the run's own shapes",
        )
    for i, variable in enumerate(variables):
        variable.assign(arrays[f"{kind}/{i}"])
