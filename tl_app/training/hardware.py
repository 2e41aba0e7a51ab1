"""Which devices train, and in which number type. Chosen once, recorded, said on screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from tl_app.config import Config
from tl_app.errors import ConfigError, RunError

CPU_BATCH = 32
GPU_BATCH = 128
"""Pictures a batch when only the frozen part runs."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where a run trains.

    Attributes:
        devices: TensorFlow's short names, such as ("GPU:0", "GPU:1") or ("CPU:0",).
        precision: Keras dtype policy of the layers that train.
        extraction_batch: pictures a batch when only the frozen part runs.
    """

    devices: tuple[str, ...]
    precision: str
    extraction_batch: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Hardware:
        return cls(**{**values, "devices": tuple(values["devices"])})

    def describe(self) -> str:
        """One line for people."""
        kind = "mixed precision " + self.precision.removeprefix("mixed_")
        return f"{', '.join(self.devices)}; {kind if 'mixed' in self.precision else self.precision}"

    def build_strategy(self) -> tf.distribute.Strategy:
        """MirroredStrategy for several devices, else TensorFlow's default one."""
        if len(self.devices) > 1:
            return tf.distribute.MirroredStrategy(list(self.devices))
        return tf.distribute.OneDeviceStrategy(f"/{self.devices[0]}")


def choose_hardware(config: Config, *, one_device: bool = False) -> Hardware:
    """Every usable GPU, else the CPU; bfloat16 or float16 where the GPU computes in it.

    Args:
        config: `devices`, `precision` and `batch_size` matter.
        one_device: take the first only (TensorFlow Hub models cannot be mirrored).

    Raises:
        ConfigError: a named device does not exist, or the batch cannot be shared out evenly.
    """
    present = [d.name.removeprefix("/device:") for d in tf.config.list_logical_devices()]
    gpus = tuple(name for name in present if name.startswith("GPU"))
    if config.devices == "auto":
        devices = gpus or ("CPU:0",)
    else:
        devices = config.devices
        unknown = [name for name in devices if name not in present]
        if unknown or not devices or len(set(devices)) < len(devices):
            raise ConfigError(
                "A device of the configuration does not exist, or is named twice.",
                received=", ".join(unknown or devices) or "no device",
                allowed=f"each once of: {', '.join(present)}",
                next_step="tl-app doctor",
            )
    if one_device:
        devices = devices[:1]
    if config.batch_size % len(devices):
        raise ConfigError(
            "The batch cannot be shared out evenly over the devices.",
            received=f"batch_size {config.batch_size} on {len(devices)} devices",
            allowed=f"a multiple of {len(devices)}",
        )
    on_gpu = devices[0].startswith("GPU")
    precision: str = config.precision
    if precision == "auto":
        precision = _gpu_precision() if on_gpu else "float32"
    return Hardware(devices, precision, GPU_BATCH if on_gpu else CPU_BATCH)


def require_devices(hardware: Hardware) -> None:
    """
    Raises:
        RunError: a device that the run began on is not here.
    """
    present = [d.name.removeprefix("/device:") for d in tf.config.list_logical_devices()]
    missing = [name for name in hardware.devices if name not in present]
    if missing:
        raise RunError(
            "The run began on a device that is not here now.",
            received=", ".join(missing),
            allowed=", ".join(present),
            next_step="tl-app doctor; or train anew on this machine",
        )


def _gpu_precision() -> str:
    """The widest-ranged half type that the slowest GPU has in hardware."""
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    oldest = min(capabilities, default=(0, 0))
    if oldest >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if oldest >= (7, 0) else "float32"
