from __future__ import annotations

import pytest
import tensorflow as tf

from tl_app.config import Config
from tl_app.errors import ConfigError, RunError
from tl_app.training import hardware
from tl_app.training.hardware import Hardware, choose_hardware, require_devices


class Device:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def gpus(monkeypatch):
    """Pretend to have GPUs of these compute capabilities."""

    def install(*capabilities: tuple[int, int]) -> None:
        logical = [Device("/device:CPU:0")]
        logical += [Device(f"/device:GPU:{i}") for i in range(len(capabilities))]
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: logical)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: capabilities)
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda capability: {"compute_capability": capability},
        )

    return install


def test_the_processor_trains_in_float32():
    chosen = choose_hardware(Config(devices=("CPU:0",)))
    assert chosen == Hardware(("CPU:0",), "float32", hardware.CPU_BATCH)
    assert Hardware.from_dict(chosen.to_dict()) == chosen


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ([(9, 0)], "mixed_bfloat16"),
        ([(8, 0), (7, 5)], "mixed_float16"),
        ([(7, 0)], "mixed_float16"),
        ([(6, 1)], "float32"),
    ],
)
def test_the_oldest_gpu_decides_the_precision(gpus, capabilities, precision):
    gpus(*capabilities)
    chosen = choose_hardware(Config())
    assert chosen.devices == tuple(f"GPU:{i}" for i in range(len(capabilities)))
    assert chosen.precision == precision
    assert chosen.extraction_batch == hardware.GPU_BATCH
    assert choose_hardware(Config(precision="float32")).precision == "float32"


def test_an_unknown_device_and_an_uneven_batch(gpus):
    gpus((9, 0), (9, 0), (9, 0))
    with pytest.raises(ConfigError, match="does not exist") as caught:
        choose_hardware(Config(devices=("GPU:3",)))
    assert "GPU:2" in str(caught.value)
    with pytest.raises(ConfigError, match="named twice"):
        choose_hardware(Config(devices=("GPU:0", "GPU:0")))
    assert choose_hardware(Config(), one_device=True).devices == ("GPU:0",)
    with pytest.raises(RunError, match="not here now"):
        require_devices(Hardware(("GPU:9",), "float32", 32))
    with pytest.raises(ConfigError, match="evenly"):
        choose_hardware(Config(batch_size=32))
