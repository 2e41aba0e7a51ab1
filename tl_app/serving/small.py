"""A LiteRT or ONNX file as a servable; no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tl_app.errors import UnusablePicture
from tl_app.export.assets import STATUS_OK, STATUS_UNUSABLE, TOP_K, encode_name
from tl_app.export.small_model import SmallModel
from tl_app.inputs.decode_budget import DecodeBudget
from tl_app.inputs.files import picture_file_of
from tl_app.serving.signatures import DEFAULT, Signature, Tensor, Tensors

INPUT = "image_bytes"


class SmallServable:
    """See `signatures.Servable`: the signatures of the SavedModel, `features` left out, which the
    file does not give."""

    modality = "image"
    input_name = INPUT
    rows_each = 1
    n_callers: int | None = None

    def __init__(self, version_folder: Path, small_format: str, max_pixels: int) -> None:
        """
        Raises:
            RunError, EngineUnavailable: as in `SmallModel`.
        """
        self.engine = small_format
        self._model = SmallModel(version_folder, small_format)
        self.max_pixels = min(max_pixels, self._model.preprocessing.max_pixels)
        self._decoding = DecodeBudget(self.max_pixels)
        self._names = [encode_name(name) for name in self._model.class_names]
        size, n_classes = self._model.preprocessing.image_size_px, len(self._names)
        k = min(TOP_K, n_classes)
        given = {INPUT: Tensor("DT_STRING", (None,))}
        status = Tensor("DT_STRING", (None,))
        top, every = Tensor("DT_FLOAT", (None, k)), Tensor("DT_FLOAT", (None, n_classes))
        names = Tensor("DT_STRING", (None, k))
        self.signatures = {
            DEFAULT: Signature(given, {"labels": names, "probabilities": top, "status": status}),
            "predict_tensor": Signature(
                {"pixels": Tensor("DT_FLOAT", (None, size, size, 3))},
                {"label": Tensor("DT_STRING", (None,)), "probabilities": every},
            ),
            "probabilities": Signature(given, {"probabilities": every, "status": status}),
            "class_names": Signature({}, {"class_names": Tensor("DT_STRING", (n_classes,))}),
        }
        self._answers: dict[str, Callable[[Tensors], Tensors]] = {
            DEFAULT: self._top_labels,
            "predict_tensor": self._tell_tensor,
            "probabilities": self._tell,
            "class_names": lambda inputs: {"class_names": list(self._names)},
        }
        self._k = k

    def run(self, signature: str, inputs: Tensors) -> Tensors:
        return self._answers[signature](inputs)

    def _tell(self, inputs: Tensors) -> Tensors:
        rows = np.zeros((len(inputs[INPUT]), len(self._names)), np.float32)
        status = []
        for row, given in zip(rows, inputs[INPUT], strict=True):
            try:
                file = picture_file_of(given, max_pixels=self.max_pixels)
                with self._decoding.reserve(file.decode_share):
                    answer = self._model.answer(file.encoded)
            except UnusablePicture as problem:
                answer = problem
            if isinstance(answer, UnusablePicture):
                status.append(STATUS_UNUSABLE)
                continue
            row[:] = answer
            status.append(STATUS_OK)
        return {"probabilities": rows, "status": status}

    def _top_labels(self, inputs: Tensors) -> Tensors:
        told = self._tell(inputs)
        # A stable order, as TensorFlow has it: of equals the first.
        best = np.argsort(-told["probabilities"], axis=1, kind="stable")[:, : self._k]
        labels = [
            [self._names[i] for i in row] if status == STATUS_OK else [b""] * self._k
            for row, status in zip(best.tolist(), told["status"], strict=True)
        ]
        scores = np.take_along_axis(told["probabilities"], best, axis=1)
        return {"labels": labels, "probabilities": scores, "status": told["status"]}

    def _tell_tensor(self, inputs: Tensors) -> Tensors:
        pixels = inputs["pixels"]
        told = np.zeros((0, len(self._names)), np.float32)
        if len(pixels):
            told = self._model.predict(pixels)
        return {"label": [self._names[i] for i in told.argmax(axis=1)], "probabilities": told}
