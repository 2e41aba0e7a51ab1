"""Promises about the project as a whole: names, import direction, weight of an import."""

from __future__ import annotations

import os
import pkgutil
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tl_app

ROOT = Path(__file__).parents[1]
HEAVY = (
    "tensorflow",
    "keras",
    "numpy",
    "matplotlib",
    "sklearn",
    "scipy",
    "PIL",
    "pydantic",
    "rich",
)
HELP_SECONDS = 0.4


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout


def test_public_names() -> None:
    assert tl_app.__all__ == [
        "Config",
        "ConfigError",
        "DataError",
        "ExportError",
        "Interrupted",
        "RunError",
        "StorageError",
        "TlAppError",
        "WeightsError",
        "__version__",
        "apply_fixes",
        "audit_data",
        "cache_info",
        "cache_prune",
        "compare",
        "doctor",
        "evaluate",
        "export_model",
        "list_backbones",
        "load_config",
        "predict",
        "resume",
        "serve",
        "train",
        "undo_fixes",
        "write_report",
    ]
    assert dir(tl_app) == sorted(tl_app.__all__)


@pytest.mark.parametrize("name", tl_app.__all__)
def test_each_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(tl_app, name)
    assert value.__doc__


def test_no_room_hides_a_public_name() -> None:
    """`import tl_app.report` would put the room in the place of a function `report`."""
    rooms = {module.name for module in pkgutil.iter_modules(tl_app.__path__)}
    assert rooms.isdisjoint(tl_app.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="trian"):
        tl_app.trian  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import tl_app",
        "from tl_app import TlAppError",
        "from tl_app.cli.main import main; main(['--help'])",
        "from tl_app.cli.main import main; main(['train', '--help'])",
        "from tl_app.cli.main import main; main(['trian'])",
    ],
)
def test_light_imports_stay_light(code: str) -> None:
    shown = run_python(f"{code}\nimport sys\nprint('LOADED', *sys.modules)")
    loaded = set(shown.rpartition("LOADED")[2].split())
    assert loaded.isdisjoint(HEAVY)


def test_the_api_module_itself_loads_no_tensorflow() -> None:
    loaded = run_python("from tl_app import train\nimport sys\nprint(*sys.modules)").split()
    assert not {"tensorflow", "keras"}.intersection(loaded)


def cpu_seconds(command: list[str]) -> float:
    """User and system time of a child process."""
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_is_quick() -> None:
    """Measured on the process itself, so that a busy machine changes little."""
    measured = [cpu_seconds([sys.executable, "-m", "tl_app", "--help"]) for _ in range(5)]
    assert statistics.median(measured) < HELP_SECONDS


def test_import_direction() -> None:
    """The contracts of pyproject.toml, which state the table of rooms."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_stands_in_the_layers() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["importlinter"]
    layers = settings["contracts"][0]
    assert layers["exhaustive"] is True
    named = {
        name.strip(" ()")
        for layer in layers["layers"]
        for name in layer.replace("|", ",").split(",")
    }
    rooms = {module.name for module in pkgutil.iter_modules(tl_app.__path__)}
    assert rooms <= named


def test_version_stands_in_one_place() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{tl_app.__version__}]" in changelog


def test_what_is_installed_is_pinned() -> None:
    """Every requirement of the project has its exact version in constraints.txt."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    wanted = list(project["dependencies"])
    for extra in ("dev", "heic", "lite", "onnx"):
        wanted += extras[extra]
    names = {_plain_name(text) for text in wanted} - {"setuptools"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert all("==" in line for line in lines)
    assert names <= {_plain_name(line) for line in lines}


def _plain_name(requirement: str) -> str:
    name = requirement
    for mark in "<>=[;! ~":
        name = name.partition(mark)[0]
    return name.strip().lower().replace("_", "-")
