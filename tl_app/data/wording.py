"""What messages call the examples of each modality, and where such examples may come from."""

from __future__ import annotations

from dataclasses import dataclass

from tl_app.data.table import COLUMNS
from tl_app.records import Modality


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one modality.

    Attributes:
        noun: of one example; its plural ends in s.
        place: what such a source is called.
        layouts: the sources that can be read.
        alike: how two examples with the same `content` are the same.
        grouped: what examples of one group may have in common.
        unit: what progress counts.
        leave_out: what to do with a class that has too few examples.
        look: what to run to see why an example cannot be used.
    """

    noun: str
    place: str
    layouts: str
    alike: str
    grouped: str
    unit: str
    leave_out: str
    look: str

    @property
    def nouns(self) -> str:
        return f"{self.noun}s"


PICTURES = Wording(
    noun="picture",
    place="folder",
    layouts="a folder with one sub-folder per class; train/, val/, test/ with class folders; "
    f"a folder with a CSV ({COLUMNS}); or tfds:NAME",
    alike="pixel for pixel",
    grouped="the same pixels, or the same patient, burst or product",
    unit="images",
    leave_out="move these folders away",
    look="look at one of the files with `file PATH`",
)

TEXTS = Wording(
    noun="text",
    place="file or folder",
    layouts="a CSV, TSV, JSON lines or Parquet file with a text and a label column, maybe "
    "split and group; a folder with one sub-folder of .txt files per class; or train/, val/, "
    "test/ with class folders",
    alike="word for word",
    grouped="the same words, or the same author, thread or product",
    unit="texts",
    leave_out="leave these classes out",
    look="correct the texts (in UTF-8, with a label each), then run again",
)

WORDINGS: dict[Modality, Wording] = {"image": PICTURES, "text": TEXTS}
