"""Parquet tables through pyarrow, which comes with the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tl_app.data.listing import shown
from tl_app.data.rows import Row
from tl_app.errors import DataError

N_BATCH_ROWS = 1_000


class ParquetTable:
    """The rows of a Parquet file, a batch in memory at a time.

    Attributes:
        columns: their names, in order.
        total, unit: how much there is to read.
        done: how much was read.

    Raises:
        DataError: pyarrow is not installed, or the file is no Parquet.
    """

    unit = "rows"

    def __init__(self, file: Path) -> None:
        self._arrow, parquet = _import_arrow(file)
        self._file = file
        with self._refusing():
            self._parquet = parquet.ParquetFile(file)
            self.columns: list[str] = list(self._parquet.schema_arrow.names)
            self.total: int = self._parquet.metadata.num_rows
        self.done = 0

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._parquet.close()

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """Each row, with the wanted columns; rows count from 1."""
        self.done = 0
        with self._refusing():
            for batch in self._parquet.iter_batches(N_BATCH_ROWS, columns=list(wanted)):
                columns = [self._values(batch.column(name)) for name in wanted]
                for values in zip(*columns, strict=True):
                    self.done += 1
                    yield Row(self.done, dict(zip(wanted, values, strict=True)))

    def _values(self, column: Any) -> list[Any]:
        """Python values; strings whose bytes are no UTF-8 keep them as lone surrogates."""
        types = self._arrow.types
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if types.is_string(column.type) or types.is_large_string(column.type):
            column = column.cast(self._arrow.large_binary())
        return [
            value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
            for value in column.to_pylist()
        ]

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (self._arrow.ArrowException, OSError) as error:
            raise DataError(
                f"The table cannot be read as Parquet: {shown(error)}.",
                received=shown(self._file),
                allowed="a whole Parquet file",
                next_step="write or copy it again",
            ) from error


def _import_arrow(file: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            "Parquet files are read by pyarrow, which is not installed.",
            received=shown(file),
            allowed="CSV, TSV or JSON lines; Parquet with pyarrow",
            next_step="pip install 'tl_app[parquet]'",
        ) from error
    return pyarrow, pyarrow.parquet
