"""The server against the bare engine, and against a handler that is written by hand.

    make bench-serve                 or: python -m benchmarks.serving [--seconds 10] [--repeats 3]

Trains a head on the demo photographs, exports it for LiteRT, and takes turns: the engine alone
(decoding and inference in threads of one process), `tl-app serve`, and a FastAPI handler around
`model.predict`. All are given the same JPEG files; the servers by wrk, over loopback, which shares
the cores with them. Prints a table of medians over the turns and saves all figures as JSON below
reports/benchmarks/. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from benchmarks.processes import ROOT
from examples.demo_photos import stamps
from tl_app.environment import usable_cores
from tl_app.storage import write_json

N_PICTURES = 64
LONGER_SIDE_PX = 640
CONCURRENCY = 16
TARGETS = {"p50": 1.3, "throughput": 0.75, "handler": 3.0}

LUA = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
local at = 0
request = function()
  at = at %% #bodies + 1
  return wrk.format("POST", "%s", {["Content-Type"] = "application/json"}, bodies[at])
end
local bad = 0
response = function(status) if status ~= 200 then bad = bad + 1 end end
done = function(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout))
end
"""

HANDLER = """
import base64, io, json, sys
import keras, numpy as np
from fastapi import FastAPI, Request
from PIL import Image
from tl_app.training.classifier import load_model

model = load_model(sys.argv[1])
labels = json.loads(sys.argv[2])
size = model.input_shape[1]
app = FastAPI()

@app.post("/predict")
def predict(body: dict):
    picture = Image.open(io.BytesIO(base64.b64decode(body["instances"][0]["b64"]))).convert("RGB")
    pixels = np.asarray(picture.resize((size, size)), np.float32)
    told = model.predict(pixels[None], verbose=0)[0]
    best = told.argsort()[::-1][:5]
    return {"predictions": [{"labels": [labels[i] for i in best],
                             "probabilities": [float(told[i]) for i in best]}]}

if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app, port=int(sys.argv[3]), log_level="error")
"""


def main() -> int:
    arguments = parse()
    if shutil.which("wrk") is None:
        print("wrk is not here. Debian and Ubuntu: apt-get install wrk", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        photos = arguments.photos or Path(stamps(place / "photos"))
        run, version = prepare(place, photos.resolve(), arguments.engine)
        pictures = jpegs(photos)
        bodies = place / "bodies.txt"
        bodies.write_text(
            "".join(
                json.dumps({"instances": [{"b64": base64.b64encode(p).decode()}]}) + "\n"
                for p in pictures
            )
        )
        found = measure(place, run, version, pictures, bodies, arguments)
    print(table(found))
    target = ROOT / "reports" / "benchmarks" / f"serving-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, found)
    print(f"\n{target.relative_to(ROOT)}")
    return 0 if all(row["is_met"] for row in found["targets"]) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="a folder of classes (default: the demo set)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a measurement")
    parser.add_argument("--repeats", type=int, default=3, help="turns")
    parser.add_argument("--engine", choices=("litert", "onnx"), default="litert")
    return parser.parse_args()


def prepare(place: Path, photos: Path, engine: str) -> tuple[Path, Path]:
    """A run with a head alone, and its exported version."""
    head = 'phases=[{name="head"}]'
    tl_app("train", photos, "--name", "run", "--set", head, "--set", "export=false", cwd=place)
    tl_app("export", "run", "served", "--format", engine, cwd=place)
    return place / "models" / "run", place / "served" / "1"


def tl_app(*arguments: object, cwd: Path) -> None:
    command = [sys.executable, "-m", "tl_app", *map(str, arguments), "--quiet"]
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def jpegs(photos: Path) -> list[bytes]:
    """Photographs as a camera's JPEG of a moderate size, evenly from all classes."""
    files = sorted(p for p in photos.rglob("*") if p.suffix.lower() in (".jpg", ".png"))
    found = []
    for file in files[:: max(1, len(files) // N_PICTURES)][:N_PICTURES]:
        picture = Image.open(file).convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        scale = LONGER_SIDE_PX / max(white.size)
        size = (max(1, round(white.width * scale)), max(1, round(white.height * scale)))
        buffer = io.BytesIO()
        white.convert("RGB").resize(size).save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def measure(
    place: Path, run: Path, version: Path, pictures: list[bytes], bodies: Path, arguments: Any
) -> dict[str, Any]:
    names = json.loads((version / "assets" / "preprocessing.json").read_text())["class_names"]
    handler = place / "handler.py"
    handler.write_text(HANDLER)
    turns: list[dict[str, float]] = []
    with serving(version.parent) as ours, handling(handler, run, names) as theirs:
        for number in range(arguments.repeats):
            turn = engine_alone(version, arguments.engine, pictures, arguments.seconds)
            for name, url in (("server", ours), ("handler", theirs)):
                one = load(place, url, bodies, 1, arguments.seconds)
                many = load(place, url, bodies, CONCURRENCY, arguments.seconds)
                turn[f"{name}_p50_ms"] = one["p50_ms"]
                turn[f"{name}_per_second"] = many["per_second"]
            turns.append(turn)
            print(f"turn {number + 1}: {turn}", file=sys.stderr)

    def ratio(above: str, below: str) -> float:
        return median(turn[above] / turn[below] for turn in turns)

    values = {
        "p50": ratio("server_p50_ms", "engine_p50_ms"),
        "throughput": ratio("server_per_second", "engine_per_second"),
        "handler": ratio("server_per_second", "handler_per_second"),
    }
    return {
        "engine": arguments.engine,
        "n_cores": usable_cores(),
        "picture_bytes": round(median(map(len, pictures))),
        "turns": turns,
        "medians": {key: median(turn[key] for turn in turns) for key in turns[0]},
        "targets": [
            {
                "name": name,
                "value": value,
                "target": TARGETS[name],
                "is_met": value <= TARGETS[name] if name == "p50" else value >= TARGETS[name],
            }
            for name, value in values.items()
        ],
    }


ENGINE_ALONE = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tl_app.environment import usable_cores
from tl_app.export.small_model import SmallModel

model = SmallModel(Path(sys.argv[1]), sys.argv[2])
seconds = float(sys.argv[4])
pictures = [Path(line).read_bytes() for line in Path(sys.argv[3]).read_text().split()]
for picture in pictures[:4]:
    model.answer(picture)
times, until = [], time.perf_counter() + seconds
while time.perf_counter() < until:
    started = time.perf_counter()
    model.answer(pictures[len(times) % len(pictures)])
    times.append(time.perf_counter() - started)
until = time.perf_counter() + seconds
def work(number):
    n = 0
    while time.perf_counter() < until:
        model.answer(pictures[(number + n) % len(pictures)])
        n += 1
    return n
started = time.perf_counter()
with ThreadPoolExecutor(usable_cores()) as pool:
    n = sum(pool.map(work, range(usable_cores())))
print(json.dumps({"engine_p50_ms": 1000 * median(times),
                  "engine_per_second": n / (time.perf_counter() - started)}))
"""


def engine_alone(
    version: Path, engine: str, pictures: list[bytes], seconds: float
) -> dict[str, float]:
    """Decoding and inference on one thread, and on as many as there are cores."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, picture in enumerate(pictures):
            files.append(Path(folder) / f"{number}.jpg")
            files[-1].write_bytes(picture)
        listed = Path(folder) / "files.txt"
        listed.write_text("\n".join(map(str, files)))
        command = [sys.executable, "-c", ENGINE_ALONE, version, engine, listed, seconds]
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, check=True, capture_output=True, text=True
        )
    return json.loads(done.stdout)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of `:predict` of a running server."""
    port = free_port()
    command = [sys.executable, "-m", "tl_app", "serve", str(folder), "--port", str(port)]
    with running([*command, "--quiet"], f"http://127.0.0.1:{port}/healthz"):
        yield f"http://127.0.0.1:{port}/v1/models/{folder.name}:predict"


@contextlib.contextmanager
def handling(script: Path, run: Path, names: list[str]) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, str(script), str(run / "model.keras"), json.dumps(names), str(port)]
    with running(command, f"http://127.0.0.1:{port}/docs"):
        yield f"http://127.0.0.1:{port}/predict"


@contextlib.contextmanager
def running(command: list[str], url: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"did not start: {command}") from None
                time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def load(place: Path, url: str, bodies: Path, concurrency: int, seconds: float) -> dict[str, float]:
    """What wrk measures with so many connections; after a second that is not counted."""
    path = re.sub(r"^http://[^/]+", "", url)
    script = place / "load.lua"
    script.write_text(LUA % (bodies, path))
    command = ["wrk", "-t1", f"-c{concurrency}", "--timeout", "30s", "-s", str(script), url]
    subprocess.run([*command, "-d1s"], check=True, capture_output=True)
    done = subprocess.run(
        [*command, f"-d{max(1, round(seconds))}s"], check=True, capture_output=True, text=True
    )
    n, microseconds, p50, n_bad = map(
        int, re.findall(r"RESULT (\d+) (\d+) (\d+) (\d+)", done.stdout)[0]
    )
    if n_bad:
        raise SystemExit(f"{n_bad} of {n} requests to {url} failed")
    return {"per_second": n / (microseconds / 1e6), "p50_ms": p50 / 1000}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def table(found: dict[str, Any]) -> str:
    medians = found["medians"]
    lines = [
        f"{found['engine']}, {found['n_cores']} cores, JPEG of {found['picture_bytes']:,} bytes",
        "",
        "                 p50, one at a time   pictures/s, all cores",
    ]
    ways = {"engine": "engine alone", "server": "tl-app serve", "handler": "FastAPI"}
    for name, title in ways.items():
        p50, rate = medians[f"{name}_p50_ms"], medians[f"{name}_per_second"]
        lines.append(f"{title:15}  {p50:15.1f} ms   {rate:18.1f}")
    titles = {
        "p50": "p50 of the server / engine",
        "throughput": "throughput of the server / engine",
        "handler": "throughput of the server / FastAPI",
    }
    lines.append("")
    for row in found["targets"]:
        sign = "<=" if row["name"] == "p50" else ">="
        met = "met" if row["is_met"] else "NOT MET"
        lines.append(
            f"{titles[row['name']]:36} {row['value']:.2f}  ({sign} {row['target']}: {met})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
