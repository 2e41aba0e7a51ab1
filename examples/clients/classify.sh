#!/usr/bin/env bash
# Ask a server about one picture:  classify.sh URL PICTURE
#
# URL is that of the model, on `tl-app serve` or TensorFlow Serving alike, such as
# http://127.0.0.1:8501/v1/models/flowers. Where a token is wanted, it is taken from TL_APP_TOKEN; a
# server with a certificate of its own: CURL_CA_BUNDLE=cert.pem.
set -euo pipefail
if [ $# != 2 ]; then echo "usage: classify.sh URL PICTURE" >&2; exit 2; fi
url="${1%/}"
url="${url%:predict}"
if [ ! -r "$2" ]; then echo "$2 cannot be read" >&2; exit 1; fi
headers=(--header "Content-Type: application/json")
if [ -n "${TL_APP_TOKEN:-}" ]; then headers+=(--header "Authorization: Bearer $TL_APP_TOKEN"); fi
# Through a pipe: a picture is too long for an argument.
{ printf '{"instances": [{"b64": "'; base64 --wrap=0 "$2"; printf '"}]}'; } |
    curl --silent --show-error --fail-with-body "${headers[@]}" --data-binary @- "$url:predict"
