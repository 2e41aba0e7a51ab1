"""What a SavedModel is given, and how that becomes the model's own input, inside the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from tl_app.inputs.preprocess import build_preprocess
from tl_app.inputs.tokenizer import Tokenizer
from tl_app.records import AnyProcessing, Modality, Preprocessing, TextProcessing

PARALLEL_DECODES = 8
"""Pictures of one batch decoded at a time; each may need memory for its full size."""

INPUT_NAMES: dict[Modality, str] = {"image": "image_bytes", "text": "texts"}
"""What the signatures call what they are given."""


@dataclass(frozen=True, slots=True)
class ServedInput:
    """One modality's way into the graph.

    Attributes:
        modality: which.
        processing: the record of what `decode` does.
        tensor: the model's own input for n items, with its name in `predict_tensor`.
        decode: what is given, string (n,), to `tensor`.
        parts: what must live as long as the graph, such as the tables of a vocabulary.
        needs: packages without which TensorFlow cannot load the SavedModel.
    """

    modality: Modality
    processing: AnyProcessing
    tensor: tf.TensorSpec
    decode: Callable[[tf.Tensor], tf.Tensor]
    parts: tuple[tf.Module, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of what is given, in the signatures."""
        return INPUT_NAMES[self.modality]


def served_pictures(preprocessing: Preprocessing) -> ServedInput:
    """Encoded pictures to float32 pixels (n, S, S, 3), RGB, 0..255, S = image_size_px."""
    size = preprocessing.image_size_px
    to_picture = build_preprocess(preprocessing)

    def decode(image_bytes: tf.Tensor) -> tf.Tensor:
        pixels = tf.map_fn(
            to_picture,
            image_bytes,
            fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
            parallel_iterations=PARALLEL_DECODES,
        )
        return tf.ensure_shape(pixels, (None, size, size, 3))

    spec = tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")
    return ServedInput("image", preprocessing, spec, decode)


def served_strings(processing: TextProcessing, needs: tuple[str, ...] = ()) -> ServedInput:
    """Texts in UTF-8 as they are, for an encoder that takes strings."""
    spec = tf.TensorSpec((None,), tf.string, name="strings")
    return ServedInput("text", processing, spec, tf.identity, needs=needs)


def served_texts(processing: TextProcessing, tokenizer: Tokenizer) -> ServedInput:
    """Texts in UTF-8 to int32 token numbers (n, length), as long as the longest of them."""
    return ServedInput(
        "text",
        processing,
        tf.TensorSpec((None, None), tf.int32, name="tokens"),
        lambda texts: tokenizer(texts).to_tensor(),
        (tokenizer,),
        tokenizer.needs,
    )
