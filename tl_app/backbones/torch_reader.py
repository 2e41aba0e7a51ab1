"""Reads the tensors of a PyTorch weight file (.pth, as before version 1.6) with NumPy alone.

Such a file is a chain of pickles followed by raw numbers. Pickles can run any code, so this
reader admits only what a table of tensors needs: a fixed set of opcodes, and of names
`collections.OrderedDict`, `torch._utils._rebuild_tensor_v2` and the `torch.*Storage` words,
none of which is ever imported from PyTorch. Everything else is refused.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_app.errors import WeightsError

MAX_FILE_BYTES = 1 << 30
MAX_PICKLE_BYTES = 16 << 20
MAX_MEMO_INDEX = 1 << 20
MAX_DIMENSIONS = 8

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

_STORAGE_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

# fmt: off
_OPCODES = frozenset((
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "LONG1", "BININT", "BININT1",
    "BININT2", "BINFLOAT", "BINUNICODE", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST",
    "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "GLOBAL",
    "REDUCE", "BUILD", "BINPERSID", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
))
# fmt: on


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of numbers further down in the file, known by its key."""

    key: str
    dtype: np.dtype
    n_values: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view on a storage; offset and strides count values, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_tensors(path: Path) -> dict[str, np.ndarray]:
    """All named tensors of a legacy .pth file that holds a table of tensors (a state dict).

    Args:
        path: the file; at most 1 GiB.

    Returns:
        Arrays by name, in the file's order, shapes and dtypes as PyTorch wrote them.

    Raises:
        WeightsError: the file cannot be read, is of another format, is cut off, or its
            pickle asks for anything but tensors.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise _refused(path, f"it has {n_bytes:,} bytes, more than {MAX_FILE_BYTES:,}")
        file = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise WeightsError(
            f"The weight file cannot be read: {error.strerror}.", received=str(path)
        ) from error
    if bytes(file.getbuffer()[:4]) == b"PK\x03\x04":
        raise WeightsError(
            "This is PyTorch's newer zip format, which tl_app does not read.",
            received=str(path),
            allowed="the format before PyTorch 1.6",
            next_step="torch.save(torch.load(FILE), NEW, _use_new_zipfile_serialization=False)",
        )
    try:
        # pickletools warns of odd text in a name; here that is reason enough to stop.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _read(file)
    except (
        Warning,
        ValueError,  # also what pickletools raises for a cut-off stream
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        EOFError,
        OverflowError,
        RecursionError,
        MemoryError,
        pickle.UnpicklingError,
    ) as error:
        raise _refused(path, str(error) or type(error).__name__) from error


def _refused(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"The weight file was refused: {reason}.",
        received=str(path),
        allowed="a complete legacy PyTorch file that holds named tensors and nothing else",
        next_step="get the file again from where it came",
    )


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    storages: dict[str, _Storage] = {}
    if _load(file, storages) != _MAGIC:
        raise ValueError("it does not start as a PyTorch file")
    if _load(file, storages) != _PROTOCOL:
        raise ValueError("its protocol version is unknown")
    system = _load(file, storages)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its byte order is not little-endian")
    table = _load(file, storages)
    keys = _load(file, storages)
    if not isinstance(table, dict) or not all(
        isinstance(name, str) and isinstance(value, _Tensor) for name, value in table.items()
    ):
        raise ValueError("it is no table of named tensors")
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise ValueError("its storages are not those that its tensors name")
    values = {key: _read_storage(file, storages[key]) for key in keys}
    if file.read(1):
        raise ValueError("it goes on after the last tensor")
    return {name: _view(tensor, values[tensor.storage.key]) for name, tensor in table.items()}


def _load(file: io.BytesIO, storages: dict[str, _Storage]) -> Any:
    """The next pickle of the file, after a look at each of its opcodes."""
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name not in _OPCODES:
            raise ValueError(f"its pickle uses {opcode.name}")
        if opcode.name == "GLOBAL":
            _Unpickler.check(*str(argument).split(" ", 1))
        # The unpickler sizes its memo table by the largest index that is put.
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > MAX_MEMO_INDEX:
            raise ValueError("its pickle asks for too much memory")
        if file.tell() - start > MAX_PICKLE_BYTES:
            raise ValueError("its pickle is too long")
    stop = file.tell()
    return _Unpickler(io.BytesIO(file.getbuffer()[start:stop]), storages).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    @staticmethod
    def check(module: str, name: str = "") -> Any:
        """What stands for a name in the pickle; anything that is not listed is refused."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"its pickle asks for {module}.{name}")

    def find_class(self, module: str, name: str) -> Any:
        return self.check(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, n_values, view = pid
        if kind != "storage" or view is not None or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("it names a storage in an unknown way")
        if not isinstance(key, str) or not _is_count(n_values):
            raise pickle.UnpicklingError("it names a storage in an unknown way")
        storage = _Storage(key, dtype, n_values)
        if self._storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError("two storages share a key")
        return storage


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, _requires_grad: Any, _hooks: Any
) -> _Tensor:
    if (
        not isinstance(storage, _Storage)
        or not _is_count(offset)
        or not isinstance(shape, tuple)
        or not isinstance(strides, tuple)
        or len(shape) != len(strides)
        or len(shape) > MAX_DIMENSIONS
        or not all(map(_is_count, shape + strides))
    ):
        raise pickle.UnpicklingError("it describes a tensor in an unknown way")
    # A zero stride would let a small file claim a huge tensor.
    if math.prod(shape) > storage.n_values:
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    return _Tensor(storage, offset, shape, strides)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _read_storage(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    """float or integer values, shape (storage.n_values,), a view of the file's bytes."""
    n_values = int.from_bytes(file.read(8), "little")
    if n_values != storage.n_values:
        raise ValueError(
            f"storage {storage.key} has {n_values} values where {storage.n_values} are announced"
        )
    start, n_bytes = file.tell(), n_values * storage.dtype.itemsize
    data = file.getbuffer()[start : start + n_bytes]
    if len(data) != n_bytes:
        raise ValueError("it is cut off")
    file.seek(start + n_bytes)
    return np.frombuffer(data, dtype=storage.dtype)


def _view(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, tensor.storage.dtype)
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if last >= len(values):
        raise ValueError("a tensor reaches beyond its storage")
    itemsize = values.itemsize
    return np.lib.stride_tricks.as_strided(
        values[tensor.offset :],
        shape=tensor.shape,
        strides=[stride * itemsize for stride in tensor.strides],
        writeable=False,
    ).copy()
