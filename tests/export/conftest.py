"""A tiny model, real picture files of many kinds, and what the model says of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.saved_model import write_saved_model
from tl_app.export.served_input import served_pictures
from tl_app.inputs.files import read_encoded
from tl_app.inputs.preprocess import build_preprocess
from tl_app.records import Predictions, Preprocessing

SIZE_PX = 32
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "two\nlines\u2028or three",
    "Küche 猫",
    "back\\slash\\n",
    'quote"s and, commas',
    "../../etc",
    "bytes that are not UTF-8: \udcff",
)


@pytest.fixture(scope="session")
def preprocessing() -> Preprocessing:
    return Preprocessing(
        image_size_px=SIZE_PX, aspect="squash", window=(0, 4095), max_pixels=1_000_000
    )


@pytest.fixture(scope="session")
def class_names() -> tuple[str, ...]:
    return HOSTILE_NAMES


def build_tiny_model(n_classes: int, seed: int = 3) -> keras.Model:
    """Random weights, large enough that different pictures get clearly different answers."""
    random = np.random.default_rng(seed)
    pixels = keras.Input((SIZE_PX, SIZE_PX, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(n_classes, activation="softmax")(x)
    model = keras.Model(pixels, x)
    model.set_weights(
        [
            np.abs(random.normal(0.5, 0.2, w.shape))
            if w.ndim == 1
            else random.normal(0, 1, w.shape)
            for w in model.get_weights()
        ]
    )
    return model


@pytest.fixture(scope="session")
def make_model():
    """n_classes -> the same tiny Keras model at each call."""
    return build_tiny_model


@pytest.fixture(scope="session")
def model(class_names) -> keras.Model:
    return build_tiny_model(len(class_names))


def photo(seed: int, width: int = 48, height: int = 36) -> np.ndarray:
    """uint8, shape (height, width, 3): smooth colours, different at every corner."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def write_pictures(folder: Path) -> list[Path]:
    """One file of each kind that a run meets; none can be told from another by its name alone."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []

    def save(image: Image.Image, name: str, **options) -> None:
        path = folder / name
        image.save(path, **options)
        files.append(path)

    save(Image.fromarray(photo(1)), "colour.jpg", quality=90)
    save(Image.fromarray(photo(2)).convert("L"), "grey.jpg")
    save(Image.fromarray(photo(3)).convert("CMYK"), "ink.jpg")
    save(Image.fromarray(photo(4)), "progressive.jpg", progressive=True)
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(Image.fromarray(photo(5)), f"turned {orientation}.jpg", exif=exif)
    save(Image.fromarray(photo(6)), "plain.png")
    save(Image.fromarray(photo(7)).convert("P"), "palette.png")
    see_through = np.dstack([photo(8), np.linspace(0, 255, 36 * 48).reshape(36, 48)])
    save(Image.fromarray(see_through.astype(np.uint8)), "see-through.png")
    deep = photo(9)[..., 0].astype(np.uint16) * 16
    save(Image.fromarray(deep), "twelve bits in sixteen.png")
    save(Image.fromarray(photo(10)), "picture.bmp")
    save(Image.fromarray(photo(11)), "picture.gif")
    save(Image.fromarray(photo(12)), "picture.webp", lossless=True)
    save(Image.fromarray(photo(13)), "by way of Pillow.tif")
    return files


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> list[Path]:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def hashes(files) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


@pytest.fixture(scope="session")
def pixels(files, preprocessing) -> np.ndarray:
    """float32, shape (n, S, S, 3): each picture alone through the one preprocessing."""
    to_picture = build_preprocess(preprocessing)
    return np.stack(
        [to_picture(tf.constant(read_encoded(f, max_pixels=10**6))).numpy() for f in files]
    )


@pytest.fixture(scope="session")
def recorded(files, pixels, model, class_names) -> Predictions:
    """What the Keras model says, without any of the export's code."""
    return Predictions(
        paths=tuple(path.name for path in files),
        y_true=np.zeros(len(files), dtype=np.int64),
        probabilities=np.asarray(model(pixels, training=False)),
        class_names=class_names,
    )


@pytest.fixture(scope="session")
def version_folder(tmp_path_factory, model, preprocessing, class_names) -> Path:
    destination = tmp_path_factory.mktemp("export") / "new" / "model"
    return write_saved_model(model, served_pictures(preprocessing), class_names, destination)


@pytest.fixture(scope="session")
def classifier(version_folder) -> SavedModelClassifier:
    """Loaded once for all tests that only ask it: loading and the first call take seconds."""
    return SavedModelClassifier(version_folder)
