"""What the user names to be read: pictures or texts, from wherever they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tl_app.data.assembling import existing
from tl_app.data.texts import is_text_source
from tl_app.data.tfds import TFDS_PREFIX, holds_texts
from tl_app.data.wording import WORDINGS
from tl_app.errors import DataError
from tl_app.records import Modality


@dataclass(frozen=True, slots=True)
class Source:
    """A place with labelled examples.

    Attributes:
        name: a folder, a table, or `tfds:NAME`.
        table: a CSV that lists the pictures below the folder `name`.
        data_dir: of tensorflow-datasets.
        text_column, label_column: of a table of texts; None guesses.
    """

    name: str
    table: Path | None = None
    data_dir: Path | None = None
    text_column: str | None = None
    label_column: str | None = None

    @property
    def modality(self) -> Modality:
        """A cheap look at names and first lines; what is wrong with a source, the scan says."""
        if self.text_column is not None or self.label_column is not None:
            return "text"
        if self.name.startswith(TFDS_PREFIX):
            name = self.name.removeprefix(TFDS_PREFIX)
            return "text" if holds_texts(name, self.data_dir) else "image"
        return "text" if self.table is None and is_text_source(self.name) else "image"

    def require_existing(self, modality: Modality | None = None) -> None:
        """A cheap look whether there is something to read.

        Args:
            modality: that is wanted; None takes what the place seems to hold.

        Raises:
            DataError: there is nothing, or nothing that is ever read.
        """
        if not self.name.startswith(TFDS_PREFIX):
            existing(self.name, WORDINGS[modality or self.modality])

    def require(self, modality: Modality) -> None:
        """
        Raises:
            DataError: it is not there, or holds the other kind of examples, as far as a cheap look
                tells.
        """
        self.require_existing(modality)
        if self.modality != modality:
            wanted, found = WORDINGS[modality], WORDINGS[self.modality]
            raise DataError(
                f"This model takes {wanted.nouns}, and these are {found.nouns}.",
                received=self.name,
                allowed=wanted.layouts,
                next_step=f"name {wanted.nouns} of the model's classes",
            )
