"""The reader of PyTorch files: right numbers, and nothing but numbers."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tl_app.backbones.torch_reader import _STORAGE_DTYPES, read_torch_tensors
from tl_app.backbones.weights import find_weights
from tl_app.errors import WeightsError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
STORAGES = {dtype: name for name, dtype in _STORAGE_DTYPES.items()}


PICKLER: Any = pickle._Pickler
"""The pickler in Python, whose steps can be replaced."""


class Global:
    """Pickles as a bare name, as PyTorch's own objects do."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """Pickles as a call of a bare name."""

    def __init__(self, function: Global, *args: object) -> None:
        self.function, self.args = function, args


class Storage:
    def __init__(self, kind: str, key: str, n_values: int) -> None:
        self.pid = ("storage", Global("torch", kind), key, "cpu", n_values, None)


class Pickler(PICKLER):
    """Writes the same opcodes as PyTorch, for objects that do not exist here."""

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.args)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def dump(obj: object, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol).dump(obj)
    return file.getvalue()


def tensor(storage: Storage, shape, strides, offset=0) -> Call:
    function = Global("torch._utils", "_rebuild_tensor_v2")
    return Call(function, storage, offset, tuple(shape), tuple(strides), False, OrderedDict())


def contiguous(shape) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


def write_pth(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A legacy .pth file as PyTorch writes it."""
    table, data = OrderedDict(), b""
    for key, (name, array) in enumerate(arrays.items()):
        storage = Storage(STORAGES[array.dtype], str(key), array.size)
        table[name] = tensor(storage, array.shape, contiguous(array.shape))
        data += struct.pack("<q", array.size) + array.tobytes()
    keys = [str(key) for key in range(len(arrays))]
    path.write_bytes(b"".join(map(dump, (MAGIC, PROTOCOL, SYSTEM, table, keys))) + data)
    return path


def write_raw(path: Path, table: object, keys: object, data: bytes = b"") -> Path:
    path.write_bytes(b"".join(map(dump, (MAGIC, PROTOCOL, SYSTEM, table, keys))) + data)
    return path


def refused(path: Path, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        read_torch_tensors(path)
    assert str(path) in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text("abc._", min_size=1, max_size=12),
        st.sampled_from(sorted(map(str, STORAGES))).flatmap(
            lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(max_dims=4, max_side=4))
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read(arrays, tmp_path_factory) -> None:
    path = write_pth(tmp_path_factory.mktemp("pth") / "x.pth", arrays)
    read = read_torch_tensors(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_views_share_a_storage(tmp_path) -> None:
    storage = Storage("FloatStorage", "0", 6)
    table = {
        "transposed": tensor(storage, (3, 2), (1, 3)),
        "tail": tensor(storage, (2,), (1,), offset=4),
        "scalar": tensor(storage, (), (), offset=5),
    }
    data = struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes()
    read = read_torch_tensors(write_raw(tmp_path / "x.pth", table, ["0"], data))
    np.testing.assert_array_equal(read["transposed"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(read["tail"], [4, 5])
    assert read["scalar"] == 5


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_the_published_files_are_read_whole(variant, reporter) -> None:
    from tl_app.backbones.registry import get_spec

    file = find_weights(get_spec(f"efficientnet_lite{variant}"), None, reporter=reporter)
    tensors = read_torch_tensors(file.path)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(array).all() for array in tensors.values())
    if variant == 0:
        assert len(tensors) == 296
        n_values = sum(a.size for n, a in tensors.items() if a.dtype == np.float32)
        assert n_values == 3_413_024 + 1_281_000


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("numpy", "load"),
        ("collections", "Counter"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_parameter"),
        ("tl_app.backbones.torch_reader", "_Unpickler"),
    ],
)
def test_calls_are_refused_and_do_not_run(tmp_path, module, name) -> None:
    marker = tmp_path / "ran"
    attack = Call(Global(module, name), f"touch {marker}")
    refused(write_raw(tmp_path / "x.pth", {"x": attack}, []), f"asks for {module}.{name}")
    (tmp_path / "bare.pth").write_bytes(dump(attack))
    refused(tmp_path / "bare.pth", f"asks for {module}.{name}")
    assert not marker.exists()


class Attack:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_real_pickles_of_every_protocol_are_refused(tmp_path, protocol) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps(Attack(f"touch {marker}"), protocol)
    (tmp_path / "x.pth").write_bytes(content)
    refused(tmp_path / "x.pth", "refused")
    (tmp_path / "y.pth").write_bytes(dump(MAGIC) + dump(PROTOCOL) + dump(SYSTEM) + content)
    refused(tmp_path / "y.pth", "refused")
    assert not marker.exists()


def test_opcodes_that_could_exhaust_memory_are_refused(tmp_path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")
    refused(path, "too much memory")
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".")
    refused(path, "refused")
    path.write_bytes(b"\x80\x02X" + struct.pack("<I", 2**31) + b"abc.")
    refused(path, "refused")


def test_every_truncation_is_refused(tmp_path) -> None:
    whole = write_pth(
        tmp_path / "whole.pth", {"a": np.ones((2, 3), "float32"), "b": np.arange(4)}
    ).read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path, "refused")
    path.write_bytes(whole + b"x")
    refused(path, "goes on after")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_give_tensors_or_a_weights_error(data, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("pth")
    content = bytearray(write_pth(folder / "x.pth", {"a": np.ones((2, 3), "float32")}).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "y.pth").write_bytes(content)
    try:
        read = read_torch_tensors(folder / "y.pth")
    except WeightsError:
        return
    assert all(isinstance(array, np.ndarray) for array in read.values())


def test_odd_text_in_a_name_is_refused_without_a_warning(tmp_path) -> None:
    (tmp_path / "x.pth").write_bytes(b"\x80\x02c\\onfig\nname\n.")
    refused(tmp_path / "x.pth", "invalid escape")


def test_lies_about_storages_are_refused(tmp_path) -> None:
    storage = Storage("FloatStorage", "0", 4)
    values = np.ones(4, "<f4").tobytes()
    path = tmp_path / "x.pth"
    table = {"a": tensor(storage, (4,), (1,))}
    refused(write_raw(path, table, ["0"], struct.pack("<q", 5) + values), "has 5 values where 4")
    refused(write_raw(path, table, ["0"], struct.pack("<q", -1) + values), "values where 4")
    refused(write_raw(path, table, ["1"], struct.pack("<q", 4) + values), "not those")
    refused(write_raw(path, table, [], b""), "not those")
    good = struct.pack("<q", 4) + values
    refused(write_raw(path, {"a": tensor(storage, (9,), (1,))}, ["0"], good), "larger")
    refused(write_raw(path, {"a": tensor(storage, (2,), (7,))}, ["0"], good), "beyond")
    refused(write_raw(path, {"a": tensor(storage, (4,), (1,), 1)}, ["0"], good), "beyond")
    refused(write_raw(path, {"a": tensor(storage, (2**40,), (0,))}, ["0"], good), "larger")
    refused(write_raw(path, {"a": tensor(storage, (-1,), (1,))}, ["0"], good), "unknown way")
    refused(write_raw(path, {"a": 3}, [], b""), "no table")
    clash = {
        "a": tensor(storage, (4,), (1,)),
        "b": tensor(Storage("IntStorage", "0", 4), (4,), (1,)),
    }
    refused(write_raw(path, clash, ["0"], good), "share a key")


def test_other_formats_are_named(tmp_path) -> None:
    path = tmp_path / "new.pth"
    path.write_bytes(b"PK\x03\x04 and so on")
    refused(path, "newer zip format")
    refused(tmp_path / "absent.pth", "cannot be read")


def test_huge_files_are_not_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tl_app.backbones.torch_reader.MAX_FILE_BYTES", 100)
    path = write_pth(tmp_path / "x.pth", {"a": np.ones(100, "float32")})
    refused(path, "more than 100")
