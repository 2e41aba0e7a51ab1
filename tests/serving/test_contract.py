"""What TensorFlow Serving's documented REST interface says, asked of the running command."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from tests.serving.servers import CLASS_NAMES, SIZE, Client, Engine, b64, on_thread

MODELS = ("light", "onnx", "full")
BROKEN = (b"", b"<html>", b"\xff\xd8\xff\xe0 cut off", b"\x89PNG\r\n\x1a\n")


def ask(server: Client, model: str, values: object, verb: str = "predict", **where: object):
    path = "".join(f"/{key}/{value}" for key, value in where.items())
    return server.post(f"/v1/models/{model}{path}:{verb}", values)


@pytest.mark.parametrize("model", MODELS)
def test_rows(model, server, pictures, offline):
    answer = ask(server, model, {"instances": [b64(picture) for picture in pictures]})
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    rows = answer.json["predictions"]
    assert [row["status"] for row in rows] == ["ok"] * len(pictures)
    for row, told in zip(rows, offline, strict=True):
        best = told.argsort()[::-1][:5]
        assert row["labels"] == [CLASS_NAMES[i] for i in best]
        np.testing.assert_allclose(row["probabilities"], told[best], atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_columns_and_other_signatures(model, server, pictures, offline):
    given = [b64(picture) for picture in pictures]
    for inputs in (given, {"image_bytes": given}):
        answer = ask(server, model, {"signature_name": "probabilities", "inputs": inputs}).json
        np.testing.assert_allclose(answer["outputs"]["probabilities"], offline, atol=1e-4)
        assert answer["outputs"]["status"] == ["ok"] * len(pictures)
    named = [{"image_bytes": one} for one in given[:2]]
    assert len(ask(server, model, {"instances": named}).json["predictions"]) == 2
    pixels = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).tolist()
    answer = ask(server, model, {"signature_name": "predict_tensor", "instances": pixels}).json
    assert len(answer["predictions"]) == 3
    assert {"label", "probabilities"} == set(answer["predictions"][0])
    # A single output stands for itself.
    answer = ask(server, model, {"signature_name": "class_names", "inputs": {}}).json
    assert answer == {"outputs": list(CLASS_NAMES)}


@pytest.mark.parametrize("model", MODELS)
def test_no_rows(model, server):
    """As TensorFlow Serving has it, rows have to be there and columns need not."""
    assert ask(server, model, {"instances": []}).status == 400
    answer = ask(server, model, {"signature_name": "predict_tensor", "inputs": []}).json
    assert answer == {"outputs": {"label": [], "probabilities": []}}
    assert ask(server, model, {"inputs": []}).json["outputs"]["labels"] == []
    empty = {"signature_name": "predict_tensor", "instances": [[], []]}
    assert ask(server, model, empty).status == 400


@pytest.mark.parametrize("model", MODELS)
def test_a_bad_picture_harms_no_other(model, server, pictures, offline):
    given = [b64(pictures[0]), *map(b64, BROKEN), b64(pictures[1])]
    rows = ask(server, model, {"instances": given}).json["predictions"]
    assert [row["status"] for row in rows] == ["ok", *["unusable"] * len(BROKEN), "ok"]
    for row in rows[1:-1]:
        assert row["labels"] == [""] * 5
        assert row["probabilities"] == [0] * 5
    assert rows[-1]["probabilities"][0] == pytest.approx(offline[1].max(), abs=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_classify(model, server, pictures, offline):
    examples = [{"image_bytes": b64(pictures[0])}, {"image_bytes": [b64(pictures[3])]}, {}]
    asked: dict[str, object] = {"signature_name": "classify", "examples": examples}
    first, second, none = ask(server, model, asked, "classify").json["result"]
    assert none == []
    for pairs, told in ((first, offline[0]), (second, offline[3])):
        best = told.argsort()[::-1][:5]
        assert [label for label, _ in pairs] == [CLASS_NAMES[i] for i in best]
        np.testing.assert_allclose([score for _, score in pairs], told[best], atol=1e-4)
    asked |= {"context": {"image_bytes": b64(pictures[0])}, "examples": [{}]}
    assert ask(server, model, asked, "classify").json["result"] == [first]
    # Its default signature predicts; a client that leaves the name out fails there as well.
    del asked["signature_name"]
    answer = ask(server, model, asked, "classify")
    assert answer.status == 400
    assert "tensorflow/serving/classify" in answer.json["error"]


@pytest.mark.parametrize("model", MODELS)
def test_status_and_metadata(model, server):
    status = {"error_code": "OK", "error_message": ""}
    expected = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    assert server.get(f"/v1/models/{model}").json == expected
    assert server.get(f"/v1/models/{model}/versions/1").json == expected
    answer = server.get(f"/v1/models/{model}/metadata").json
    assert answer["model_spec"] == {"name": model, "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["classify"]["method_name"] == "tensorflow/serving/classify"
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    sizes = default["outputs"]["probabilities"]["tensor_shape"]["dim"]
    assert [size["size"] for size in sizes] == ["-1", "5"]
    wanted = {"serving_default", "classify", "predict_tensor", "probabilities", "class_names"}
    assert wanted <= set(signatures)
    assert server.get(f"/v1/models/{model}/versions/1/metadata").json == answer


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("GET", "/v1/models/light/versions/7", 404, "Could not find version 7 of model light"),
        ("GET", "/v1/models/light/labels/new", 400, "Unrecognized servable version label: new"),
        ("GET", "/v1/models/nobody/metadata", 404, "Could not find any versions"),
        ("POST", "/v1/models/nobody:predict", 404, "not found for request: Latest(nobody)"),
        ("POST", "/v1/models/light/versions/7:predict", 404, "Specific(light, 7)"),
        ("POST", "/v1/models/light/versions/x:predict", 400, "Malformed request"),
        ("POST", "/v1/models/light/x/1:predict", 400, "Malformed request"),
        ("POST", "/v1/models/light:regress", 400, "regress signature"),
        ("POST", "/v1/models/light:guess", 400, "Malformed request"),
        ("GET", "/v1/models/light:predict", 405, "Malformed request"),
        ("DELETE", "/v1/models/light", 405, "Malformed request"),
        ("GET", "/v2/models/light", 404, "Malformed request"),
        ("GET", "/v1/models/../../etc/passwd", 400, "Malformed request"),
    ],
)
def test_errors_of_the_address(method, path, status, words, server):
    answer = server.ask(method, path, b'{"instances": []}' if method == "POST" else None)
    assert answer.status == status, answer.body
    assert set(answer.json) == {"error"}
    assert words in answer.json["error"]


@pytest.mark.parametrize("model", ["light", "full"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON Parse error"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe\x00", "JSON Parse error"),
        (b"[" * 200_000, "JSON Parse error"),
        (b"9" * 5000, "JSON"),
        (b"[]", "Is not object"),
        (b"{}", "either 'instances' or 'inputs'"),
        (b'{"instances": [], "inputs": []}', "either 'instances' or 'inputs'"),
        (b'{"instances": 1}', "no list"),
        (b'{"inputs": "x"}', "no list"),
        (b'{"instances": []}', "No values"),
        (b'{"instances": [1]}', "neither a string nor an object"),
        (b'{"instances": [null]}', "neither a string nor an object"),
        (b'{"instances": [{"b64": 1}]}', "neither a string nor an object"),
        (b'{"instances": [{"b64": "AAAAA"}]}', "cannot be decoded"),
        (b'{"instances": [{"b64": "\xc3\xa4"}]}', "cannot be decoded"),
        (b'{"instances": ["\\ud800"]}', "cannot be decoded"),
        (b'{"instances": [{"other": "x"}]}', "wanted: image_bytes"),
        (b'{"instances": [{"b64": "AAAA", "x": 1}]}', "neither a string nor an object"),
        (b'{"signature_name": "x", "instances": []}', '"x" not found in signature def'),
        (b'{"signature_name": 1, "instances": []}', "no string"),
        (b'{"signature_name": "predict_tensor", "instances": [1, 2]}', "its shape is"),
        (b'{"signature_name": "predict_tensor", "instances": [[1], [2, 3]]}', "no tensor"),
        (b'{"signature_name": "predict_tensor", "instances": ["a"]}', "no tensor"),
        (b'{"signature_name": "predict_tensor", "instances": [1e999, NaN]}', "no tensor"),
        (
            b'{"signature_name": "predict_tensor", "instances": ["'
            + 400_000 * b"x"
            + b'"'
            + 100_000 * b',""'
            + b"]}",
            "no tensor",
        ),
        (
            b'{"signature_name": "predict_tensor", "instances": ' + 900 * b"[" + 900 * b"]" + b"}",
            "no tensor",
        ),
        (b'{"signature_name": "predict_tensor", "inputs": {"x": []}}', "wanted: pixels"),
        (b'{"instances": [' + b'"x",' * 300 + b'"x"]}', "at most 256 rows"),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_errors_of_the_body(body, words, model, server):
    answer = server.post(f"/v1/models/{model}:predict", body)
    assert answer.status == 400, answer.body
    assert words in answer.json["error"]
    assert len(answer.body) < 1000


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"examples": {}},
        {"examples": []},
        {"examples": [1]},
        {"examples": [{"image_bytes": 1}]},
        {"examples": [{}], "context": 1},
    ],
)
def test_errors_of_classify(body, server):
    body = {"signature_name": "classify", **body}
    assert server.post("/v1/models/light:classify", body).status == 400


def test_small_liberties_of_clients(server, pictures, offline):
    """Base64 without its padding, and inputs that nobody asked for."""
    text = b64(pictures[0])["b64"]
    for given in ({"b64": text.rstrip("=")}, {"image_bytes": {"b64": text}, "more": 1}):
        (row,) = ask(server, "light", {"instances": [given]}).json["predictions"]
        assert row["probabilities"][0] == pytest.approx(offline[0].max(), abs=1e-4)


@pytest.mark.parametrize("size", [500_000, 3_000_000])
def test_a_body_of_many_small_things_is_refused_or_read_in_time(size, server):
    """It would keep all others waiting."""
    started = time.monotonic()
    answer = server.post("/v1/models/light:predict", b'{"instances": [' + b"[]," * size + b"[]]}")
    assert answer.status == (400 if size < 2_000_000 else 413)
    assert time.monotonic() - started < 30


def test_what_is_not_a_number_is_written_as_tensorflow_serving_writes_it():
    with on_thread(Engine()) as client:
        values = {"signature_name": "two", "instances": [{"texts": "x", "n": [1, 2]}]}
        answer = client.post("/v1/models/m:predict", values)
        assert b"NaN" in answer.body
        assert math.isnan(answer.json["predictions"][0]["probabilities"][0])
        uneven = {"signature_name": "two", "inputs": {"texts": ["x", "y"], "n": [[1, 2]]}}
        assert "differ in their number" in client.post("/v1/models/m:predict", uneven).json["error"]
        for bad in ([1, 2, 3], [1.5, 2], [10**30, 1], "ab"):
            values["instances"] = [{"texts": "x", "n": bad}]
            assert client.post("/v1/models/m:predict", values).status == 400


def test_a_fault_of_the_engine_is_a_500_without_its_words(caplog):
    with on_thread(Engine()) as client:
        answer = client.post("/v1/models/m:predict", {"instances": ["break"]})
        assert answer.status == 500
        assert "fault" not in answer.json["error"]
        assert client.post("/v1/models/m:predict", {"instances": ["x"]}).status == 200
    assert "ZeroDivisionError" in caplog.text


def test_health_and_metrics(server):
    assert server.get("/healthz").json == {"status": "ok"}
    server.post("/v1/models/light:predict", {"instances": [b64(b"x")]})
    page = server.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    text = page.body.decode()
    assert 'tl_app_requests_total{code="200",method="predict",model="light"}' in text
    assert 'tl_app_unusable_rows_total{model="light"}' in text
    assert 'tl_app_model_version{model="light"} 1.0' in text
    assert 'tl_app_broken_versions{model="light"} 0.0' in text
    # Whoever asks for names that do not exist fills no memory.
    server.post("/v1/models/invented:predict", {})
    assert "invented" not in server.get("/metrics").body.decode()


def test_light_models_load_no_tensorflow(exported, pictures, offline):
    from tests.serving.servers import command

    with command(exported / "light") as client:
        answer = client.post("/v1/models/light:predict", {"instances": [b64(pictures[0])]})
        assert answer.json["predictions"][0]["status"] == "ok"
        with open(f"/proc/{client.pid}/maps") as maps:
            loaded = maps.read()
        assert "libtensorflow" not in loaded
        assert "sklearn" not in loaded
        assert client.memory_bytes() < 300e6
