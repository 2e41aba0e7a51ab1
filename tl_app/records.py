"""The frozen records that stages hand to each other, and that a run keeps as files.

Each record has `to_dict` and `from_dict` (plain JSON values); arrays are stored beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal

import numpy as np
from typing_extensions import TypeVar

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")

Modality = Literal["image", "text"]

HUB_PREFIX = "hub:"
"""Begins the name of a backbone that is a SavedModel of TensorFlow Hub."""


@dataclass(frozen=True, slots=True)
class Example:
    """One usable picture.

    Attributes:
        path: relative to `Dataset.root`, with forward slashes, exactly as on disk.
        label: index into `Dataset.class_names`.
        given_side: the side that the user's folders or table assign, or None.
        given_group: the `group` column (patient, burst, product), or None.
        file_hash: SHA-256 of the file's bytes, hexadecimal.
        pixel_hash: SHA-256 of shape, depth and oriented pixels, hexadecimal.
        width_px, height_px: after orientation.
        mode: Pillow's name of the pixel format ("RGB", "L", "P", "RGBA", "CMYK", "I;16", ...).
        image_format: "JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF" or "HEIF".
        exif_orientation: 1 to 8.
        n_bytes: size of the file.
        max_level: largest pixel value (up to 255, or up to 65,535 in 16-bit pictures).
        bits: 8 or 16, bits a channel as decoded.
    """

    path: str
    label: int
    given_side: Side | None
    given_group: str | None
    file_hash: str
    pixel_hash: str
    width_px: int
    height_px: int
    mode: str
    image_format: str
    exif_orientation: int
    n_bytes: int
    max_level: int
    bits: int

    @property
    def content(self) -> str:
        """What ties it to its copies: the token of its pixels."""
        return f"pixels:{self.pixel_hash}"

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Example:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class TextExample:
    """One usable text.

    Attributes:
        path: "<file>:<line>" for a line of a table, else the text's own file; relative to
            `Dataset.root`, with forward slashes. Lines count from 1; a record that spans
            several is named by its first. Rows of Parquet count from 1.
        label: index into `Dataset.class_names`.
        given_side: the side that the user's folders or table assign, or None.
        given_group: the `group` column (author, thread, product), or None.
        text: as written, without a byte order mark.
        text_hash: SHA-256 of the text in UTF-8, hexadecimal.
        normal_hash: the same of the text with every run of whitespace made one space and
            both ends stripped.
        n_characters: code points of the text.
    """

    path: str
    label: int
    given_side: Side | None
    given_group: str | None
    text: str
    text_hash: str
    normal_hash: str
    n_characters: int

    @property
    def content(self) -> str:
        """What ties it to its copies: the token of its text, whatever its whitespace."""
        return f"text:{self.normal_hash}"

    def to_dict(self) -> dict[str, Any]:
        # By hand: `asdict` copies deeply, which takes most of the time to write a large dataset.
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TextExample:
        return cls(**values)


AnyExample = Example | TextExample
ExampleT = TypeVar("ExampleT", bound=AnyExample, default=Example)
"""Of a Dataset that is not told apart, the examples are pictures."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one look at a usable file found; the meaning of each field is `Example`'s."""

    file_hash: str
    pixel_hash: str
    width_px: int
    height_px: int
    mode: str
    image_format: str
    exif_orientation: int
    n_bytes: int
    max_level: int
    bits: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file, or a line of one, that is not used, and why. It stays where it is.

    Attributes:
        path: relative to `Dataset.root`; "<file>:<line>" for a line of a table of texts.
        reason: a sentence for people.
        kind: a word for programs: "truncated", "empty", "not_an_image", "no_decoder",
            "too_many_pixels", "unreadable", "missing", "bridges_sides", "unsupported"; of
            texts also "wrong_encoding", "nul_bytes", "too_long", "unbalanced_quotes",
            "no_label", "malformed".
    """

    path: str
    reason: str
    kind: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SetAside:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Dataset(Generic[ExampleT]):
    """What there is: examples in a fixed order, and what was set aside.

    Attributes:
        root: absolute path of the folder that the examples' paths are relative to.
        source: what the user named (a folder, a table, `tfds:NAME`).
        class_names: in label order.
        examples: usable pictures or texts, sorted by path; lines of a table by their number.
        set_aside: the others, in the same order.
        given_sides: sides that the user's layout or table defines (empty when none).
        modality: what the examples are, `Example` ("image") or `TextExample` ("text").
    """

    root: str
    source: str
    class_names: tuple[str, ...]
    examples: tuple[ExampleT, ...]
    set_aside: tuple[SetAside, ...] = ()
    given_sides: tuple[Side, ...] = ()
    modality: Modality = "image"

    @property
    def labels(self) -> np.ndarray:
        """int64, shape (n_examples,)."""
        return np.array([example.label for example in self.examples], dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "source": self.source,
            "modality": self.modality,
            "class_names": list(self.class_names),
            "given_sides": list(self.given_sides),
            "examples": [example.to_dict() for example in self.examples],
            "set_aside": [entry.to_dict() for entry in self.set_aside],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Dataset[Any]:
        """The record of `values`; those written before there were texts hold pictures."""
        modality: Modality = values.get("modality", "image")
        kind = TextExample if modality == "text" else Example
        return Dataset(
            root=values["root"],
            source=values["source"],
            class_names=tuple(values["class_names"]),
            examples=tuple(kind.from_dict(e) for e in values["examples"]),
            set_aside=tuple(SetAside.from_dict(e) for e in values["set_aside"]),
            given_sides=tuple(values["given_sides"]),
            modality=modality,
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Which side each example is on.

    Attributes:
        sides: one entry an example of the Dataset, in its order; None means withheld.
        groups: one entry an example; examples with the same number never part.
        tokens: what ties later examples to a recorded side: token -> side. A token is an
            example's `content` ("pixels:<pixel_hash>", "text:<normal_hash>") or
            "group:<given_group>".
        seed: of the ranking.
        calibration: positions of validation examples that are held apart from early stopping,
            ascending.
    """

    sides: tuple[Side | None, ...]
    groups: tuple[int, ...]
    tokens: Mapping[str, Side]
    seed: int
    calibration: tuple[int, ...] = ()

    def indices(self, side: Side) -> np.ndarray:
        """int64, positions of the examples on `side`, ascending."""
        return np.array([i for i, s in enumerate(self.sides) if s == side], dtype=np.int64)

    @property
    def stopping(self) -> np.ndarray:
        """int64, positions of the validation examples that choose the weights, ascending."""
        return np.setdiff1d(self.indices("validation"), self.calibration)

    @property
    def evaluated_side(self) -> Side:
        """The test side, or the validation side of a run without one."""
        return "test" if "test" in self.sides else "validation"

    def to_dict(self) -> dict[str, Any]:
        return {
            "sides": list(self.sides),
            "groups": list(self.groups),
            "tokens": dict(self.tokens),
            "seed": self.seed,
            "calibration": list(self.calibration),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Split:
        return cls(
            sides=tuple(values["sides"]),
            groups=tuple(values["groups"]),
            tokens=dict(values["tokens"]),
            seed=values["seed"],
            calibration=tuple(values.get("calibration", ())),
        )


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """All that turns a file into the backbone's picture; recorded once, used everywhere.

    Attributes:
        image_size_px: side of the square handed to the backbone.
        aspect: "crop" (centre), "pad" (whole picture, bars of mid-grey 127 as argued in
            `inputs.padding`) or "squash" (each side scaled by itself).
        window: (low, high) levels of 16-bit pictures that map to 0 and 255.
        max_pixels: pictures with more pixels are refused before they are decoded.
    """

    image_size_px: int
    aspect: Literal["crop", "pad", "squash"]
    window: tuple[int, int]
    max_pixels: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        return cls(**{**values, "window": tuple(values["window"])})


@dataclass(frozen=True, slots=True)
class TextProcessing:
    """All that turns a text into the encoder's token numbers; recorded once, used everywhere.

    Attributes:
        max_tokens: longer texts are cut; None where the encoder takes strings, and cuts.
        vocabulary_sha256: of what its token numbers stand for (`backbones.vocabulary`),
            hexadecimal; None likewise.
    """

    max_tokens: int | None
    vocabulary_sha256: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TextProcessing:
        return cls(**values)


AnyProcessing = Preprocessing | TextProcessing


def processing_from_dict(modality: Modality, values: Mapping[str, Any]) -> AnyProcessing:
    """The record of `values`, of the kind that belongs to `modality`."""
    kind = TextProcessing if modality == "text" else Preprocessing
    return kind.from_dict(values)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the learning curves.

    Attributes:
        phase: name of the phase.
        epoch: within the phase, from 1; 0 is the state before its first step.
        train_loss: the phase's own loss (smoothed, weighted, mixed as configured), or None.
        train_accuracy: fraction of (unmixed) training pictures told rightly, or None.
        validation_log_loss: plain cross-entropy, unsmoothed and unweighted.
        validation_accuracy: a fraction.
        learning_rate: at the end of the epoch; 0 for a solved head.
        seconds: wall clock of the epoch, validation included.
        is_best: whether this is the best validation log-loss so far over all phases.
    """

    phase: str
    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    validation_log_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    is_best: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EpochRecord:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Predictions:
    """One row an example, one column a class.

    Attributes:
        paths: relative paths, one a row.
        y_true: int64, shape (n_examples,); -1 where the label is unknown.
        probabilities: float32, shape (n_examples, n_classes), rows sum to 1.
        class_names: one a column.
        texts: that were told, one a row; None of pictures, and of a run's own texts, which its
            dataset holds.
    """

    paths: tuple[str, ...]
    y_true: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]
    texts: tuple[str, ...] | None = None

    @property
    def y_pred(self) -> np.ndarray:
        """int64, shape (n_examples,), the most probable class."""
        return self.probabilities.argmax(axis=1).astype(np.int64)

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of the most probable class, one a row."""
        return tuple(self.class_names[i] for i in self.y_pred)


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval; `low` and `high` are None where none can be given."""

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Interval:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One row of the per-class table."""

    name: str
    support: int
    precision: Interval
    recall: Interval
    f1_score: Interval

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassMetrics:
        intervals = {
            key: Interval.from_dict(values[key]) for key in ("precision", "recall", "f1_score")
        }
        return cls(name=values["name"], support=values["support"], **intervals)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Numbers with their doubt, of one set of predictions.

    Attributes:
        headline: metric name -> Interval: "accuracy", "macro_f1", "log_loss".
        baseline: the same metrics of always guessing by the training side's class shares.
        per_class: in class order.
        confusion_counts: rows are true classes, columns predicted ones.
        n_examples: rows evaluated.
        side: which side of the run was evaluated; None of other examples.
        notes: sentences that a reader should know before trusting a figure.
        modality: of what was evaluated.
        n_leaked: examples with a copy (or one of their group) on another side.
        headline_unleaked: `headline` without them; empty where there are none, or no others.
    """

    headline: Mapping[str, Interval]
    baseline: Mapping[str, float]
    per_class: tuple[ClassMetrics, ...]
    confusion_counts: tuple[tuple[int, ...], ...]
    n_examples: int
    side: Side | None = "test"
    notes: tuple[str, ...] = field(default=())
    modality: Modality = "image"
    n_leaked: int = 0
    headline_unleaked: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.per_class)

    def to_dict(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "modality": self.modality,
            "n_examples": self.n_examples,
            "headline": _to_dicts(self.headline),
            "n_leaked": self.n_leaked,
            "headline_unleaked": _to_dicts(self.headline_unleaked),
            "baseline": dict(self.baseline),
            "per_class": [row.to_dict() for row in self.per_class],
            "confusion_counts": [list(row) for row in self.confusion_counts],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        return cls(
            headline=_to_intervals(values["headline"]),
            n_leaked=values.get("n_leaked", 0),
            headline_unleaked=_to_intervals(values.get("headline_unleaked", {})),
            baseline=dict(values["baseline"]),
            per_class=tuple(ClassMetrics.from_dict(row) for row in values["per_class"]),
            confusion_counts=tuple(tuple(row) for row in values["confusion_counts"]),
            n_examples=values["n_examples"],
            side=values["side"],
            notes=tuple(values["notes"]),
            modality=values.get("modality", "image"),
        )


def _to_dicts(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: interval.to_dict() for name, interval in intervals.items()}


def _to_intervals(values: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: Interval.from_dict(value) for name, value in values.items()}
