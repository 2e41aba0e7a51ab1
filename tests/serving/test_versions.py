"""New versions, old ones, labels, and what cannot be loaded, while requests come in."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.serving.servers import Engine, b64, classifier, command, publish_small
from tl_app.errors import ConfigError, EngineUnavailable, RunError
from tl_app.serving import loading
from tl_app.serving.loading import build_loader
from tl_app.serving.lookup import find_servable
from tl_app.serving.models import Model, Models, find_models
from tl_app.serving.rest import RequestError
from tl_app.serving.signatures import Tensors
from tl_app.serving.small import SmallServable


def make(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "model.tflite").write_bytes(b"x")


def load(folder: Path) -> Engine:
    if (folder / "bad").exists():
        raise RunError("It is damaged.")
    return Engine(folder.name)


def served(model: Model) -> list[int]:
    return [n for n, version in model.versions.items() if version.servable is not None]


def test_the_newest_is_served_and_the_old_one_let_go(tmp_path):
    make(tmp_path, 1, 2)
    model = Model("m", tmp_path)
    models = Models({"m": model}, load)
    models.refresh()
    assert served(model) == [2]
    found = model.find()
    assert found is not None
    assert (found[0], found[1].run("serving_default", {"texts": [b"x"]})["labels"]) == (
        2,
        [[b"2x"]],
    )
    assert model.find(1) is None
    assert not model.needs_refresh()
    make(tmp_path, 10)
    assert model.needs_refresh()
    models.refresh()
    assert served(model) == [10]
    assert [model.versions[n].state for n in (2, 10)] == ["END", "AVAILABLE"]
    # Whoever took the old one a moment ago still has it.
    assert found[1].run("serving_default", {"texts": [b"x"]})["labels"] == [[b"2x"]]
    shutil.rmtree(tmp_path / "10")
    models.refresh()
    assert served(model) == [2]
    shutil.rmtree(tmp_path / "2")
    shutil.rmtree(tmp_path / "1")
    models.refresh()
    assert served(model) == [2], "rather an old one than none"


def test_a_version_that_cannot_be_loaded_harms_nobody(tmp_path):
    make(tmp_path, 1)
    model = Model("m", tmp_path)
    models = Models({"m": model}, load)
    models.refresh()
    make(tmp_path, 2)
    (tmp_path / "2" / "bad").touch()
    models.refresh()
    assert served(model) == [1]
    status = model.versions[2].to_dict()["status"]
    assert status == {"error_code": "FAILED_PRECONDITION", "error_message": "It is damaged."}
    assert not model.needs_refresh()
    shutil.rmtree(tmp_path / "2")
    models.refresh()
    assert list(model.versions) == [1], "what is gone and never answered is not told of"


def test_what_was_half_copied_is_loaded_when_it_is_whole(tmp_path):
    make(tmp_path, 1)
    (tmp_path / "1" / "bad").touch()
    model = Model("m", tmp_path)
    models = Models({"m": model}, load)
    models.refresh()
    assert served(model) == []
    assert not model.needs_refresh()
    (tmp_path / "1" / "bad").unlink()
    (tmp_path / "1" / "assets").mkdir()
    (tmp_path / "1" / "assets" / "labels.txt").write_bytes(b"what came last")
    assert model.needs_refresh()
    models.refresh()
    assert served(model) == [1]
    # In the place of a good one it is waited for, while the good one answers.
    (tmp_path / "1" / "bad").touch()
    (tmp_path / "1" / "model.tflite").write_bytes(b"half")
    models.refresh()
    assert served(model) == [1]
    assert model.versions[1].problem


def test_whatever_a_version_has_the_others_go_on(tmp_path, caplog):
    def fall(folder: Path) -> Engine:
        if folder.name == "2":
            raise AttributeError("names are numbers")
        return load(folder)

    make(tmp_path / "a", 1, 2)
    make(tmp_path / "b", 1)
    models = find_models(tmp_path, {})
    Models(models, fall).refresh(everything=True)
    assert served(models["a"]) == [1]
    assert served(models["b"]) == [1]
    assert models["a"].versions[2].problem == "AttributeError: names are numbers"
    assert "Traceback" in caplog.text


def test_a_file_that_this_machine_cannot_run_is_passed_over(tmp_path, caplog):
    folder = publish_small(classifier(), tmp_path, "litert")
    (folder / "model.onnx").write_bytes(b"no model")
    assert build_loader("auto")(folder).engine == "litert"
    assert "onnxruntime cannot run this model" in caplog.text
    (folder / "model.tflite").write_bytes(b"no model")
    with pytest.raises(EngineUnavailable):
        build_loader("auto")(folder)


def test_labels_keep_versions(tmp_path):
    make(tmp_path / "a", 1, 2, 3)
    make(tmp_path / "b", 1)
    models = find_models(tmp_path, {"a/stable": 1, "any": 1})
    a, b = models["a"], models["b"]
    Models(models, load).refresh(everything=True)
    assert sorted(served(a)) == [1, 3]
    assert a.find(a.labels["stable"]) == (1, a.versions[1].servable)
    assert find_servable("a", a, None, "stable") == (1, a.versions[1].servable)
    with pytest.raises(RequestError, match="Unrecognized servable version label"):
        find_servable("a", a, None, "other")
    assert b.labels == {"any": 1}
    with pytest.raises(ConfigError, match="no model of this name"):
        find_models(tmp_path, {"c/stable": 1})


def test_models_are_found_in_every_shape_of_folder(tmp_path):
    make(tmp_path / "flowers", 3)
    for folder, names in (
        (tmp_path, {"flowers"}),
        (tmp_path / "flowers", {"flowers"}),
        (tmp_path / "flowers" / "3", {"flowers"}),
    ):
        models = find_models(folder, {})
        assert set(models) == names
        assert set(models["flowers"].complete()) == {3}
    assert set(find_models(tmp_path / "flowers", {}, "x")) == {"x"}
    with pytest.raises(RunError, match="no model to serve"):
        find_models(tmp_path / "nothing", {})


def test_the_faster_engine_is_taken(tmp_path, monkeypatch):
    slow: list[str]

    def slowed(version_folder: Path, name: str, max_pixels: int) -> list[SmallServable]:
        found = SmallServable(version_folder, name, max_pixels)
        run = found.run

        def slowly(signature: str, inputs: Tensors) -> Tensors:
            time.sleep(0.05 if name == slow[0] else 0)
            return run(signature, inputs)

        monkeypatch.setattr(found, "run", slowly)
        return [found]

    both = publish_small(classifier(), tmp_path / "both", "litert", "onnx")
    monkeypatch.setattr(loading, "_small", slowed)
    for slow in (["litert", "onnx"], ["onnx", "litert"]):
        assert build_loader("auto")(both).engine == slow[1]
    monkeypatch.undo()
    folder = publish_small(classifier(), tmp_path, "litert", "onnx")
    assert build_loader("auto")(folder).engine in ("litert", "onnx")
    for name in ("litert", "onnx"):
        assert build_loader(name)(folder).engine == name


@pytest.mark.slow
def test_a_new_version_under_load_fails_no_request(tmp_path, pictures):
    """Two clients ask without a pause while three versions come in."""
    publish_small(classifier(0), tmp_path / "m", "litert")
    answers: list[tuple[int, tuple[float, ...]]] = []
    body = {"instances": [b64(pictures[0])]}
    is_over = threading.Event()
    with command(tmp_path / "m") as client:

        def ask() -> None:
            while not is_over.is_set():
                answer = client.post("/v1/models/m:predict", body)
                told = (
                    answer.json["predictions"][0]["probabilities"] if answer.status == 200 else []
                )
                answers.append((answer.status, tuple(np.round(told, 5))))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for seed in (1, 2, 3):
                version = publish_small(classifier(seed), tmp_path / "m", "litert").name
                until = time.monotonic() + 30
                while client.get(f"/v1/models/m/versions/{version}").status != 200:
                    assert time.monotonic() < until
                    time.sleep(0.05)
                time.sleep(0.2)
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        states = client.get("/v1/models/m").json["model_version_status"]
    assert {state["version"]: state["state"] for state in states} == {
        "1": "END", "2": "END", "3": "END", "4": "AVAILABLE",
    }  # fmt: skip
    assert Counter(status for status, _ in answers) == {200: len(answers)}
    # Each version answered, and nothing else did.
    assert len({told for _, told in answers}) == 4
