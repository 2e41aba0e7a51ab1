"""Reads weight files that Keras wrote into a model that is already built."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np

from tl_app.errors import WeightsError

SUFFIXES = (".weights.h5", ".h5", ".hdf5", ".keras")


def load_keras_weights(model: keras.Model, path: Path) -> None:
    """Put the weights of a .weights.h5, .h5 or .keras file into `model`.

    Args:
        model: a built model.
        path: weights alone, or a whole model. A .keras file may hold more than `model` (a
            classifier on top of it, say) when the layers bear the same names.

    Raises:
        WeightsError: the file is damaged, of another kind or of another model.
    """
    if not path.name.endswith(SUFFIXES):
        raise WeightsError(
            "The kind of weight file is not known.",
            received=str(path),
            allowed=f"a file that ends in {', '.join(SUFFIXES)}",
        )
    try:
        # Keras warns, no more, when it leaves layers as they were.
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            if path.suffix == ".keras":
                _take_over(model, keras.saving.load_model(path, compile=False))
            else:
                model.load_weights(path)
    except (
        UserWarning,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OSError,
    ) as error:
        raise _unfit(model, path, error) from error
    if not all(np.isfinite(variable.numpy()).all() for variable in model.weights):
        raise WeightsError(
            f"The weight file holds values for {model.name} that are no numbers.",
            received=str(path),
            allowed="finite weights",
            next_step="get the file again from where it came",
        )


def _take_over(model: keras.Model, source: keras.Model) -> None:
    """Copy variables by layer and variable name, else by order where all shapes agree."""
    by_name = {_short_name(variable): variable for variable in source.weights}
    found = [by_name.get(_short_name(variable)) for variable in model.weights]
    if any(
        other is None or tuple(other.shape) != tuple(variable.shape)
        for other, variable in zip(found, model.weights, strict=True)
    ):
        found = list(source.weights)
    shapes = [tuple(variable.shape) for variable in model.weights]
    if [tuple(other.shape) for other in found if other is not None] != shapes:
        raise ValueError(
            f"it holds {len(source.weights)} arrays that do not match by name or shape"
        )
    for variable, other in zip(model.weights, found, strict=True):
        variable.assign(other)


def _short_name(variable: keras.Variable) -> str:
    return "/".join(variable.path.split("/")[-2:])


def _unfit(model: keras.Model, path: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())
    reason = reason if len(reason) <= 300 else reason[:297] + "..."
    n_parameters = sum(int(np.prod(variable.shape)) for variable in model.weights)
    return WeightsError(
        f"The weight file does not fit {model.name}: {reason or type(error).__name__}",
        received=str(path),
        allowed=f"{len(model.weights)} arrays with {n_parameters:,} values in all, the model "
        "without its classifier",
        next_step="name the backbone that the file belongs to with --backbone, or a file of "
        f"{model.name} (those of keras.applications end in notop.h5 or no_top.h5)",
    )
