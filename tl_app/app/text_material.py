"""Texts on their way through a run; see `materials.Material`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Thread

import numpy as np
import tensorflow as tf

from tl_app.app.beginning import load_for
from tl_app.audit.near_duplicates import find_near_duplicates
from tl_app.backbones.blocks import Backbone
from tl_app.backbones.loading import TextEncoder, load_encoder
from tl_app.backbones.registry import get_encoder_spec
from tl_app.config import Config, DataSettings, require_unmixed
from tl_app.data.class_names import Purpose
from tl_app.data.scripts import language_shares, language_teller, script_of
from tl_app.data.source import Source
from tl_app.data.texts import scan_texts
from tl_app.data.ties import Ties
from tl_app.errors import ConfigError, RunError
from tl_app.evaluation.slices import Figure, Naming, Traits
from tl_app.explain.explanation import Explanation
from tl_app.explain.occlusion import telling_words
from tl_app.export.parity import TextEvidence
from tl_app.export.served_input import ServedInput, served_strings, served_texts
from tl_app.features.extract import FrozenPart
from tl_app.features.items import Items
from tl_app.features.store import FeatureStore
from tl_app.features.texts import RawTexts, TokenizedTexts, encode_text
from tl_app.inputs.tokenizer import Tokenizer, build_tokenizer
from tl_app.progress import Reporter
from tl_app.records import AnyProcessing, Dataset, Predictions, TextExample, TextProcessing
from tl_app.training.batches import stream
from tl_app.training.hardware import Hardware

N_TYPICAL = 512
"""Texts that say how long the others are."""

TOLD_AT_ONCE = 32
"""Texts, where some are asked about again without some of their words."""

FOREIGN_SHARE = 0.3
"""Of the texts in a language that the encoder does not know: a warning."""


class TextMaterial:
    """Texts to int32 token numbers (n, length), filled up with zeros."""

    def __init__(
        self,
        config: Config,
        hardware: Hardware,
        strategy: tf.distribute.Strategy,
        reporter: Reporter,
        processing: AnyProcessing | None = None,
    ) -> None:
        require_unmixed(config.phases)
        if config.engine not in ("auto", "tensorflow"):
            raise ConfigError(
                "This engine runs pictures of one size; texts differ in length.",
                received=f"engine {config.engine}",
                allowed="auto or tensorflow",
            )
        if config.weights is not None:
            raise ConfigError(
                "An encoder of texts comes with its own weights.",
                received=f"weights {config.weights}",
                allowed="no weights",
            )
        self._name = config.backbone
        self._preprocessor = config.preprocessor
        self._settings = config.data
        # As long as the encoder is loaded, mostly by another core.
        Thread(target=language_teller, daemon=True).start()
        encoder = load_for(partial(self._load, reporter), config.seed, hardware, strategy)
        self.backbone = encoder.backbone
        self._needs = encoder.needs
        self._tokenizer: Tokenizer | None = None
        if encoder.vocabulary is not None and encoder.max_tokens is not None:
            self._tokenizer = build_tokenizer(encoder.vocabulary, encoder.max_tokens)
        digest = None if encoder.vocabulary is None else encoder.vocabulary.sha256
        self.processing = TextProcessing(encoder.max_tokens, digest)
        if processing is not None and processing != self.processing:
            raise RunError(
                "The encoder's vocabulary is not the one that the run began with.",
                received=f"SHA-256 {self.processing.vocabulary_sha256}",
                allowed=f"{processing}",
                next_step="train anew",
            )

    def _load(self, reporter: Reporter) -> TextEncoder:
        return load_encoder(self._name, preprocessor=self._preprocessor, reporter=reporter)

    def load_again(self, reporter: Reporter) -> Backbone:
        return self._load(reporter).backbone

    def read(
        self,
        source: Source,
        *,
        before: Dataset[TextExample] | None,
        output: Path,
        store: FeatureStore,
        reporter: Reporter,
    ) -> Dataset[TextExample]:
        return read_texts(
            source,
            self._settings,
            reporter=reporter,
            test_required=self._settings.test_fraction > 0,
            known_class_names=() if before is None else before.class_names,
            materialise_to=output / "data",
        )

    def near_copies(
        self, dataset: Dataset[TextExample], store: FeatureStore, reporter: Reporter
    ) -> Ties:
        return find_near_duplicates(dataset.examples, None, None).ties

    def settle(self, dataset: Dataset[TextExample], reporter: Reporter) -> None:
        """Nothing of the processing depends on the texts; a foreign language is told of."""
        warning = language_warning(self._name, [example.text for example in dataset.examples])
        if warning is not None:
            reporter.warn(warning)

    def items(self, dataset: Dataset[TextExample], store: FeatureStore) -> Items:
        return self._items([example.text for example in dataset.examples])

    def _items(self, texts: Sequence[str]) -> Items:
        if self._tokenizer is None:
            return RawTexts(texts)
        return TokenizedTexts(texts, self._tokenizer)

    def batches(
        self, dataset: Dataset[TextExample], rows: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, tf.Tensor]]:
        """Those of like length together."""
        items = self._items([dataset.examples[row].text for row in rows])
        order = np.arange(len(rows))
        if items.lengths is not None:
            order = np.argsort(items.lengths, kind="stable")
        parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        return zip(parts, stream(items, parts), strict=True)

    def served(self) -> ServedInput:
        if self._tokenizer is None:
            return served_strings(self.processing, self._needs)
        return served_texts(self.processing, self._tokenizer)

    def evidence(self, dataset: Dataset[TextExample], rows: np.ndarray) -> TextEvidence:
        return text_evidence(dataset, rows)

    def explain(
        self,
        dataset: Dataset[TextExample],
        predictions: Predictions,
        rows: np.ndarray,
        forward: FrozenPart,
        reporter: Reporter,
    ) -> Explanation:
        if not len(rows):
            return Explanation()
        paths = [predictions.paths[row] for row in rows.tolist()]
        texts = {example.path: example.text for example in dataset.examples}
        parts = self._read_parts([texts[path] for path in paths])
        said = predictions.y_pred[rows].tolist()
        found = {}
        with reporter.bar("Finding telling words", len(rows), "texts") as bar:
            for path, text, column in zip(paths, parts, said, strict=True):
                found[path] = telling_words(text, column, lambda asked: self._tell(asked, forward))
                bar.advance()
        return Explanation(telling=found)

    def traits(
        self,
        dataset: Dataset[TextExample],
        rows: np.ndarray,
        store: FeatureStore,
        reporter: Reporter,
    ) -> Traits:
        examples = [dataset.examples[row] for row in rows.tolist()]
        texts = [example.text for example in examples]
        length = np.array([len(text) for text in texts], dtype=np.float64)
        return Traits(
            tuple(example.path for example in examples),
            (Figure("length", "characters", length),),
            (Naming("script", tuple(map(script_of, texts))),),
        )

    def _read_parts(self, texts: Sequence[str]) -> list[str]:
        """What the encoder reads of each text: of the rest no word can tell, and none must move up
        into the place of a word that is left out."""
        if self._tokenizer is None or not texts:
            return list(texts)
        n_read = self._tokenizer.n_read(tf.constant(list(texts))).numpy().tolist()
        return [text[:n] for text, n in zip(texts, n_read, strict=True)]

    def _tell(self, texts: Sequence[str], forward: FrozenPart) -> np.ndarray:
        """float32, shape (n, n_classes), in parts that bound the memory."""
        parts = [
            tf.constant([encode_text(text) for text in texts[i : i + TOLD_AT_ONCE]])
            for i in range(0, len(texts), TOLD_AT_ONCE)
        ]
        return np.concatenate([forward(self.served().decode(part)[0]) for part in parts])

    def sample(self, dataset: Dataset[TextExample], n: int) -> np.ndarray:
        """Of the length that is the median of the first of the run's texts."""
        if self._tokenizer is None:
            return np.array([b"A sentence of some length, as people write them."] * n, object)
        some = TokenizedTexts(
            [example.text for example in dataset.examples[:N_TYPICAL]], self._tokenizer
        )
        usual = int(np.argsort(some.lengths, kind="stable")[len(some.lengths) // 2])
        return np.tile(some.load(usual), (n, 1))


def language_warning(encoder: str, texts: Sequence[str]) -> str | None:
    """What to tell of texts in languages that an encoder does not know; None where it knows most,
    or knows many."""
    spec = get_encoder_spec(encoder)
    if not spec.language_codes:
        return None
    shares = language_shares(texts)
    foreign = {code: share for code, share in shares.items() if code not in spec.language_codes}
    if sum(foreign.values()) < FOREIGN_SHARE:
        return None
    listed = ", ".join(f"{code} {share:.0%}" for code, share in list(foreign.items())[:4])
    return (
        f"{sum(foreign.values()):.0%} of the texts seem to be in languages that {encoder} does not "
        f"know ({listed}); it was trained on {spec.languages}. Expect poor figures, or take an "
        "encoder for these languages"
    )


def text_evidence(dataset: Dataset[TextExample], rows: Sequence[int] | np.ndarray) -> TextEvidence:
    """The texts that an export is checked with."""
    examples = [dataset.examples[row] for row in rows]
    return TextEvidence(
        names=[example.path for example in examples], texts=[example.text for example in examples]
    )


def read_texts(
    source: Source,
    settings: DataSettings,
    *,
    reporter: Reporter,
    test_required: bool,
    known_class_names: tuple[str, ...] = (),
    materialise_to: Path | None = None,
    purpose: Purpose = "training",
) -> Dataset[TextExample]:
    """The texts of a source; see `data.texts.scan_texts`.

    Raises:
        ConfigError: settings of pictures are given for texts.
        DataError: the source cannot be used.
    """
    if source.table is not None:
        raise ConfigError(
            "A table of texts is named itself.",
            received=f"{source.name} with --table {source.table}",
            allowed="tl-app train TABLE",
            next_step="leave the option out",
        )
    return scan_texts(
        source.name,
        settings,
        reporter=reporter,
        test_required=test_required,
        known_class_names=known_class_names,
        text_column=source.text_column,
        label_column=source.label_column,
        data_dir=source.data_dir,
        materialise_to=materialise_to,
        purpose=purpose,
    )
