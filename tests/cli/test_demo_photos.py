"""The demo set: which stamps are taken, and that it appears whole or not at all."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest

SCRIPT = Path(__file__).parents[2] / "examples/demo_photos.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_photos", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WANTED = (
    "animals/birds/hen.png",
    "animals/mammals/badger.png",
    "animals/mammals/cats/tiger.png",
    "animals/marsupials/tiger.png",
    "food/fruit/apple.png",
    "food/nuts/almond.png",
    "food/vegetables/leek.png",
    "plants/fern.png",
    "plants/trees/oak.png",
    "household/lamp.png",
    "hobbies/music/string/violin.png",
)
UNWANTED = (
    "animals/birds/hen_mirror.png",
    "animals/birds/hen.txt",
    "animals/birds/cartoon/duck.png",
    "animals/fish/trout.png",
    "animals/mammals/bears/toys/teddy.png",
    "food/dessert/cake.png",
    "plants/flowers/plastic/rose.png",
)


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    folder = tmp_path / "stamps"
    for name in (*WANTED, *UNWANTED):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_photographs_are_taken_and_drawings_left(
    demo: ModuleType, stamps: Path, tmp_path: Path
) -> None:
    counts = demo.build_classes(stamps, tmp_path / "data/demo")
    assert counts == {"birds": 1, "mammals": 3, "food": 3, "plants": 2, "objects": 2}
    taken = sorted(p.read_text() for p in (tmp_path / "data/demo").rglob("*.png"))
    assert taken == sorted(WANTED)


def test_a_failure_leaves_nothing(
    demo: ModuleType, stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = 0

    def fail_at_the_fifth(source: Path, target: Path) -> None:
        nonlocal copies
        copies += 1
        if copies == 5:
            raise OSError(28, "No space left on device")
        Path(target).write_bytes(Path(source).read_bytes())

    monkeypatch.setattr(demo.shutil, "copyfile", fail_at_the_fifth)
    with pytest.raises(OSError, match="No space"):
        demo.build_classes(stamps, tmp_path / "data/demo")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_package_without_a_class_is_refused(
    demo: ModuleType, stamps: Path, tmp_path: Path
) -> None:
    shutil.rmtree(stamps / "plants")
    with pytest.raises(demo.Unavailable, match="plants"):
        demo.build_classes(stamps, tmp_path / "data/demo")
    assert not (tmp_path / "data/demo").exists()


def test_a_finished_set_is_used_again(
    demo: ModuleType,
    stamps: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    demo.build_classes(stamps, tmp_path / "data/demo_photos")
    monkeypatch.setattr(demo, "download_package", lambda folder: pytest.fail("downloads again"))
    assert demo.main(["--into", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/data/demo_photos\n"


def test_a_real_package_is_unpacked(
    demo: ModuleType, stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dpkg-deb packs a small one of the same layout; only the download is left out."""
    if shutil.which("dpkg-deb") is None:  # then the script itself must say so
        with pytest.raises(demo.Unavailable, match="is not here"):
            demo.stamps(tmp_path / "data/demo_photos")
        return
    root = tmp_path / "root"
    shutil.copytree(stamps, root / demo.STAMPS)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(
        "Package: stamps\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: x\n"
    )

    def pack(folder: Path) -> Path:
        archive = folder / "stamps_1_all.deb"
        subprocess.run(["dpkg-deb", "--build", root, archive], check=True, capture_output=True)
        return archive

    monkeypatch.setattr(demo, "download_package", pack)
    monkeypatch.setattr(demo.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    assert demo.stamps(tmp_path / "data/demo_photos") == str(tmp_path / "data/demo_photos")
    assert (tmp_path / "data/demo_photos/mammals/mammals-cats-tiger.png").is_file()


def test_where_nothing_can_be_had_both_reasons_are_told(
    demo: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(demo.shutil, "which", lambda tool: None)
    monkeypatch.setattr(demo.urllib.request, "urlopen", unreachable)
    assert demo.main(["--into", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "apt-get is not here" in captured.err
    assert "no network" in captured.err
    assert "tl-app train FOLDER" in captured.err


def test_what_a_failing_tool_said_is_told(demo: ModuleType) -> None:
    with pytest.raises(demo.Unavailable, match="bash failed: no such thing"):
        demo.run_tool(["bash", "-c", "echo first; echo no such thing >&2; exit 3"])
