"""Bodies of TensorFlow Serving's REST interface to tensors, and back.

Source: TensorFlow Serving, RESTful API (https://www.tensorflow.org/tfx/serving/api_rest).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_app.serving.signatures import DEFAULT, Signature, Tensor, Tensors

_NUMPY = {"DT_FLOAT": np.float32, "DT_INT32": np.int32}


class RequestError(Exception):
    """A request that cannot be answered.

    Attributes:
        status: of HTTP.
        message: for the body.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """A body of `:predict`, read.

    Attributes:
        signature: its name.
        inputs: for it.
        by_row: whether it came as "instances", and is answered as "predictions".
    """

    signature: str
    inputs: Tensors
    by_row: bool


def read_predict(body: bytes, signatures: Mapping[str, Signature]) -> PredictRequest:
    """
    Raises:
        RequestError: it is no such body, or does not fit the signature.
    """
    values = _read_object(body)
    name = _signature_name(values)
    signature = signatures.get(name)
    if signature is None:
        known = ", ".join(sorted(signatures))
        raise RequestError(
            400, f'Serving signature name: "{name}" not found in signature def; there is: {known}'
        )
    if ("instances" in values) == ("inputs" in values):
        found = "both" if "inputs" in values else "neither"
        raise RequestError(400, f"A request has either 'instances' or 'inputs', this one {found}")
    if "inputs" in values:
        return PredictRequest(name, _columns(values["inputs"], signature), by_row=False)
    return PredictRequest(name, _rows(values["instances"], signature), by_row=True)


def read_classify(body: bytes, feature: str) -> list[bytes]:
    """The examples of a body of `:classify`: the bytes of a feature of each, empty without it.

    Raises:
        RequestError: it is no such body.
    """
    values = _read_object(body)
    name = _signature_name(values)
    if name != "classify":
        raise RequestError(
            400,
            "Expected classification signature method_name to be tensorflow/serving/classify, "
            f'which "{name}" has not; ask with "signature_name": "classify"',
        )
    examples = values.get("examples")
    if not isinstance(examples, list) or not all(isinstance(one, dict) for one in examples):
        raise RequestError(400, "A request to classify has 'examples', a list of objects")
    if not examples:
        raise RequestError(400, "'examples' is an empty list")
    context = values.get("context", {})
    if not isinstance(context, dict):
        raise RequestError(400, "'context' is no object")
    found = []
    for number, example in enumerate(examples):
        value = {**context, **example}.get(feature, "")
        if isinstance(value, list) and len(value) == 1:
            (value,) = value
        found.append(_bytes(value, f"examples[{number}].{feature}"))
    return found


def predict_body(request: PredictRequest, outputs: Tensors) -> bytes:
    """The answer to `read_predict`."""
    plain = {name: _plain(values) for name, values in outputs.items()}
    if not request.by_row:
        (only,) = plain.values() if len(plain) == 1 else (plain,)
        return dump({"outputs": only})
    if len(plain) == 1:
        (rows,) = plain.values()
    else:
        rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    return dump({"predictions": rows})


def classify_body(outputs: Tensors) -> bytes:
    """The answer to `read_classify`, from what `serving_default` gives; nothing for what is
    unusable."""
    plain = {name: _plain(values) for name, values in outputs.items()}
    return dump(
        {
            "result": [
                [[label, score] for label, score in zip(labels, scores, strict=True) if label]
                for labels, scores in zip(plain["labels"], plain["probabilities"], strict=True)
            ]
        }
    )


def error_body(message: str) -> bytes:
    return dump({"error": message})


def dump(values: Any) -> bytes:
    """JSON, with NaN as TensorFlow Serving writes it."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except RecursionError:
        raise RequestError(400, "JSON Parse error: it is nested too deeply") from None
    except ValueError as error:
        raise RequestError(
            400, f'JSON Parse error: {error}; a body is like {{"instances": [{{"b64": "..."}}]}}'
        ) from None
    if not isinstance(values, dict):
        raise RequestError(400, "JSON Value: Is not object")
    return values


def _signature_name(values: Mapping[str, Any], default: str = DEFAULT) -> str:
    name = values.get("signature_name", default)
    if not isinstance(name, str):
        raise RequestError(400, "'signature_name' is no string")
    return name or default


def _rows(instances: Any, signature: Signature) -> Tensors:
    """Row format: a list of values, or of objects that name the inputs."""
    if not isinstance(instances, list):
        raise RequestError(400, "'instances' is no list")
    if not instances:
        raise RequestError(400, "No values in 'instances' array")
    columns: dict[str, list[Any]] = {name: [] for name in signature.inputs}
    for number, instance in enumerate(instances):
        if _is_named(instance):
            _require_names(instance, signature, f"instances[{number}]")
            for name in columns:
                columns[name].append(instance[name])
        elif len(columns) == 1:
            (only,) = columns.values()
            only.append(instance)
        else:
            raise RequestError(400, f"instances[{number}] does not name its inputs")
    return {name: _tensor(name, columns[name], signature.inputs[name]) for name in columns}


def _columns(inputs: Any, signature: Signature) -> Tensors:
    """Column format: the batch of the only input, or an object of batches."""
    if not _is_named(inputs):
        if len(signature.inputs) != 1:
            raise RequestError(400, "'inputs' does not name the inputs")
        inputs = dict.fromkeys(signature.inputs, inputs)
    _require_names(inputs, signature, "inputs")
    found = {name: _tensor(name, inputs[name], tensor) for name, tensor in signature.inputs.items()}
    if len({len(values) for values in found.values()}) > 1:
        raise RequestError(400, "The inputs differ in their number of rows")
    return found


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and "b64" not in value


def _require_names(given: Mapping[str, Any], signature: Signature, where: str) -> None:
    if not set(signature.inputs) <= set(given):
        raise RequestError(
            400,
            f"{where} has the inputs {', '.join(sorted(given)) or 'none'}; "
            f"wanted: {', '.join(sorted(signature.inputs)) or 'none'}",
        )


def _tensor(name: str, values: Any, tensor: Tensor) -> Any:
    if tensor.dtype == "DT_STRING":
        if not isinstance(values, list):
            raise RequestError(400, f"{name} is no list")
        return [_bytes(value, f"{name}[{number}]") for number, value in enumerate(values)]
    wanted = _shape_text(tensor)
    # Looked at before numpy does, to which a text among many is a reason to make all as long.
    if not _are_numbers(values, len(tensor.shape)):
        raise RequestError(400, f"{name} is no tensor of {tensor.dtype} and the shape {wanted}")
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        raise RequestError(400, f"{name} is no tensor of the shape {wanted}") from None
    if array.shape == (0,):
        array = np.zeros((0, *(n or 0 for n in tensor.shape[1:])), _NUMPY[tensor.dtype])
    is_whole = array.dtype.kind in "iu"
    is_number = is_whole or (array.dtype.kind == "f" and tensor.dtype == "DT_FLOAT")
    fits = array.ndim == len(tensor.shape) and all(
        n is None or n == m for n, m in zip(tensor.shape, array.shape, strict=True)
    )
    if not (is_number and fits):
        raise RequestError(
            400,
            f"{name} is no tensor of {tensor.dtype} and the shape {wanted}; "
            f"its shape is {list(array.shape)}",
        )
    wanted_type = _NUMPY[tensor.dtype]
    if is_whole and tensor.dtype == "DT_INT32" and array.size:
        limits = np.iinfo(np.int32)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise RequestError(400, f"{name} has numbers that are no {tensor.dtype}")
    with np.errstate(over="ignore"):
        return array.astype(wanted_type)


def _are_numbers(values: Any, depth: int) -> bool:
    """Whether these are lists of numbers, no deeper than `depth`."""
    if isinstance(values, list):
        return depth > 0 and all(_are_numbers(value, depth - 1) for value in values)
    return type(values) in (int, float)


def _shape_text(tensor: Tensor) -> str:
    return str([-1 if n is None else n for n in tensor.shape])


def _bytes(value: Any, where: str) -> bytes:
    """A string in UTF-8, or what an object with "b64" holds."""
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
            text = value["b64"]
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise RequestError(400, f"{where} cannot be decoded: {error}") from None
    raise RequestError(400, f'{where} is neither a string nor an object {{"b64": STRING}}')


def _plain(values: Any) -> Any:
    """Lists of numbers and strings; bytes are UTF-8."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return values.decode("utf-8", "replace") if isinstance(values, bytes) else values
