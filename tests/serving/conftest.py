from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inputs.makers import exif, png, smooth, with_segment
from tests.serving.servers import (
    Client,
    classifier,
    command,
    publish_saved_model,
    publish_small,
)
from tl_app.export.classifier import SavedModelClassifier


def encoded(picture: np.ndarray, image_format: str, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """Of many kinds, no two alike."""
    random = np.random.default_rng(0)
    scenes = [
        (smooth(70 + 7 * i, 90 - 5 * i) * random.uniform(0.3, 1, 3)).astype(np.uint8)
        for i in range(8)
    ]
    turned = with_segment(encoded(scenes[2], "JPEG"), exif(6))
    deep = png(random.integers(0, 65536, (50, 60, 3)), colour_type=2, bit_depth=16)
    return [
        encoded(scenes[0], "JPEG", quality=85),
        encoded(scenes[1], "JPEG", "CMYK"),
        turned,
        encoded(scenes[3], "PNG", "L"),
        encoded(scenes[4], "PNG", "RGBA"),
        encoded(scenes[5], "WEBP", lossless=True),
        encoded(scenes[6], "GIF"),
        encoded(scenes[7], "BMP"),
        deep,
    ]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model in all formats, one a model's folder."""
    folder = tmp_path_factory.mktemp("served")
    model = classifier()
    publish_small(model, folder / "light", "litert")
    publish_small(model, folder / "onnx", "onnx")
    publish_saved_model(model, folder / "full")
    return folder


@pytest.fixture(scope="session")
def offline(exported: Path, pictures: list[bytes]) -> np.ndarray:
    """float32, shape (n_pictures, n_classes): what the SavedModel says, without a server."""
    return SavedModelClassifier(exported / "full").predict_bytes(pictures)


@pytest.fixture(scope="session")
def server(exported: Path) -> Iterator[Client]:
    """All models on one server."""
    with command(exported) as client:
        yield client
