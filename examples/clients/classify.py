"""Ask a server about pictures, with Python's standard library alone.

    python classify.py URL PICTURE...

URL is that of the model, on `tl-app serve` or TensorFlow Serving alike, such as
http://127.0.0.1:8501/v1/models/flowers. Where a token is wanted, it is taken from TL_APP_TOKEN; a
server with a certificate of its own: SSL_CERT_FILE=cert.pem. Prints one line a picture: file,
label, probability.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def predict(url: str, pictures: Sequence[Path], *, timeout_seconds: float = 60.0) -> list[Any]:
    """What the model says of each: "labels" and "probabilities", the best first, and "status".

    Raises:
        RuntimeError: the server refuses, with its reason.
        OSError: it cannot be reached, or a file cannot be read.
        ValueError, http.client.InvalidURL: this is no address.
    """
    instances = [{"b64": base64.b64encode(path.read_bytes()).decode()} for path in pictures]
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("TL_APP_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"instances": instances}).encode()
    address = url.removesuffix("/").removesuffix(":predict")
    request = urllib.request.Request(f"{address}:predict", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
            return json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode("utf-8", "replace")
        try:
            reason = json.loads(text)["error"]
        except (ValueError, KeyError):  # of a proxy, say
            reason = f"{error.code} {text[:200]}"
        raise RuntimeError(reason) from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask a server about pictures.")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    arguments = parser.parse_args()
    try:
        rows = predict(arguments.url, arguments.pictures)
    except (RuntimeError, OSError, ValueError, http.client.InvalidURL) as error:
        print(error, file=sys.stderr)
        return 1
    for path, row in zip(arguments.pictures, rows, strict=True):
        usable = row["status"] == "ok"
        best = f"{row['labels'][0]}\t{row['probabilities'][0]:.4f}" if usable else "unusable\t"
        print(f"{path}\t{best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
