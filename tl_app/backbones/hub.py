"""Image feature vectors of TensorFlow Hub (TensorFlow 2 SavedModels) as Keras backbones."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tl_app.backbones.registry import BackboneSpec
from tl_app.errors import WeightsError

_BATCH_NORMALISATION = re.compile(r"(batch_?norm|(^|[/_])bn)[^/]*/.*(gamma|beta)", re.IGNORECASE)


@keras.saving.register_keras_serializable(package="tl_app")
class HubFeatures(keras.layers.Layer):
    """Calls a SavedModel that follows TensorFlow Hub's reusable interface.

    Takes float32 pixels (n, S, S, 3) in 0..1 and gives float32 features (n, n_features). The
    model always runs in inference mode, so that its BatchNormalization stands still; its
    trainable variables train when the layer is trainable, BatchNormalization's scales and
    offsets left out.

    A .keras file holds a copy of the SavedModel. Variables are described in the
    configuration, so that Keras can make them before it reads that copy; loading then puts
    the SavedModel's own variables in their place, with the trained values in them.

    Args:
        n_features: length of the feature vector.
        variables: for each variable its name, shape, dtype and whether it may train, trainable
            ones first.
        folder: where the SavedModel is; None while Keras loads a file.
        loaded: what `load_saved_model` made of it.
    """

    def __init__(
        self,
        n_features: int,
        variables: list[dict[str, Any]],
        folder: str | None = None,
        loaded: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.n_features = int(n_features)
        # As text, since Keras and TensorFlow wrap lists and dictionaries that a layer holds.
        self._described = json.dumps(variables)
        self._folder = Path(folder) if folder is not None else None
        self._loaded: Any = None
        self._unbound: Any = loaded

    def build(self, input_shape) -> None:
        self._values = [
            self.add_weight(
                name=re.sub(r"\W+", "_", entry["name"]),
                shape=entry["shape"],
                dtype=entry["dtype"],
                initializer="zeros",
                autocast=False,
                trainable=entry["trainable"],
            )
            for entry in json.loads(self._described)
        ]
        if self._unbound is not None:
            self._bind(self._unbound, keep=False)
            self._unbound = None

    def call(self, pixels, training=None):
        if self._loaded is None:
            raise ValueError("HubFeatures has no SavedModel; load it from a .keras file")
        for function in getattr(self._loaded, "regularization_losses", ()) or ():
            if self.trainable:
                self.add_loss(function())
        features = call_saved_model(self._loaded, pixels)
        return tf.ensure_shape(features, (None, self.n_features))

    def compute_output_spec(self, pixels, training=None):
        return keras.KerasTensor((pixels.shape[0], self.n_features), dtype="float32")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n_features)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("dtype", None)
        return {**config, "n_features": self.n_features, "variables": json.loads(self._described)}

    def save_assets(self, path: str) -> None:
        if self._folder is None or not (self._folder / "saved_model.pb").is_file():
            raise WeightsError(
                "The TensorFlow Hub model is gone, so that it cannot be saved with the run.",
                received=str(self._folder),
                allowed="the folder that it was loaded from",
            )
        shutil.copytree(self._folder, Path(path) / "saved_model")

    def load_assets(self, path: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="tl_app-hub-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        shutil.copytree(Path(path) / "saved_model", folder / "saved_model")
        self._folder = folder / "saved_model"
        self._bind(self.load_model(self._folder), keep=True)

    def load_model(self, folder: Path) -> Any:
        """The SavedModel out of a .keras file."""
        return load_saved_model(folder)

    def _bind(self, loaded: Any, *, keep: bool) -> None:
        """Let the SavedModel and Keras share variables; `keep` the values that Keras has."""
        originals = _ordered_variables(loaded)
        if describe_all(loaded) != json.loads(self._described):
            raise WeightsError(
                "The SavedModel has other variables than the file says.", received=str(self._folder)
            )
        for variable, original in zip(self._values, originals, strict=True):
            if keep:
                original.assign(variable.value)
                # Keras made its optimizer for the placeholder, and knows variables by this word.
                original._unique_id = variable.value._unique_id
            variable._value = original
        self._loaded = loaded


class _Variables(list):
    """Variables compared by identity: TensorFlow's `==` compares values."""

    def __contains__(self, wanted: Any) -> bool:
        return any(wanted is variable for variable in self)


def build_hub(spec: BackboneSpec, image_size_px: int, weights: Path | None) -> keras.Model:
    """A backbone around the SavedModel in the folder `weights`.

    Returns:
        float32 pixels (n, S, S, 3) in 0..255 to features (n, n_features).

    Raises:
        WeightsError: the SavedModel is no TensorFlow 2 image feature vector, or takes pictures
            of another size.
    """
    from tl_app.backbones.layers import PixelNormalization

    if weights is None or spec.normalisation is None:
        raise WeightsError(
            "A TensorFlow Hub model cannot be built without its SavedModel.", received=spec.name
        )
    loaded = load_saved_model(weights)
    n_features = _feature_count(loaded, image_size_px, spec.name)
    pixels = keras.Input((image_size_px, image_size_px, 3), name="pixels")
    x = PixelNormalization(spec.normalisation.mean, spec.normalisation.scale, name="normalization")(
        pixels
    )
    x = HubFeatures(n_features, describe_all(loaded), str(weights), loaded, name="hub_features")(x)
    return keras.Model(pixels, x, name="hub")


def load_saved_model(folder: Path) -> Any:
    """The object of a TensorFlow 2 SavedModel.

    Raises:
        WeightsError: the folder is damaged, or of TensorFlow 1.
    """
    import tensorflow_hub as hub

    if (folder / "tfhub_module.pb").exists():
        raise WeightsError(
            "This is a TensorFlow 1 hub module, which TensorFlow 2 cannot fine-tune.",
            received=str(folder),
            allowed="a TensorFlow 2 SavedModel",
        )
    try:
        # Outside of every scope that Keras has open, or variables would be renamed.
        with tf.init_scope(), tf.name_scope(""):
            loaded = hub.load(str(folder))
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, tf.errors.OpError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"The SavedModel cannot be loaded: {reason}.", received=str(folder)
        ) from error
    if not callable(loaded):
        raise WeightsError(
            "The SavedModel cannot be called as TensorFlow Hub's feature vectors are.",
            received=str(folder),
            allowed="an image feature vector with the reusable SavedModel interface",
        )
    return loaded


def call_saved_model(loaded: Any, inputs: Any, *, training: bool = False) -> Any:
    """What it says of `inputs`; a `training` argument is not always there."""
    wanted = _with_training(loaded)
    result = loaded(inputs, training=training) if wanted else loaded(inputs)
    return result["default"] if isinstance(result, dict) and "default" in result else result


def fixed_image_size_px(folder: Path) -> int | None:
    """Side of the pictures that the SavedModel takes, None where it takes any."""
    sizes = {
        int(spec.shape[1])
        for spec in _image_specs(load_saved_model(folder))
        if spec.shape[1] is not None and spec.shape[1] == spec.shape[2]
    }
    return sizes.pop() if len(sizes) == 1 else None


def _concrete_functions(loaded: Any) -> list[Any]:
    return list(getattr(loaded.__call__, "concrete_functions", None) or [])


def _with_training(loaded: Any) -> bool:
    """Whether any of the traced calls takes `training`, as a Python or a tensor argument."""
    for function in _concrete_functions(loaded):
        args, kwargs = function.structured_input_signature
        if "training" in kwargs or any(isinstance(arg, bool) for arg in args):
            return True
        specs = [arg for arg in args if isinstance(arg, tf.TensorSpec)]
        if any(spec.dtype == tf.bool for spec in specs):
            return True
    return False


def _image_specs(loaded: Any) -> list[tf.TensorSpec]:
    return [
        spec
        for function in _concrete_functions(loaded)
        for spec in tf.nest.flatten(function.structured_input_signature)
        if isinstance(spec, tf.TensorSpec) and spec.shape.rank == 4
    ]


def _feature_count(loaded: Any, image_size_px: int, name: str) -> int:
    """Length of the feature vector of one black picture."""
    try:
        features = call_saved_model(loaded, tf.zeros((1, image_size_px, image_size_px, 3)))
    except (ValueError, TypeError, tf.errors.OpError) as error:
        sizes = sorted({str(spec.shape[1]) for spec in _image_specs(loaded)})
        raise WeightsError(
            f"The TensorFlow Hub model does not take pictures of {image_size_px} px.",
            received=name,
            allowed=f"sizes of its own signature: {', '.join(sizes) or 'none for pictures'}",
            next_step="set data.image_size_px to one of them",
        ) from error
    shape = getattr(features, "shape", None)
    if shape is None or shape.rank != 2 or shape[0] != 1:
        raise WeightsError(
            "The TensorFlow Hub model gives no feature vector.",
            received=f"{name}: {shape if shape is not None else type(features).__name__}",
            allowed="an image feature vector: one row of numbers for each picture",
        )
    return int(shape[1])


def _trainable(loaded: Any) -> _Variables:
    variables = getattr(loaded, "trainable_variables", ()) or ()
    return _Variables(v for v in variables if not _BATCH_NORMALISATION.search(v.name))


def _ordered_variables(loaded: Any) -> _Variables:
    """Every variable once: those that may train, then the others, each in its own order."""
    ordered = _Variables(_trainable(loaded))
    for group in ("trainable_variables", "variables"):
        for variable in getattr(loaded, group, ()) or ():
            if variable not in ordered:
                ordered.append(variable)
    return ordered


def describe_all(loaded: Any) -> list[dict[str, Any]]:
    trainable = _trainable(loaded)
    return [
        {
            "name": variable.name.split(":")[0],
            "shape": [int(size) for size in variable.shape],
            "dtype": variable.dtype.name,
            "trainable": variable in trainable,
        }
        for variable in _ordered_variables(loaded)
    ]
