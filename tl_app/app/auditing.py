"""Auditing data: by itself, within a run, and carrying out what was proposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_app.app.beginning import say_hardware
from tl_app.app.materials import load_material, require_modality
from tl_app.app.text_material import read_texts
from tl_app.audit.checks import checks_of, run_checks
from tl_app.audit.fix_table import rows_of, write_fixes
from tl_app.audit.inputs import gather
from tl_app.audit.measure import Measurements, measure_pictures
from tl_app.audit.stripping import Stripped, require_apart, strip_pictures
from tl_app.backbones.registry import find_spec
from tl_app.config import Config
from tl_app.data.scan import scan
from tl_app.data.source import Source
from tl_app.errors import ConfigError, WeightsError
from tl_app.features.store import GB, FeatureStore
from tl_app.findings import Audit
from tl_app.inputs.inspect import inspect_file
from tl_app.progress import Reporter
from tl_app.records import Dataset, Split
from tl_app.run import RunFolder, default_run_name
from tl_app.storage import storage_errors, write_json
from tl_app.training.hardware import choose_hardware
from tl_app.training.pooled import pooled_features

AUDIT_FILE, FIXES_FILE = "audit.json", "fixes.csv"


@dataclass(frozen=True, slots=True)
class AuditResult:
    """An audit of a data set, written down.

    Attributes:
        audit: the findings.
        folder: holds `audit.json` and `fixes.csv`.
        stripped: what became of cleaned copies; None where none were asked for.
    """

    audit: Audit
    folder: Path
    stripped: Stripped | None = None

    @property
    def fixes(self) -> Path:
        return self.folder / FIXES_FILE


def audit(
    source: Source,
    *,
    config: Config,
    output: Path,
    strip_to: Path | None = None,
    reporter: Reporter,
) -> AuditResult:
    """Look at labelled pictures or texts, and write down what is wrong with them.

    Args:
        source: as for training; sides that it gives are looked at for leaks.
        config: backbone, engine and data settings matter.
        output: gets `reports/<source>-audit-<time>/`.
        strip_to: a new folder for copies of the pictures without private metadata.
        reporter: gets messages and progress.

    Raises:
        DataError: the source cannot be read.
        ConfigError: the backbone takes the other kind of examples, or the folder for copies
            cannot be had.
        StorageError: the disk is full or a folder cannot be written.
    """
    config = _lenient(config)
    require_modality(config.backbone, source.modality)
    if strip_to is not None:
        _require_pictures(source, strip_to)
    store = FeatureStore.open(output, reporter)
    missing: dict[str, str] = {}
    features = None
    try:
        dataset, features = _read(source, config, output, store, reporter)
    except WeightsError as error:
        missing["features"] = error.problem
        reporter.warn(f"{error.problem} What needs features is left out.")
        dataset = _read_plainly(source, config, output, reporter)
    found = examine(
        dataset,
        features=features,
        missing=missing,
        max_pixels=config.data.max_pixels,
        store=store,
        reporter=reporter,
    )
    store.close()
    store.prune(config.cache_limit_gb * GB)
    folder = _new_folder(output, default_run_name(source.name, "audit"))
    write_audit(found, dataset, folder / AUDIT_FILE, folder / FIXES_FILE)
    stripped = None if strip_to is None else _strip(dataset, strip_to, reporter)
    return AuditResult(found, folder, stripped)


def audit_run(
    folder: RunFolder,
    dataset: Dataset[Any],
    split: Split,
    features: np.ndarray | None,
    *,
    store: FeatureStore,
    reporter: Reporter,
) -> None:
    """The audit of a run's data on its own split, into the run's folder."""
    missing = (
        {}
        if features is not None
        else {"features": "no phase of this run keeps pooled features; tl-app audit computes them"}
    )
    found = examine(
        dataset,
        split=split,
        features=features,
        missing=missing,
        max_pixels=folder.read_config().data.max_pixels,
        store=store,
        reporter=reporter,
    )
    write_audit(found, dataset, folder.audit_file, folder.fixes_file)
    grave = [finding for finding in found.findings if finding.severity == "fail"]
    for finding in grave:
        reporter.warn(f"{finding.title} {finding.advice}")


def examine(
    dataset: Dataset[Any],
    *,
    split: Split | None = None,
    features: np.ndarray | None,
    missing: Mapping[str, str],
    max_pixels: int,
    store: FeatureStore,
    reporter: Reporter,
) -> Audit:
    """Measure what has to be measured, and run every check.

    Args:
        dataset: what the scan found.
        split: of a run; None goes by the sides that the user gave.
        features: float32, shape (n_examples, n_features), or None.
        missing: why there are no features.
        max_pixels: larger pictures are not decoded.
        store: keeps the measurements.
        reporter: shows progress.
    """
    measurements: Measurements | None = None
    if dataset.modality == "image":
        measurements = measure_pictures(
            Path(dataset.root),
            dataset.examples,
            max_pixels=max_pixels,
            store=store,
            reporter=reporter,
        )
    n_checks = len(checks_of(dataset.modality))
    with reporter.bar("Auditing the data", n_checks, "checks") as bar:
        inputs = gather(
            dataset, split=split, measurements=measurements, features=features, missing=missing
        )
        return run_checks(inputs, bar.advance)


def write_audit(found: Audit, dataset: Dataset[Any], audit_file: Path, fixes_file: Path) -> None:
    """Findings as JSON, and the table of fixes beside it, last."""
    write_fixes(fixes_file, rows_of(found, dataset.examples))
    write_json(audit_file, found.to_dict())


def _lenient(config: Config) -> Config:
    """A class of one picture and a missing test part are findings, and stop no audit."""
    data = config.data.model_copy(update={"test_fraction": 0.0, "min_examples_per_class": 1})
    return config.model_copy(update={"data": data})


def _require_pictures(source: Source, strip_to: Path) -> None:
    if source.modality != "image":
        raise ConfigError(
            "Only pictures have metadata to strip.",
            received=f"--strip {strip_to} with texts",
            allowed="pictures",
            next_step="leave out --strip",
        )
    root = Path(source.name).expanduser()
    require_apart(root.parent if root.is_file() else root, strip_to)


def _read(
    source: Source, config: Config, output: Path, store: FeatureStore, reporter: Reporter
) -> tuple[Dataset[Any], np.ndarray]:
    """The examples and their features, as training would read and keep them."""
    spec = find_spec(config.backbone, source.modality)
    hardware = choose_hardware(config, one_device=spec.is_hub)
    say_hardware(hardware, reporter)
    strategy = hardware.build_strategy()
    material = load_material(source.modality, config, hardware, strategy, reporter)
    dataset = material.read(source, before=None, output=output, store=store, reporter=reporter)
    material.settle(dataset, reporter)
    features = pooled_features(
        material.backbone, material.items(dataset, store), config, hardware, store, reporter
    )
    return dataset, features


def _read_plainly(source: Source, config: Config, output: Path, reporter: Reporter) -> Dataset[Any]:
    """The examples alone, without a backbone."""
    if source.modality == "text":
        return read_texts(
            source,
            config.data,
            reporter=reporter,
            test_required=False,
            materialise_to=output / "data",
        )
    return scan(
        source.name,
        config.data,
        inspect=lambda path: inspect_file(path, max_pixels=config.data.max_pixels),
        reporter=reporter,
        test_required=False,
        data_dir=source.data_dir,
        materialise_to=output / "data",
        table=source.table,
    )


def _new_folder(output: Path, name: str) -> Path:
    with storage_errors(output):
        for attempt in range(1, 1000):
            folder = output / "reports" / (name if attempt == 1 else f"{name}-{attempt}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return folder
    raise ConfigError("A thousand audits of this name exist.", received=name)


def _strip(dataset: Dataset[Any], strip_to: Path, reporter: Reporter) -> Stripped:
    with reporter.bar("Writing cleaned copies", len(dataset.examples), "images") as bar:
        return strip_pictures(Path(dataset.root), dataset.examples, strip_to, bar)
