"""What messages call the examples of each modality, and where such examples may come from."""

from __future__ import annotations

from dataclasses import dataclass

from tl_app.data.table import COLUMNS
from tl_app.records import Modality

TEXT_TABLE = (
    "a CSV, TSV, JSON lines or Parquet file with a text and a label column, maybe split and group"
)
TABLES = f"{TEXT_TABLE}; of pictures, a CSV with the columns {COLUMNS}"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one modality.

    Attributes:
        noun: of one example; its plural ends in s.
        place: what such a source is called.
        layouts: the sources that can be read.
        unlabelled: what can be predicted.
        alike: how two examples with the same `content` are the same.
        nearly: how near copies differ.
        grouped: what examples of one group may have in common.
        unit: what progress counts.
        leave_out: what to do with a class that has too few examples.
        look: what to run to see why an example cannot be used.
        lighter: what takes less of a device's memory.
        lighten: how to ask for it; `{index}` stands for the phase's number.
    """

    noun: str
    place: str
    layouts: str
    unlabelled: str
    alike: str
    nearly: str
    grouped: str
    unit: str
    leave_out: str
    look: str
    lighter: str
    lighten: str

    @property
    def nouns(self) -> str:
        return f"{self.noun}s"


PICTURES = Wording(
    noun="picture",
    place="folder",
    layouts="a folder with one sub-folder per class; train/, val/, test/ with class folders; "
    f"a folder with a CSV ({COLUMNS}); or tfds:NAME",
    unlabelled="JPEG, PNG, GIF, BMP, WebP or TIFF pictures (HEIC with the extra 'heic'), and "
    "folders of them",
    alike="pixel for pixel",
    nearly="resized, coded anew, mirrored, turned or cropped",
    grouped="nearly the same pixels, or the same patient, burst or product",
    unit="images",
    leave_out="move these folders away",
    look="look at one of the files with `file PATH`",
    lighter="smaller pictures or fewer unfrozen blocks",
    lighten="--image-size 160 --set phases.{index}.unfreeze=1",
)

TEXTS = Wording(
    noun="text",
    place="file or folder",
    layouts=f"{TEXT_TABLE}; a folder with one sub-folder of .txt files per class; or train/, val/, "
    "test/ with class folders",
    unlabelled="a .txt file, a folder of them, or a CSV, TSV, JSON lines or Parquet file with a "
    "text column, in UTF-8",
    alike="word for word",
    nearly="but for case and punctuation",
    grouped="the same words, or the same author, thread or product",
    unit="texts",
    leave_out="leave these classes out",
    look="correct the texts (in UTF-8, with a label each), then run again",
    lighter="activations that are computed again, or fewer unfrozen blocks",
    lighten="--set phases.{index}.recompute=true --set phases.{index}.unfreeze=1",
)

WORDINGS: dict[Modality, Wording] = {"image": PICTURES, "text": TEXTS}
