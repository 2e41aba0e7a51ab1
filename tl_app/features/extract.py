"""One pass over the pictures or texts: each is loaded once, looked at in every view that is
asked for, and what the frozen part says of each view is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_app.config import Augmentation
from tl_app.engines.base import Engine
from tl_app.errors import DataError, Interrupted, RunError
from tl_app.features.items import Items
from tl_app.features.table import Table
from tl_app.inputs.ahead import run_ahead
from tl_app.inputs.augment import build_augment
from tl_app.progress import Bar, Reporter

FLOAT16_MAX = 60_000.0
"""Larger activations are kept as float32: half floats end at 65,504."""

N_AHEAD = 64
"""Looks at pictures that are loaded before the engine asks for them; all views are counted."""


class TooLargeForFloat16(Exception):
    """A value is out of the range of a float16 table; its rows want a float32 one."""

    def __init__(self, table: Table) -> None:
        super().__init__(str(table.folder))
        self.table = table


@dataclass(frozen=True, slots=True)
class View:
    """One way of looking at a picture: as it is, or changed at random.

    The changes are drawn from the picture itself, so that a view is the same in every run,
    wherever the picture stands.

    Attributes:
        augmentation: None for the plain view.
        number: which draw, from 0.
    """

    augmentation: Augmentation | None = None
    number: int = 0

    def key(self) -> dict[str, Any]:
        """What decides the view, as plain JSON values."""
        if self.augmentation is None:
            return {"view": "plain"}
        return {"view": self.augmentation.model_dump(mode="json"), "number": self.number}


PLAIN = View()


@dataclass(slots=True)
class ViewPass:
    """What one view of the pictures is wanted for.

    Attributes:
        view: how the pictures are looked at.
        engine: pixels to one array for each table.
        tables: where its outputs are kept, in their order.
        positions: int64, which pictures.
    """

    view: View
    engine: Callable[[], Engine]
    tables: Sequence[Table]
    positions: np.ndarray
    _todo: set[int] = field(default_factory=set, init=False)

    def look(self, keys: Sequence[bytes]) -> int:
        """How many pictures are still to be looked at; pictures of the same pixels count once."""
        wanted = [keys[position] for position in self.positions]
        gone = np.any([table.missing(wanted) for table in self.tables], axis=0)
        first = {wanted[i]: int(self.positions[i]) for i in np.flatnonzero(gone)[::-1]}
        self._todo = set(first.values())
        return len(self._todo)

    @property
    def todo(self) -> set[int]:
        """Positions that `look` found missing."""
        return self._todo


def view_seeds(keys: Sequence[bytes], number: int, salt: int = 0) -> np.ndarray:
    """int32, shape (n, 2): the same pixels, draw and salt always give the same changes."""
    found = [hashlib.sha256(key + f"{number} {salt}".encode()).digest()[:8] for key in keys]
    return np.frombuffer(b"".join(found), dtype="<i4").reshape(-1, 2)


def traced_augment(
    augmentation: Augmentation, items: Items
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """`build_augment` for pictures like `items`, traced once; thread-safe."""
    size_px = _side_px(items)
    change = tf.function(
        build_augment(augmentation, size_px),
        input_signature=[
            tf.TensorSpec((size_px, size_px, 3), tf.float32),
            tf.TensorSpec((2,), tf.int32),
        ],
        autograph=False,
    )
    return lambda pixels, seed: change(tf.constant(pixels), tf.constant(seed)).numpy()


def n_missing(items: Items, passes: Sequence[ViewPass]) -> int:
    """Looks that `extract` would take."""
    return sum(one.look(items.keys) for one in passes)


def extract(
    items: Items,
    passes: Sequence[ViewPass],
    *,
    batch_size: int,
    title: str,
    reporter: Reporter,
) -> None:
    """Fill the tables with what is missing.

    Pictures are loaded and changed by threads while the engine works. A row does not depend on
    which other rows are computed with it.

    Args:
        items: where they come from.
        passes: what is wanted of them.
        batch_size: pictures that an engine is given at once.
        title: of the progress bar.
        reporter: shows progress, and says when another run computes the same.

    Raises:
        DataError: a picture is gone or has changed.
        StorageError: the disk is full.
        TooLargeForFloat16: rows of other tables are kept all the same.
    """
    if not n_missing(items, passes):
        return
    tables = {table.folder: table for one in passes for table in one.tables}
    with ExitStack() as held:
        for folder in sorted(tables):  # in one order, so that two runs do not wait for each other
            held.enter_context(tables[folder].lock(lambda: _say_waiting(reporter)))
        total = n_missing(items, passes)  # another run may have done it meanwhile
        if not total:
            return
        for one in passes:
            if one.todo:
                one.engine()  # building it takes a second, which is no picture's fault
        try:
            with reporter.bar(title, total, items.unit) as bar:
                _run(items, passes, batch_size, bar)
        except (Interrupted, TooLargeForFloat16, DataError):
            for table in tables.values():
                table.flush()
            raise
        for table in tables.values():
            table.flush()


def _run(items: Items, passes: Sequence[ViewPass], batch_size: int, bar: Bar) -> None:
    batches = [_Batch(one, items.keys, batch_size, bar) for one in passes]
    todo = sorted(set().union(*(one.todo for one in passes)))
    n_ahead = max(4, N_AHEAD // len(passes))
    for position, looks in run_ahead(todo, loader(items, passes), n_ahead=n_ahead):
        for batch, item in zip(batches, looks, strict=True):
            if item is not None:
                batch.add(position, item)
    for batch in batches:
        batch.finish()


def loader(
    items: Items, passes: Sequence[ViewPass]
) -> Callable[[int], tuple[int, list[np.ndarray | None]]]:
    """What a thread does: load a picture, and change it for each pass that still wants it."""
    changes = {
        one.view.augmentation: traced_augment(one.view.augmentation, items)
        for one in passes
        if one.view.augmentation is not None
    }

    def load(position: int) -> tuple[int, list[np.ndarray | None]]:
        item = items.load(position)
        looks: list[np.ndarray | None] = []
        for one in passes:
            if position not in one.todo:
                looks.append(None)
            elif one.view.augmentation is None:
                looks.append(item)
            else:
                seed = view_seeds([items.keys[position]], one.view.number)[0]
                looks.append(changes[one.view.augmentation](item, seed))
        return position, looks

    return load


class _Batch:
    """Items on their way through one pass's engine, those of one shape together."""

    def __init__(self, one: ViewPass, keys: Sequence[bytes], size: int, bar: Bar) -> None:
        self._pass = one
        self._keys = keys
        self._size = size
        self._bar = bar
        self._waiting: dict[tuple[int, ...], list[tuple[bytes, np.ndarray]]] = {}

    def add(self, position: int, item: np.ndarray) -> None:
        waiting = self._waiting.setdefault(item.shape, [])
        waiting.append((self._keys[position], item))
        if len(waiting) == self._size:
            self._run(self._waiting.pop(item.shape))

    def finish(self) -> None:
        """Run what is left."""
        for shape in list(self._waiting):
            self._run(self._waiting.pop(shape))

    def _run(self, waiting: Sequence[tuple[bytes, np.ndarray]]) -> None:
        keys = [key for key, _ in waiting]
        outputs = self._pass.engine()(np.stack([item for _, item in waiting]))
        for table, values in zip(self._pass.tables, outputs, strict=True):
            if not np.isfinite(values).all():
                raise RunError(
                    "The frozen backbone answers a picture with values that are no numbers.",
                    received=f"engine {self._pass.engine().name}",
                    allowed="finite activations",
                    next_step="train with --set engine=tensorflow; if it comes back, the weight "
                    "file is not usable",
                )
            if table.dtype == np.float16 and np.abs(values).max() >= FLOAT16_MAX:
                raise TooLargeForFloat16(table)
            table.add(keys, values)
        self._bar.advance(len(keys))


def _say_waiting(reporter: Reporter) -> None:
    reporter.message("Another run computes the same features; waiting for it.")


def _side_px(items: Items) -> int:
    """Of pictures, which are square; texts are not changed at random."""
    side = items.shape[0]
    if len(items.shape) != 3 or side is None:
        raise ValueError("only pictures of one size can be changed at random")
    return side


def views_of(augmentation: Augmentation, n_drawn: int) -> list[View]:
    """The plain view, and the first `n_drawn` draws where something is changed at all."""
    if not augmentation.changes_pictures:
        return [PLAIN]
    return [PLAIN, *(View(augmentation, number) for number in range(n_drawn))]


class FrozenPart:
    """A model traced once for any number of pictures or texts, as serving runs it.

    A batch that is too large for the device is halved.

    Attributes:
        model: what is run.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._compiled = tf.function(
            lambda batch: tf.cast(model(batch, training=False), tf.float32),
            input_signature=[tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype)],
            autograph=False,
        )

    def __call__(self, batch: tf.Tensor) -> np.ndarray:
        """float32, shape (n, ...)."""
        try:
            return self._compiled(batch).numpy()
        except tf.errors.ResourceExhaustedError:
            n = len(batch)
            if n < 2:
                raise
            return np.concatenate([self(batch[: n // 2]), self(batch[n // 2 :])])
