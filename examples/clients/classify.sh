#!/usr/bin/env bash
# Ask a server about one picture:  classify.sh PICTURE [URL]
#
# URL is that of the model, on `tl-app serve` or TensorFlow Serving alike. Where a token is wanted,
# it is taken from TL_APP_TOKEN.
set -euo pipefail
picture="$1"
url="${2:-http://127.0.0.1:8501/v1/models/model}"
headers=(--header "Content-Type: application/json")
if [ -n "${TL_APP_TOKEN:-}" ]; then headers+=(--header "Authorization: Bearer $TL_APP_TOKEN"); fi
# Through a pipe: a picture is too long for an argument.
{ printf '{"instances": [{"b64": "'; base64 --wrap=0 "$picture"; printf '"}]}'; } |
    curl --silent --show-error --fail-with-body "${headers[@]}" --data-binary @- "$url:predict"
