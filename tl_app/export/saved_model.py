"""Writing a SavedModel that needs nothing but `tf.saved_model.load`."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tl_app.export.assets import CLASSIFY, write_assets, write_note
from tl_app.export.graph import build_serving_module
from tl_app.export.served_input import ServedInput
from tl_app.export.versions import MODEL_FILE, candidate_folder, publish, require_free
from tl_app.export.warm_up import write_warm_up
from tl_app.progress import Reporter, SilentReporter
from tl_app.storage import storage_errors


def write_saved_model(
    model: keras.Model,
    served: ServedInput,
    class_names: Sequence[str],
    destination: Path,
    *,
    version: int | None = None,
) -> Path:
    """Write `destination`/<version>/ without checking it; `publish.export_model` checks as well.

    Args:
        model: what `served` gives to float32 probabilities (n, n_classes).
        served: how pictures or texts become the model's input.
        class_names: one a column of the model's output.
        destination: holds the versions; made if it is not there.
        version: a free number from 1; None takes the one after the largest.

    Returns:
        The version folder. Its signatures: `graph.build_serving_module`.

    Raises:
        ConfigError: `version` is taken.
        StorageError: the disk is full or the folder cannot be written; nothing is left.
        ValueError: the model's shapes do not fit the other arguments.
    """
    require_free(destination, version)
    with candidate_folder(destination) as candidate:
        save_candidate(model, served, class_names, candidate, SilentReporter())
        return publish(candidate, destination, version=version)


def save_candidate(
    model: keras.Model,
    served: ServedInput,
    class_names: Sequence[str],
    candidate: Path,
    reporter: Reporter,
) -> None:
    """Fill the folder `candidate` with a SavedModel; `reporter` shows progress.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
        ValueError: the model's shapes do not fit the other arguments.
    """
    with (
        saving_errors(candidate.parent.parent),
        tempfile.TemporaryDirectory(dir=candidate.parent, ignore_cleanup_errors=True) as sources,
    ):
        assets = write_assets(Path(sources), served.modality, served.processing, class_names)
        module, signatures = build_serving_module(model, served, class_names, assets)
        # The files come last, as one part.
        with reporter.bar("Writing the SavedModel", len(signatures) + 1, "parts") as bar:
            traced = {}
            for name, function in signatures.items():
                traced[name] = function.get_concrete_function()
                bar.advance()
            tf.saved_model.save(module, str(candidate), signatures=traced)
            _name_method(candidate)
            write_warm_up(candidate, served.modality)
            write_note(candidate, served.needs)
            bar.advance()


def _name_method(folder: Path) -> None:
    """Say of `classify` that it is what TensorFlow Serving means by it: `save` calls every
    signature a prediction."""
    file = folder / MODEL_FILE
    saved = SavedModel.FromString(file.read_bytes())
    for graph in saved.meta_graphs:
        graph.signature_def[CLASSIFY].method_name = tf.saved_model.CLASSIFY_METHOD_NAME
    file.write_bytes(saved.SerializeToString(deterministic=True))


@contextmanager
def saving_errors(path: Path) -> Iterator[None]:
    """`storage_errors` that also understands how TensorFlow tells of a disk's refusal."""
    with storage_errors(path, elsewhere="name another DEST"):
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            if any(word in error.message for word in ("No space left", "quota")):
                raise OSError(errno.ENOSPC, error.message) from error
            raise
        except tf.errors.PermissionDeniedError as error:
            raise OSError(errno.EACCES, error.message) from error
