"""Facts about the machine, without TensorFlow."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tl_app import environment
from tl_app.errors import ConfigError
from tl_app.libraries import prepare_libraries

BUILD = {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"}


def test_a_description_is_json_and_names_neither_host_nor_user() -> None:
    text = json.dumps(environment.describe())
    facts = json.loads(text)
    assert facts["packages"]["numpy"]
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["memory_bytes"] > 2**28
    values = {str(v) for v in (*facts.values(), *facts["packages"].values())}
    for private in (socket.gethostname(), getpass.getuser()):
        assert private not in values
    assert str(Path.home()) not in text


def test_packages_that_are_not_here_are_none() -> None:
    versions = environment.package_versions(["numpy", "no-such-distribution"])
    assert versions["numpy"]
    assert versions["no-such-distribution"] is None


def test_an_unused_gpu_names_the_missing_library() -> None:
    def all_but_cudnn(name: str) -> bool:
        return not name.startswith("libcudnn")

    sentence = environment.explain_unused_gpu(BUILD, all_but_cudnn)
    assert "libcudnn.so.9 cannot be loaded" in sentence
    assert "libcudart" not in sentence
    assert "tl_app[gpu]" in sentence


def test_the_sonames_follow_the_cuda_version() -> None:
    def only_driver(name: str) -> bool:
        return name == "libcuda.so.1"

    sentence = environment.explain_unused_gpu(BUILD, only_driver)
    for name in ("libcudart.so.12", "libcufft.so.11", "libcusolver.so.11", "libcusparse.so.12"):
        assert name in sentence


@pytest.mark.parametrize(
    ("build", "loads", "word"),
    [
        ({"is_cuda_build": False}, True, "without CUDA"),
        (BUILD, False, "libcuda.so.1"),
        (BUILD, True, "nvidia-smi"),
    ],
)
def test_other_reasons_for_an_unused_gpu(build: dict[str, object], loads: bool, word: str) -> None:
    assert word in environment.explain_unused_gpu(build, lambda name: loads)


def test_a_gpu_is_seen_by_its_device_files(tmp_path: Path) -> None:
    assert not environment.has_nvidia_device(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert not environment.has_nvidia_device(tmp_path)
    (tmp_path / "dev/nvidia0").touch()
    assert environment.has_nvidia_device(tmp_path)


def test_libraries_are_found_by_loading_them() -> None:
    assert environment.can_load("libc.so.6")
    assert not environment.can_load("libnothing-of-this-name.so.3")


@pytest.mark.parametrize(
    ("visible", "hidden"), [(None, False), ("", True), ("-1", True), ("0", False)]
)
def test_hidden_gpus_are_no_problem(visible: str | None, hidden: bool) -> None:
    assert environment._is_hidden(visible) is hidden


def test_keras_on_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SimpleNamespace(config=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(sys.modules, "keras", other)
    with pytest.raises(ConfigError, match="jax"):
        prepare_libraries()


def test_keras_is_told_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    prepare_libraries()
    assert environment.os.environ["KERAS_BACKEND"] == "tensorflow"
