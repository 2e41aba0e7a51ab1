"""Where a backbone can be cut, and which of its layers train.

A block boundary is one tensor that everything between input and output passes through;
a backbone is never cut elsewhere. Blocks are counted from the top: 1 is the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from tl_app.backbones.registry import AnySpec
from tl_app.errors import ConfigError

NTopBlocks = int | Literal["all"]


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive layers between two boundaries.

    Attributes:
        name: a word for people.
        layer_names: in topological order; the last one gives the boundary tensor.
    """

    name: str
    layer_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A pretrained model without its classifier.

    Attributes:
        spec: its registry entry.
        model: float32 pixels (n, S, S, 3) in 0..255 RGB, to a map (n, h, w, n_features) or to
            features (n, n_features); or int32 token numbers (n, length) to hidden states
            (n, length, n_features). Nothing of it trains until `set_trainable`.
        blocks: from input to output; their layers are all the layers of `model`.
        weights_file: where the weights came from, None for random ones.
        weights_sha256: of that file (of all files of a SavedModel), hexadecimal.
    """

    spec: AnySpec
    model: keras.Model
    blocks: tuple[Block, ...]
    weights_file: Path | None = None
    weights_sha256: str | None = None


def find_blocks(model: keras.Model, block_end: str) -> tuple[Block, ...]:
    """The blocks of a functional model.

    Args:
        model: with one input and one output.
        block_end: regular expression that matches the whole name of a layer that ends a block.
            The name of its last named group, else the text of its first group, names the
            block; of several ends with one name the last counts. A match where the graph
            cannot be cut is passed over. Layers that hold no weights, or those of
            normalisation alone, are no block of their own and join a neighbour.
    """
    pattern = re.compile(block_end)
    ends = set(boundary_layers(model))
    blocks: list[Block] = []
    names: list[str] = []
    substantial = False
    for part in model.operations:
        names.append(part.name)
        substantial = substantial or _has_substance(part)
        match = pattern.fullmatch(part.name)
        if match is None or part.name not in ends:
            continue
        word = match.lastgroup or next((text for text in match.groups() if text), part.name)
        if substantial:
            blocks.append(Block(word, tuple(names)))
        elif blocks and blocks[-1].name == word:
            blocks[-1] = Block(word, blocks[-1].layer_names + tuple(names))
        else:
            continue
        names, substantial = [], False
    if substantial or not blocks:
        blocks.append(Block("top", tuple(names)))
    elif names:
        blocks[-1] = Block(blocks[-1].name, blocks[-1].layer_names + tuple(names))
    return tuple(blocks)


def boundary_layers(model: keras.Model) -> list[str]:
    """Names of the layers whose output alone carries everything on to the model's output.

    In topological order; the last one gives the output itself.
    """
    order = model.operations
    position = {id(layer): index for index, layer in enumerate(order)}
    last_use = [0] * len(order)
    for index, layer in enumerate(order):
        for source in _sources(layer):
            if id(source) in position:
                last_use[position[id(source)]] = index
    output = order.index(_history(model.outputs[0]))
    last_use[output] = len(order)
    found: list[str] = []
    reach = 0
    # In a topological order the layers up to index k meet the rest in a single tensor exactly
    # if no layer before k is used after k.
    for index, layer in enumerate(order):
        if reach <= index and index <= output:
            found.append(layer.name)
        reach = max(reach, last_use[index])
    return found


def cut(backbone: Backbone, n_top_blocks: NTopBlocks) -> tuple[keras.Model, keras.Model]:
    """The model below the boundary under the top `n_top_blocks` blocks, and the one above it.

    Both share the layers of `backbone.model`: above(below(x)) equals model(x), and what is
    trained in one is trained in all. With 0 the model above gives its input back, with all
    blocks the one below does.

    Raises:
        ConfigError: `n_top_blocks` is no number of blocks of this backbone.
    """
    n_top = count_blocks(backbone, n_top_blocks)
    model = backbone.model
    n_below = len(backbone.blocks) - n_top
    if n_below == 0:
        return _identity(model.inputs[0], f"{model.name}_below"), model
    if n_top == 0:
        return model, _identity(model.outputs[0], f"{model.name}_above")
    end = backbone.blocks[n_below - 1].layer_names[-1]
    boundary = next(part for part in model.operations if part.name == end).output
    below = keras.Model(model.inputs[0], boundary, name=f"{model.name}_below")
    above = keras.Model(boundary, model.outputs[0], name=f"{model.name}_above")
    return below, above


def set_trainable(backbone: Backbone, n_top_blocks: NTopBlocks) -> None:
    """Let the layers of the top `n_top_blocks` blocks train and freeze all others.

    BatchNormalization layers stay frozen in any case. Whoever sets `trainable` on a model or
    on a layer elsewhere (or loads a model from a file) calls this again afterwards.

    Raises:
        ConfigError: `n_top_blocks` is no number of blocks of this backbone.
    """
    n_top = count_blocks(backbone, n_top_blocks)
    names = {
        name
        for block in backbone.blocks[len(backbone.blocks) - n_top :]
        for name in block.layer_names
    }
    backbone.model.trainable = n_top > 0
    for layer in backbone.model.layers:
        layer.trainable = layer.name in names
        freeze_batch_normalization(layer)


def freeze_batch_normalization(layer: keras.layers.Layer) -> None:
    """Set `trainable=False` on every BatchNormalization at or below `layer`."""
    for part in layer._flatten_layers(include_self=True):
        if isinstance(part, keras.layers.BatchNormalization):
            part.trainable = False


def layer_depths(backbone: Backbone) -> dict[str, int]:
    """Block index from the top (0 is the last block) of each layer of `backbone.model`."""
    return {
        name: depth
        for depth, block in enumerate(reversed(backbone.blocks))
        for name in block.layer_names
    }


def count_blocks(backbone: Backbone, n_top_blocks: NTopBlocks) -> int:
    """`n_top_blocks` as a number.

    Raises:
        ConfigError: it is no number of blocks of this backbone.
    """
    n_blocks = len(backbone.blocks)
    if n_top_blocks == "all":
        return n_blocks
    if isinstance(n_top_blocks, int) and not isinstance(n_top_blocks, bool):
        if 0 <= n_top_blocks <= n_blocks:
            return n_top_blocks
        if n_top_blocks > n_blocks:
            names = ", ".join(block.name for block in reversed(backbone.blocks[-4:]))
            more = ", ..." if n_blocks > 4 else ""
            raise ConfigError(
                f"{backbone.spec.name} has fewer blocks than are to be unfrozen.",
                received=f"{n_top_blocks} blocks",
                allowed=f"0 to {n_blocks} (from the top: {names}{more}), or 'all'",
                next_step=f"--set phases.N.unfreeze={n_blocks}",
            )
    raise ConfigError(
        "The number of blocks to unfreeze is not usable.",
        received=repr(n_top_blocks),
        allowed=f"0 to {n_blocks}, or 'all'",
    )


def _identity(tensor: Any, name: str) -> keras.Model:
    entry = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"{name}_input")
    return keras.Model(entry, keras.layers.Identity(name=f"{name}_identity")(entry), name=name)


def _has_substance(part: Any) -> bool:
    """Whether an operation holds trainable weights (frozen or not) beyond normalisation's."""
    normalisation = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    return isinstance(part, keras.layers.Layer) and any(
        layer._trainable_variables
        for layer in part._flatten_layers(include_self=True)
        if not isinstance(layer, normalisation)
    )


def _sources(layer: Any) -> Iterator[Any]:
    """The operations whose outputs a layer takes."""
    for node in layer._inbound_nodes:
        for tensor in node.input_tensors:
            yield _history(tensor)


def _history(tensor: Any) -> Any:
    return tensor._keras_history.operation
