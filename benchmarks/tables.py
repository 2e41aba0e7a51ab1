"""A benchmark's document as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

WAYS = {
    "tl_app": "tl_app",
    "published": "recipe, as published",
    "repaired": "recipe, repaired",
}
VERDICTS = {True: "yes", False: "no", None: "cannot be judged here"}


def render(document: dict[str, Any]) -> str:
    """All that was measured, one section a part; parts that were not run are left out."""
    parts = list(_introduction(document))
    for one_set in document["sets"]:
        parts += _set(one_set)
    if document.get("growth"):
        parts += _growth(document["growth"])
    if document.get("extraction"):
        parts += _extraction(document["extraction"])
    if document.get("targets"):
        rows = [
            [row["name"], row["wanted"], row["measured"], VERDICTS[row["met"]]]
            for row in document["targets"]
        ]
        parts += ["## Targets", table(["", "wanted", "measured", "met"], rows)]
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every column but the first stands to the right."""
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _introduction(document: dict[str, Any]) -> Iterator[str]:
    machine = document["environment"]["machine"]
    versions = document["environment"]["packages"]
    yield f"# Benchmark of {document['created']}"
    yield (
        f"{machine['cpu']}, {machine['cores']} cores. tl_app {document['environment']['tl_app']}, "
        f"TensorFlow {versions['tensorflow']}, Keras {versions['keras']}. Backbone "
        f"{document['backbone']['backbone']}, {document['backbone']['image_size_px']} px."
    )
    yield (
        "Every run is a whole process with an empty cache; the ways take turns. Seconds are "
        "medians from the start of the process to its end, memory is the largest of the runs."
    )


def _set(one_set: dict[str, Any]) -> Iterator[str]:
    ways = one_set["ways"]
    names = [name for name in WAYS if name in ways]
    yield (
        f"## {one_set['name']}: {one_set['n_train']:,} training and {one_set['n_test']:,} test "
        f"pictures in {len(one_set['class_names'])} classes"
    )
    rows = [
        ["runs", *(str(len(ways[name]["runs"])) for name in names)],
        ["epochs run, a phase", *(_epochs(ways[name]) for name in names)],
        ["seconds, all epochs", *(_seconds(ways[name]["scaled_seconds"]) for name in names)],
        ["... as run", *(_seconds(ways[name]["seconds"]) for name in names)],
        ["an epoch of fine-tuning", *(_epoch(ways[name]) for name in names)],
        ["test accuracy", *(f"{ways[name]['accuracy']:.1%}" for name in names)],
        ["peak memory, MB", *(_megabytes(ways[name]["peak_memory_bytes"]) for name in names)],
        [
            "... anonymous, MB",
            *(_megabytes(ways[name]["peak_anonymous_bytes"]) for name in names),
        ],
    ]
    yield table(["", *(WAYS[name] for name in names)], rows)
    if one_set["comparisons"]:
        yield "### tl_app against the recipes"
        yield table(
            ["recipe", "times faster", "accuracy, points", "95 % interval", "only tl_app right",
             "only recipe right", "McNemar p"],
            [_comparison(row) for row in one_set["comparisons"]],
        )  # fmt: skip
        if not all(row["is_whole_recipe"] for row in one_set["comparisons"]):
            yield (
                "The recipes were run for fewer epochs than they have; their times are scaled, "
                "and their accuracies are those of the shorter runs."
            )
    yield "### Seconds by phase"
    yield table(
        ["way", "phase", "seconds"],
        [
            [WAYS[name], phase, _seconds(seconds)]
            for name in names
            for phase, seconds in ways[name]["phases"].items()
        ],
    )
    app = ways["tl_app"]
    if app["told"]:
        yield "### Seconds that tl_app told beforehand"
        yield table(
            ["part", "told", "taken"],
            [
                [part, _seconds(seconds), _seconds(app["phases"][part])]
                for part, seconds in app["told"].items()
            ],
        )
    yield "### First and second training of tl_app"
    second = one_set["second_training"]
    yield table(
        ["seconds from the start", "empty cache", "same cache, another seed"],
        [
            [label, _at(ways["tl_app"], name), _at(second, name)]
            for name, label in {
                "imported": "libraries imported",
                "first_bar": "first bar",
                "head_begins": "head phase begins",
                "head_solved": "head solved",
            }.items()
        ]
        + [["end", _seconds(ways["tl_app"]["seconds"]), _seconds(second["seconds"])]],
    )


def _epochs(way: dict[str, Any]) -> str:
    return " + ".join(map(str, way["runs"][0]["n_epochs"])) or "its own"


def _epoch(way: dict[str, Any]) -> str:
    return "" if way["epoch_seconds"] is None else f"{way['epoch_seconds']:.2f}"


def _comparison(row: dict[str, Any]) -> list[str]:
    return [
        row["against"],
        f"{row['times_faster']:.1f}",
        f"{100 * row['difference']:+.1f}",
        f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}",
        str(row["n_first_only"]),
        str(row["n_second_only"]),
        f"{row['p_value']:.2g}",
    ]


def _growth(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Growth: a training of the head alone"
    yield table(
        ["pictures", "seconds", "ms for one more", "peak memory, MB", "anonymous, MB",
         "kB for one more"],
        [
            [
                f"{row['n_pictures']:,}",
                _seconds(row["seconds"]),
                f"{1e3 * row['seconds_per_picture']:.1f}" if "seconds_per_picture" in row else "",
                _megabytes(row["peak_memory_bytes"]),
                _megabytes(row["peak_anonymous_bytes"]),
                f"{row['anonymous_bytes_per_picture'] / 1e3:,.0f}"
                if "anonymous_bytes_per_picture" in row
                else "",
            ]
            for row in rows
        ],
    )  # fmt: skip


def _extraction(found: dict[str, Any]) -> Iterator[str]:
    rates = found["pictures_per_second"]
    labels = {
        "app": "tl_app: files to kept features",
        "tf_function": "the same through a plain tf.function",
        "decode": "decoding alone",
        "engine": "tl_app's engine alone",
        "decode_then_engine": "decoding, then engine, one after the other",
        "bare": "bare backbone, pictures in memory",
    }
    yield f"## Extraction: {found['n_pictures']:,} pictures"
    yield table(
        ["", "pictures a second", "tl_app's share"],
        [
            [label, f"{rates[name]:.1f}", f"{rates['app'] / rates[name]:.2f}"]
            for name, label in labels.items()
        ],
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f}"


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:,.0f}"


def _at(run: dict[str, Any], milestone: str) -> str:
    seconds = run["milestones"].get(milestone)
    return "" if seconds is None else _seconds(seconds)
