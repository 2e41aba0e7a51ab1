"""What small formats say of a whole folder of pictures, against the SavedModel beside them.

    python -m benchmarks.serving_parity EXPORT PHOTOS

EXPORT holds a version of the same run in all formats (`tl-app export RUN EXPORT --format savedmodel
--format litert --format onnx`). The SavedModel decodes, resizes and normalises in its graph, as
training does; small formats do it without TensorFlow, as `tl-app serve` does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from tl_app.errors import UnusablePicture
from tl_app.export.small_model import SmallModel, small_formats
from tl_app.export.versions import find_version
from tl_app.inputs.files import encoded_of
from tl_app.libraries import loading

ALLOWED = 1e-4
"""In every probability."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("photos", type=Path)
    arguments = parser.parse_args()
    with loading():
        from tl_app.export.classifier import SavedModelClassifier

        full = SavedModelClassifier(arguments.export)
    files = sorted(path for path in arguments.photos.rglob("*") if path.is_file())
    version = find_version(arguments.export)
    small = [SmallModel(version, name) for name in small_formats(version)]
    if not small:
        print(f"{version} has no small format", file=sys.stderr)
        return 2
    largest = np.zeros(len(small))
    n_told = n_unusable = n_disagreed = 0
    for path in files:
        try:
            encoded = encoded_of(path.read_bytes(), max_pixels=10**8)
        except UnusablePicture:  # told by its header; the same code for both
            n_unusable += 1
            continue
        (wanted,) = full.answer_each([encoded])
        for i, model in enumerate(small):
            told = model.answer(encoded)
            if isinstance(told, UnusablePicture) or isinstance(wanted, UnusablePicture):
                n_disagreed += type(told) is not type(wanted)
            else:
                largest[i] = np.maximum(largest[i], np.abs(told - wanted).max())  # nan stays
        n_unusable += isinstance(wanted, UnusablePicture)
        n_told += not isinstance(wanted, UnusablePicture)
    print(f"{n_told} pictures; {n_unusable} unusable; one way only: {n_disagreed}")
    for name, difference in zip(small_formats(version), largest, strict=True):
        print(f"{name:8} largest difference of a probability {difference:.1e}")
    return 0 if n_told and not n_disagreed and (largest <= ALLOWED).all() else 1


if __name__ == "__main__":
    sys.exit(main())
