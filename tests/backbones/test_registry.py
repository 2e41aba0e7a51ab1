"""Facts about backbones, read without TensorFlow."""

from __future__ import annotations

import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from tl_app.backbones.registry import all_specs, get_spec
from tl_app.errors import ConfigError

HEX = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")


def test_names_are_unique_and_the_default_is_first() -> None:
    names = [spec.name for spec in all_specs()]
    assert len(set(names)) == len(names) == 43
    assert names[0] == "efficientnet_lite0"
    assert all(get_spec(name).name == name for name in names)


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_every_entry_is_complete(spec) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", spec.name)
    assert spec.modality == "image"
    assert spec.licence
    assert 32 <= spec.min_image_size_px <= spec.image_size_px <= 600
    assert spec.n_features > 0
    assert spec.n_parameters > 900_000
    re.compile(spec.block_end)
    assert (spec.package_file is None) != (spec.download is None)
    if spec.download is not None:
        parts = urlsplit(spec.download.url)
        assert parts.scheme == "https"
        assert parts.path.endswith(".h5")
        assert "/" not in spec.download.file_name
        assert spec.download.digest is None or HEX.fullmatch(spec.download.digest)
    if spec.package_file is not None:
        assert len(spec.package_file.sha256) == 64
    if spec.normalisation is not None:
        assert all(scale > 0 for scale in spec.normalisation.scale)


def test_file_names_in_the_cache_do_not_clash() -> None:
    names = [spec.download.file_name for spec in all_specs() if spec.download is not None]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("resnet5", "resnet50"),
        ("EfficientNet_Lite0", "efficientnet_lite0"),
        ("mobilenetv2", "mobilenet_v2"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(wrong, right) -> None:
    with pytest.raises(ConfigError, match=f"'{right}'") as caught:
        get_spec(wrong)
    assert caught.value.received == wrong


def test_registry_and_status_need_no_tensorflow() -> None:
    code = (
        "import sys; from tl_app.backbones.registry import all_specs, get_spec; "
        "from tl_app.backbones.weights import status; "
        "s = {x.name: status(x) for x in all_specs()}; "
        "status(get_spec('hub:/nowhere')); "
        "assert s['efficientnet_lite0'] == 'here', s; "
        "print([m for m in ('tensorflow', 'keras', 'tensorflow_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
