"""A model of texts behind the server: TensorFlow's SavedModel, and the page's other half."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.serving.servers import command
from tests.training.small_encoder import PIECES, SHAPE, build_encoder
from tl_app.backbones.bert import MaskedMean
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.saved_model import write_saved_model
from tl_app.export.served_input import served_texts
from tl_app.inputs.wordpiece import WordPiece
from tl_app.progress import SilentReporter
from tl_app.records import TextProcessing

NAMES = ("bad", "good", "ngày 猫")
TEXTS = ["It was good.", "", "bad day 🙂", "very " * 400, "ngày"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = build_encoder().model
    start = keras.initializers.RandomNormal(0.0, 4.0, seed=1)
    head = keras.layers.Dense(len(NAMES), activation="softmax", kernel_initializer=start)
    model = keras.Model(backbone.input, head(MaskedMean(name="pool")(backbone.output)))
    processing = TextProcessing(SHAPE.max_tokens, "0" * 64)
    served = served_texts(processing, WordPiece(PIECES, SHAPE.max_tokens))
    folder = tmp_path_factory.mktemp("texts") / "mail"
    write_saved_model(model, served, NAMES, folder)
    return folder


@pytest.mark.slow
def test_texts_are_told_as_without_a_server(exported):
    classifier = SavedModelClassifier(exported)
    told = classifier.predict_texts(TEXTS, reporter=SilentReporter())
    with command(exported) as client:
        ask = "/v1/models/mail:predict"
        rows = client.post(ask, {"instances": TEXTS}).json["predictions"]
        for row, each in zip(rows, told, strict=True):
            best = each.argsort()[::-1]
            assert row["labels"] == [NAMES[i] for i in best]
            np.testing.assert_allclose(row["probabilities"], each[best], atol=1e-5)
            assert row["status"] == "ok"
        (model,) = client.get("/v1/models").json["models"]
        assert (model["modality"], model["input"]) == ("text", "texts")
        tokens = {"signature_name": "predict_tensor", "instances": [[1, 5, 2], [1, 2, 0]]}
        assert len(client.post(ask, tokens).json["predictions"]) == 2
        for bad in ([[99_999_999, 1]], [[2**31, 1]], [[1] * 5000], [[1.5, 2]], [1, 2]):
            answer = client.post(ask, {"signature_name": "predict_tensor", "instances": bad})
            assert answer.status == 400, (bad, answer.body)
        examples = [{"texts": "It was good."}, {"texts": [TEXTS[2]]}]
        asked = {"signature_name": "classify", "examples": examples}
        first, _ = client.post("/v1/models/mail:classify", asked).json["result"]
        assert first[0] == [rows[0]["labels"][0], pytest.approx(rows[0]["probabilities"][0])]
