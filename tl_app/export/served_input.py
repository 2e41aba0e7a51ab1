"""What a SavedModel is given, and how that becomes the model's own input, inside the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from tl_app.export.one_by_one import decode_one_by_one
from tl_app.inputs.decode import JPEG_START
from tl_app.inputs.preprocess import build_preprocess
from tl_app.inputs.tokenizer import Tokenizer
from tl_app.records import AnyProcessing, Modality, Preprocessing, TextProcessing

INPUT_NAMES: dict[Modality, str] = {"image": "image_bytes", "text": "texts"}
"""What the signatures call what they are given."""


@dataclass(frozen=True, slots=True)
class ServedInput:
    """One modality's way into the graph.

    Attributes:
        modality: which.
        processing: the record of what `decode` does.
        tensor: the model's own input for n items, with its name in `predict_tensor`.
        decode: what is given, string (n,), to `tensor`, and to bool (n,): which can be used. What
            cannot is zeros in `tensor`.
        parts: what must live as long as the graph, such as the tables of a vocabulary.
        needs: packages without which TensorFlow cannot load the SavedModel.
    """

    modality: Modality
    processing: AnyProcessing
    tensor: tf.TensorSpec
    decode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    parts: tuple[tf.Module, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of what is given, in the signatures."""
        return INPUT_NAMES[self.modality]


def served_pictures(preprocessing: Preprocessing) -> ServedInput:
    """Encoded pictures to float32 pixels (n, S, S, 3), RGB, 0..255, S = image_size_px."""
    size = preprocessing.image_size_px
    one = tf.TensorSpec((size, size, 3), tf.float32)
    of_any_format = build_preprocess(preprocessing)
    of_jpeg = build_preprocess(preprocessing, jpeg_only=True)

    def decode(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # A function is made ready anew in every call, and that of all formats takes 3 ms of it.
        is_jpeg = tf.strings.substr(image_bytes, 0, len(JPEG_START)) == JPEG_START
        return tf.cond(
            tf.reduce_all(is_jpeg),
            lambda: decode_one_by_one(of_jpeg, image_bytes, one),
            lambda: decode_one_by_one(of_any_format, image_bytes, one),
        )

    spec = tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")
    return ServedInput("image", preprocessing, spec, decode)


def served_strings(processing: TextProcessing, needs: tuple[str, ...] = ()) -> ServedInput:
    """Texts in UTF-8 as they are, for an encoder that takes strings."""
    spec = tf.TensorSpec((None,), tf.string, name="strings")
    return _served_text(processing, spec, tf.identity, needs=needs)


def served_texts(processing: TextProcessing, tokenizer: Tokenizer) -> ServedInput:
    """Texts in UTF-8 to int32 token numbers (n, length), as long as the longest of them."""
    return _served_text(
        processing,
        tf.TensorSpec((None, None), tf.int32, name="tokens"),
        lambda texts: tokenizer(texts).to_tensor(),
        parts=(tokenizer,),
        needs=tokenizer.needs,
    )


def _served_text(
    processing: TextProcessing,
    spec: tf.TensorSpec,
    read: Callable[[tf.Tensor], tf.Tensor],
    *,
    parts: tuple[tf.Module, ...] = (),
    needs: tuple[str, ...] = (),
) -> ServedInput:
    """There is no text that cannot be used."""

    def decode(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return read(texts), tf.ones_like(texts, tf.bool)

    return ServedInput("text", processing, spec, decode, parts, needs)
