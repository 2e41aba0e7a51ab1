"""What TensorFlow Serving and KServe are told about an export folder, to begin with.

The folder itself is TensorFlow Serving's model base path: it looks at sub-folders whose names are
numbers and at nothing else, so what stands here lies beside them, in `serving/`. These are files to
be changed by whoever runs the servers; one that is there is never written again.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import IO

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tl_app.data.wording import WORDINGS
from tl_app.export.saved_model import saving_errors
from tl_app.records import Modality
from tl_app.storage import write_atomic

FOLDER = "serving"
LONGEST_NAME = 50
"""Kubernetes takes 63 signs, of which KServe needs some for itself."""

BATCHING = """\
max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
"""
"""TensorFlow Serving's BatchingParameters. A picture that cannot be decoded harms none of the
requests that share its batch, which is what makes batching over clients safe."""

INFERENCE_SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: "{name}"
spec:
  predictor:
    minReplicas: 1
    model:
      modelFormat:
        name: tensorflow
      protocolVersion: v1
      # The folder that holds the numbered versions, where the cluster can read it.
      storageUri: pvc://models/{name}
      args:
        - --enable_batching=true
        - --batching_parameters_file=/mnt/models/{folder}/batching.config
      resources:
        requests:
          cpu: "1"
          memory: 1Gi
        limits:
          cpu: "2"
          memory: 2Gi
"""

README = """\
# {name} under other servers

The folder above this one holds numbered versions of the model, each a SavedModel that needs
TensorFlow alone, but where a `NEEDS.txt` in it says otherwise. A new version that `tl-app export`
puts there appears in one step; a server that watches the folder takes it up while it runs.

## TensorFlow Serving

    docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD":/models/{name}:ro tensorflow/serving \\
        --model_config_file=/models/{name}/{folder}/models.config \\
        --enable_batching=true \\
        --batching_parameters_file=/models/{name}/{folder}/batching.config

run in the folder that holds the versions. Then

    {command}

gives `labels`, `probabilities` and `status` of each {noun}. All signatures:
`GET /v1/models/{name}/metadata`.

`models.config` serves the newest version; to keep an older one beside it, name both in
`model_version_policy`. In `batching.config`, `num_batch_threads` wants the number of cores, and
`batch_timeout_micros` is what a lone request waits for company.

## KServe

    kubectl apply -f {folder}/inference-service.yaml

after `storageUri` names the place where the cluster finds the folder of versions.
"""

COMMANDS: dict[Modality, str] = {
    "image": 'printf \'{{"instances": [{{"b64": "%s"}}]}}\' "$(base64 -w0 new.jpg)" |\n'
    "        curl -d @- http://127.0.0.1:8501/v1/models/{name}:predict",
    "text": 'curl -d \'{{"instances": ["Where is my parcel?"]}}\' \\\n'
    "        http://127.0.0.1:8501/v1/models/{name}:predict",
}
"""The input of `serving_default` is its only one, so an instance is the value itself."""


def model_name(destination: Path) -> str:
    """The folder's name as a cluster takes it: small letters, figures and hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", destination.resolve().name.lower())
    name = words.strip("-")[:LONGEST_NAME].rstrip("-")
    return name if name[:1].isalpha() else f"model-{name}".rstrip("-")


def write_serving_files(destination: Path, modality: Modality) -> Path:
    """Write those of the files that are not there yet.

    Args:
        destination: holds the versions.
        modality: of what the model takes.

    Returns:
        The folder that they are in.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    name, folder = model_name(destination), destination / FOLDER
    known = {"name": name, "folder": FOLDER}
    files = {
        "models.config": _model_config(name),
        "batching.config": BATCHING,
        "inference-service.yaml": INFERENCE_SERVICE.format(**known),
        "README.md": README.format(
            **known,
            command=COMMANDS[modality].format(name=name),
            noun=WORDINGS[modality].noun,
        ),
    }
    with saving_errors(destination):
        folder.mkdir(exist_ok=True)
        for file_name, content in files.items():
            if not (folder / file_name).exists():
                write_atomic(folder / file_name, partial(_write, content))
    return folder


def _write(content: str, file: IO[bytes]) -> None:
    file.write(content.encode())


def _model_config(name: str) -> str:
    config = ModelServerConfig()
    model = config.model_config_list.config.add()
    model.name = name
    model.base_path = f"/models/{name}"
    model.model_platform = "tensorflow"
    model.model_version_policy.latest.num_versions = 1
    return text_format.MessageToString(config)
