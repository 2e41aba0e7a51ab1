"""Models, versions and labels as addresses name them, and what is told of them."""

from __future__ import annotations

from tl_app.serving.models import Model
from tl_app.serving.rest import RequestError, dump
from tl_app.serving.signatures import CLASSIFY, DEFAULT, Servable, Signature, Tensor


def version_of(rest: list[str], malformed: RequestError) -> tuple[int | None, str | None]:
    """Number or label of ["versions", N] or ["labels", L]; neither of an empty list.

    Raises:
        RequestError: `malformed`, for no number.
    """
    if not rest:
        return None, None
    if rest[0] == "labels":
        return None, rest[1]
    if not (rest[1].isascii() and rest[1].isdigit() and len(rest[1]) < 19):
        raise malformed
    return int(rest[1]), None


def find_servable(
    name: str, model: Model | None, number: int | None, label: str | None
) -> tuple[int, Servable]:
    """What answers for a version, and its number; the newest where none is named.

    Raises:
        RequestError: there is no such version.
    """
    if model is not None:
        if label is not None:
            if label not in model.labels:
                raise RequestError(400, f"Unrecognized servable version label: {label}")
            number = model.labels[label]
        found = model.find(number)
        if found is not None:
            return found
    which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    raise RequestError(404, f"Servable not found for request: {which}")


def status_body(name: str, model: Model, number: int | None, label: str | None) -> bytes:
    """The states of a model\'s versions, or of one of them.

    Raises:
        RequestError: there is no such version.
    """
    if label is not None:
        number = find_servable(name, model, None, label)[0]
    versions = [v for n, v in sorted(model.versions.items(), reverse=True) if number in (None, n)]
    if not versions:
        raise RequestError(404, f"Could not find version {number} of model {name}")
    return dump({"model_version_status": [version.to_dict() for version in versions]})


def metadata_body(name: str, number: int, servable: Servable) -> bytes:
    """The signatures of a version."""
    signatures = {key: signature.to_dict() for key, signature in servable.signatures.items()}
    default = servable.signatures[DEFAULT].outputs
    classify = Signature(
        {"inputs": Tensor("DT_STRING", (None,))},
        {"classes": default["labels"], "scores": default["probabilities"]},
        CLASSIFY,
    )
    return dump(
        {
            "model_spec": {"name": name, "signature_name": "", "version": str(number)},
            "metadata": {
                "signature_def": {"signature_def": {**signatures, "classify": classify.to_dict()}}
            },
        }
    )
