"""Get a small set of real photographs to try tl_app on, and print how to name it.

    tl-app train $(python examples/demo_photos.py)

The set is made of the photo stamps of Debian's package `tuxpaint-stamps-default`: five
classes, transparent PNGs. The package is downloaded by apt, which checks it, and unpacked
without being installed. Where that cannot be had, the set is tensorflow-datasets' `tf_flowers`.
Progress goes to standard error, so that standard output is the argument for `tl-app train`.

Uses the standard library only, until the second source is needed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

PACKAGE = "tuxpaint-stamps-default"
STAMPS = Path("usr/share/tuxpaint/stamps")

# Class name -> folders of stamps, each with all its sub-folders.
CLASSES = {
    "birds": ("animals/birds",),
    "mammals": ("animals/mammals", "animals/marsupials"),
    "food": ("food/fruit", "food/vegetables", "food/nuts"),
    "plants": ("plants",),
    "objects": ("household", "hobbies"),
}
DRAWINGS = frozenset({"cartoon", "toys", "plastic"})

FLOWERS = "tf_flowers"
FLOWERS_ADDRESS = (
    "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
)
REACH_SECONDS = 15
APT_SECONDS = 900


class Unavailable(Exception):
    """A source cannot be had here; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Get the demo photographs.")
    parser.add_argument(
        "--into", type=Path, default=Path("data"), metavar="DIR", help="default: data"
    )
    into = parser.parse_args(argv).into
    target = into / "demo_photos"
    reasons = []
    sources: tuple[tuple[str, Callable[[], str]], ...] = (
        ("the photo stamps", lambda: stamps(target)),
        (f"tfds:{FLOWERS}", lambda: flowers(into)),
    )
    for title, get in sources:
        try:
            print(get())
        except Unavailable as reason:
            reasons.append(f"  {title}: {reason}")
            continue
        return 0
    say("No demo photographs can be had here:\n" + "\n".join(reasons))
    say("Any folder with one sub-folder of pictures a class will do:  tl-app train FOLDER")
    return 1


def stamps(target: Path) -> str:
    """The folder with the class folders; made when it is not there yet."""
    if all((target / name).is_dir() for name in CLASSES):
        say(f"using the photographs in {target}")
        return str(target)
    if target.exists():
        raise Unavailable(f"{target} exists and is not the demo set; move it away")
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not here (Debian and Ubuntu have it)")
    try:
        with tempfile.TemporaryDirectory(prefix="tl-app-demo-") as scratch:
            say(f"downloading {PACKAGE} (about 160 MB)")
            archive = download_package(Path(scratch))
            unpacked = Path(scratch) / "unpacked"
            run_tool(["dpkg-deb", "-x", str(archive), str(unpacked)])
            counts = build_classes(unpacked / STAMPS, target)
    except OSError as error:
        raise Unavailable(f"{error.strerror or error} ({error.filename or target})") from error
    say(f"{target}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    return str(target)


def download_package(folder: Path, package: str = PACKAGE) -> Path:
    """`apt-get download` into `folder`; refreshes apt's lists once where that may help."""
    try:
        run_tool(apt_get("download", package), folder)
    except Unavailable:
        if os.geteuid() != 0:
            raise
        run_tool(apt_get("update"), folder)
        run_tool(apt_get("download", package), folder)
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if not archives:
        raise Unavailable("apt-get download left no file")
    return archives[0]


def apt_get(*arguments: str) -> list[str]:
    # As root, apt would fetch as a user that cannot write into our temporary folder.
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    return ["apt-get", "--quiet", *sandbox, *arguments]


def run_tool(command: Sequence[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=APT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took over {APT_SECONDS} s") from error
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"{' '.join(command[:1])} failed: {last}")


def build_classes(stamps_folder: Path, target: Path) -> dict[str, int]:
    """Copy the photographs into class folders below `target`, which appears complete or not.

    Returns:
        Number of pictures of each class.
    """
    if not stamps_folder.is_dir():
        raise Unavailable("the package holds no stamps where they were expected")
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        counts = {}
        for name, folders in CLASSES.items():
            (building / name).mkdir()
            counts[name] = 0
            for folder in folders:
                for picture in photographs(stamps_folder / folder):
                    # Sub-folders are joined into the name: two of them may hold one name.
                    parts = picture.relative_to(stamps_folder / folder).parts
                    prefix = Path(folder).name
                    shutil.copyfile(picture, building / name / "-".join((prefix, *parts)))
                    counts[name] += 1
        empty = [name for name, n in counts.items() if n == 0]
        if empty:
            raise Unavailable(f"the package holds no pictures of: {', '.join(empty)}")
        building.chmod(0o755)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return counts


def photographs(folder: Path) -> list[Path]:
    """PNGs below `folder` that are photographs, and no mirrored twins; sorted."""
    return [
        path
        for path in sorted(folder.rglob("*.png"))
        if "_mirror" not in path.stem and not DRAWINGS.intersection(path.relative_to(folder).parts)
    ]


def flowers(into: Path) -> str:
    """Arguments that name tf_flowers, prepared by tensorflow-datasets below `into`."""
    data_dir = into / "tensorflow_datasets"
    # tensorflow-datasets would try for minutes without a network: ask once, shortly.
    if not (data_dir / FLOWERS).is_dir():
        request = urllib.request.Request(FLOWERS_ADDRESS, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=REACH_SECONDS).close()
        except (urllib.error.URLError, OSError) as error:
            raise Unavailable(f"cannot be downloaded ({error})") from error
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise Unavailable(f"tensorflow-datasets is not installed ({error})") from error
    say(f"preparing {FLOWERS} in {data_dir} (about 220 MB)")
    tfds.builder(FLOWERS, data_dir=data_dir).download_and_prepare()
    return f"tfds:{FLOWERS} --data-dir {data_dir}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
