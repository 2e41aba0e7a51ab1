"""Text encoders of TensorFlow Hub (TensorFlow 2 SavedModels) as Keras backbones.

Two kinds: those that take strings (Universal Sentence Encoder, NNLM), and those that take what a
second SavedModel, the preprocessor, makes of strings (the BERT family). Either becomes one Keras
layer from strings to a vector of features.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from google.protobuf.message import DecodeError

from tl_app.backbones.hub import HubFeatures, call_saved_model, describe_all, load_saved_model
from tl_app.backbones.registry import TextEncoderSpec
from tl_app.errors import WeightsError

TEXT_OPS = "tensorflow_text"
"""The package that many preprocessors take their operations from; the extra `text` brings it."""

TEXT_OP_NAMES = (
    "BertTokenize", "CaseFoldUTF8", "ConstrainedSequence", "FastBertNormalize",
    "FastSentencepiece", "FastWordpiece", "MaxSpanningTree", "NgramsStringJoin", "NormalizeUTF8",
    "PhraseTokenize", "RegexSplitWithOffsets", "RoundRobin", "RougeL", "Sentencepiece",
    "SentenceFragments", "SplitMergeTokenize", "TFText", "TrimmerRoundRobin",
    "UnicodeScriptTokenize", "UTF8Binarize", "WhitespaceTokenize", "WordpieceTokenize",
)  # fmt: skip
"""How its operations' names begin; one that is missing here is brought all the same when a
SavedModel cannot be loaded without it (`load_text_model`), and only the note is missing."""

PROBE = ["A short sentence.", "Another one, a little longer than the first."]


@keras.saving.register_keras_serializable(package="tl_app")
class HubTexts(HubFeatures):
    """Strings (n,) to float32 features (n, n_features), by one or two SavedModels.

    The encoder's trainable variables train when the layer is trainable; the preprocessor's never
    do. Dropout is on while training, where the SavedModel knows a training mode.

    Args:
        preprocessor_folder: of the second SavedModel; None where the encoder takes strings, and
            while Keras loads a file.
        preprocessor: what `load_text_model` made of it.
        others: as `HubFeatures`.
    """

    def __init__(
        self,
        *args: Any,
        preprocessor_folder: str | None = None,
        preprocessor: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._preprocessor_folder = Path(preprocessor_folder) if preprocessor_folder else None
        self._preprocessor = preprocessor

    def call(self, texts, training=None):
        if self._loaded is None:
            raise ValueError("HubTexts has no SavedModel; load it from a .keras file")
        for function in getattr(self._loaded, "regularization_losses", ()) or ():
            if self.trainable:
                self.add_loss(function())
        is_training = bool(training) and self.trainable
        features = encode(self._loaded, self._preprocessor, texts, training=is_training)
        return tf.ensure_shape(features, (None, self.n_features))

    def compute_output_spec(self, texts, training=None):
        return keras.KerasTensor((texts.shape[0], self.n_features), dtype="float32")

    def save_assets(self, path: str) -> None:
        super().save_assets(path)
        if self._preprocessor_folder is not None:
            shutil.copytree(self._preprocessor_folder, Path(path) / "preprocessor")

    def load_assets(self, path: str) -> None:
        kept = Path(path) / "preprocessor"
        if kept.is_dir():
            folder = Path(tempfile.mkdtemp(prefix="tl_app-hub-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            shutil.copytree(kept, folder / "preprocessor")
            self._preprocessor_folder = folder / "preprocessor"
            self._preprocessor = load_text_model(self._preprocessor_folder)
        super().load_assets(path)

    @property
    def saved_parts(self) -> list[Any]:
        """What must be saved with whatever calls this layer: both may hold tables."""
        return [part for part in (self._loaded, self._preprocessor) if part is not None]

    def load_model(self, folder: Path) -> Any:
        return load_text_model(folder)


def build_hub_texts(spec: TextEncoderSpec, encoder: Path, preprocessor: Path | None) -> keras.Model:
    """An encoder around one or two SavedModels: strings (n,) to features (n, n_features).

    Raises:
        WeightsError: they are no text encoder, or the encoder needs a preprocessor.
    """
    loaded = load_text_model(encoder)
    first = None if preprocessor is None else load_text_model(preprocessor)
    try:
        features = encode(loaded, first, tf.constant(PROBE), training=False)
    except (ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            "The TensorFlow Hub model does not take texts"
            + (" by itself." if first is None else " from this preprocessor."),
            received=f"{spec.name}: {reason[:200]}",
            allowed="a SavedModel that takes strings, or one of the BERT family with its "
            "preprocessor",
            next_step="--set preprocessor=HANDLE_OR_FOLDER" if first is None else None,
        ) from error
    shape = getattr(features, "shape", None)
    if shape is None or shape.rank != 2 or shape[0] != len(PROBE):
        raise WeightsError(
            "The TensorFlow Hub model gives no vector for each text.",
            received=f"{spec.name}: {shape if shape is not None else type(features).__name__}",
            allowed="one row of numbers for each text",
        )
    texts = keras.Input((), dtype="string", name="texts")
    features = HubTexts(
        int(shape[1]),
        describe_all(loaded),
        str(encoder),
        loaded,
        preprocessor_folder=None if preprocessor is None else str(preprocessor),
        preprocessor=first,
        name="hub_texts",
    )(texts)
    return keras.Model(texts, features, name="hub_texts_encoder")


def encode(loaded: Any, preprocessor: Any, texts: tf.Tensor, *, training: bool) -> tf.Tensor:
    """Features of strings, by an encoder and, where it needs one, its preprocessor."""
    inputs = texts if preprocessor is None else preprocessor(texts)
    result = call_saved_model(loaded, inputs, training=training)
    if isinstance(result, dict):
        return result["pooled_output"]
    return result


def load_text_model(folder: Path) -> Any:
    """`hub.load_saved_model`; operations of TensorFlow Text are brought where they are needed.

    Raises:
        WeightsError: it cannot be loaded, or TensorFlow Text is needed and not here.
    """
    try:
        return load_saved_model(folder)
    except WeightsError as error:
        if "Op type not registered" not in error.problem:
            raise
        if not bring_text_ops():
            raise WeightsError(
                "This model uses operations of TensorFlow Text, which is not installed.",
                received=f"{folder}: {error.problem}",
                next_step="pip install 'tl_app[text]'",
            ) from error
        return load_saved_model(folder)


def bring_text_ops() -> bool:
    """Register the operations of TensorFlow Text; whether it is installed."""
    try:
        importlib.import_module(TEXT_OPS)
    except ImportError:
        return False
    return True


def needed_packages(folders: Sequence[Path]) -> tuple[str, ...]:
    """What must be imported before SavedModels with the contents of these can be loaded.

    Raises:
        WeightsError: one of them is damaged.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    for folder in folders:
        content = SavedModel()
        try:
            content.ParseFromString((folder / "saved_model.pb").read_bytes())
        except (OSError, DecodeError) as error:
            raise WeightsError(
                f"The SavedModel cannot be read: {error}.", received=str(folder)
            ) from error
        for graph in content.meta_graphs:
            nodes = [*graph.graph_def.node]
            for function in graph.graph_def.library.function:
                nodes += function.node_def
            if any(node.op.startswith(TEXT_OP_NAMES) for node in nodes):
                return (TEXT_OPS,)
    return ()
