"""Encoders of texts on human-rated snippets: frozen, fine-tuned, and words counted.

    python -m benchmarks.texts [--ways tfidf frozen top whole lora qlora] [--seeds 0 1 2]

Positive against negative snippets (`examples/demo_texts.py`), groups whole: a fifth for testing, a
tenth for validation, by seed. Each way trains on the same texts and is told against the frozen
encoder on the same test texts, with the interval of the paired difference. TF-IDF of words and
pairs of words under a linear model is what one would do without an encoder. Each way learns from
the training texts and chooses by the validation texts.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from benchmarks.paired import compare
from examples.demo_texts import texts as demo_texts
from tl_app.config import Config, DataSettings, Phase
from tl_app.data.splitting import make_split
from tl_app.data.texts import scan_texts
from tl_app.libraries import prepare_libraries
from tl_app.progress import SilentReporter
from tl_app.records import SIDES, Dataset, Split, TextExample
from tl_app.run import RunFolder

if TYPE_CHECKING:
    from tl_app.features.store import FeatureStore

TEST_FRACTION, VALIDATION_FRACTION = 0.2, 0.1
HEAD = Phase(name="head", views=0)
LORA = Phase(
    name="lora",
    unfreeze="all",
    epochs=2,
    learning_rate=5e-4,
    schedule="linear",
    lora_rank=8,
    views=0,
)
WAYS: dict[str, tuple[Phase, ...]] = {
    "frozen": (HEAD,),
    "top": (HEAD, Phase(name="top", unfreeze=2, epochs=2, learning_rate=1e-4, views=0)),
    "whole": (
        HEAD,
        Phase(
            name="whole",
            unfreeze="all",
            epochs=2,
            learning_rate=5e-5,
            layer_decay=0.8,
            schedule="linear",
            weight_decay=0.01,
            views=0,
        ),
    ),
    "gradual": (
        HEAD,
        Phase(name="top", unfreeze=1, epochs=1, learning_rate=1e-4, schedule="linear", views=0),
        Phase(name="upper", unfreeze=3, epochs=1, learning_rate=1e-4, schedule="linear", views=0),
        Phase(
            name="whole",
            unfreeze="all",
            epochs=2,
            learning_rate=5e-5,
            layer_decay=0.8,
            schedule="linear",
            weight_decay=0.01,
            views=0,
        ),
    ),
    "lora": (HEAD, LORA),
    "qlora": (HEAD, LORA.model_copy(update={"base_weights": "int8"})),
}
BASELINE = "tfidf"
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Of the baseline's penalty, inverse."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a way said of the test texts.

    Attributes:
        right: text's path -> whether its class was told rightly.
    """

    right: dict[str, bool]

    @property
    def accuracy(self) -> float:
        return mean(self.right.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--ways", nargs="+", choices=[BASELINE, *WAYS], default=[BASELINE, *WAYS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--max-texts", type=int, help="so many of each class, drawn by seed 0")
    arguments = parser.parse_args()

    prepare_libraries()
    from tl_app.features.store import FeatureStore

    dataset = scan(Path(demo_texts(arguments.data / "demo_texts.csv")), arguments.max_texts)
    print(f"{len(dataset.examples):,} texts in {', '.join(dataset.class_names)}", flush=True)
    found: dict[str, list[Told]] = {way: [] for way in arguments.ways}
    with tempfile.TemporaryDirectory(prefix="tl-app-texts-") as scratch:
        store = FeatureStore(Path(scratch) / "store")
        for seed in arguments.seeds:
            fold, split = make_split(
                dataset,
                validation_fraction=VALIDATION_FRACTION,
                test_fraction=TEST_FRACTION,
                seed=seed,
            )
            for way in arguments.ways:
                if way == BASELINE:
                    told = count_words(fold, split)
                else:
                    told = train(fold, split, way, arguments.encoder, seed, store, Path(scratch))
                found[way].append(told)
                n_test = len(told.right)
                print(
                    f"seed {seed}, {way}: {told.accuracy:.4f} of {n_test:,} test texts", flush=True
                )
    tell(found)


def scan(table: Path, max_texts: int | None) -> Dataset[TextExample]:
    dataset = scan_texts(str(table), DataSettings(), reporter=SilentReporter(), test_required=False)
    if max_texts is None:
        return dataset
    kept: list[TextExample] = []
    for label in range(len(dataset.class_names)):
        mine = [e for e in dataset.examples if e.label == label]
        drawn = np.random.default_rng(0).permutation(len(mine))[:max_texts]
        kept += [mine[i] for i in sorted(drawn.tolist())]
    return Dataset(
        root=dataset.root,
        source=dataset.source,
        class_names=dataset.class_names,
        examples=tuple(kept),
        given_sides=dataset.given_sides,
        modality=dataset.modality,
    )


def count_words(dataset: Dataset[TextExample], split: Split) -> Told:
    """TF-IDF and a linear model, its penalty chosen by the validation texts' log-loss."""
    texts = np.array([example.text for example in dataset.examples], dtype=object)
    known, chooses, test = (split.indices(side) for side in SIDES)
    vectorise = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    words = vectorise.fit_transform(texts[known])

    def fit(c: float) -> LogisticRegression:
        return LogisticRegression(C=c, max_iter=1000).fit(words, dataset.labels[known])

    def loss(model: LogisticRegression) -> float:
        told = model.predict_proba(vectorise.transform(texts[chooses]))
        return float(log_loss(dataset.labels[chooses], told))

    best = min((fit(c) for c in STRENGTHS), key=loss)
    return told_of(dataset, test, best.predict(vectorise.transform(texts[test])))


def train(
    dataset: Dataset[TextExample],
    split: Split,
    way: str,
    encoder_name: str,
    seed: int,
    store: FeatureStore,
    scratch: Path,
) -> Told:
    """Train as the app trains, and tell the test texts with the best weights."""
    from tl_app.app.finishing import predict_side
    from tl_app.app.materials import load_material
    from tl_app.features.extract import FrozenPart
    from tl_app.training.classifier import Classifier
    from tl_app.training.hardware import choose_hardware
    from tl_app.training.phase_inputs import TrainingData
    from tl_app.training.phases import PhaseTrainer

    config = Config(backbone=encoder_name, phases=WAYS[way], seed=seed)
    hardware = choose_hardware(config)
    strategy = hardware.build_strategy()
    material = load_material("text", config, hardware, strategy, SilentReporter())
    with strategy.scope():
        classifier = Classifier(material.backbone, len(dataset.class_names), config)
    data = TrainingData(
        items=material.items(dataset, store),
        labels=dataset.labels,
        groups=np.array(split.groups, dtype=np.int64),
        train_rows=split.indices("train"),
        validation_rows=split.indices("validation"),
        class_names=dataset.class_names,
    )
    folder = RunFolder.create(scratch, f"{way}-{seed}")
    trainer = PhaseTrainer(
        classifier, data, config, hardware, strategy, folder, store, [], SilentReporter()
    )
    trainer.prepare()
    trainer.run()
    forward = FrozenPart(classifier.probabilities())
    told = predict_side(forward, material, dataset, split, "test", SilentReporter())
    return told_of(dataset, split.indices("test"), told.y_pred)


def told_of(dataset: Dataset[TextExample], rows: np.ndarray, said: np.ndarray) -> Told:
    return Told(
        {
            dataset.examples[row].path: bool(dataset.labels[row] == label)
            for row, label in zip(rows.tolist(), said.tolist(), strict=True)
        }
    )


def tell(found: dict[str, list[Told]]) -> None:
    """The table: mean accuracy, and the gain over the frozen encoder on all test texts together.

    Texts that several seeds test count once a seed, so the interval is a little too narrow.
    """
    frozen = found.get("frozen")
    for way, each in found.items():
        line = f"{way:8} {mean(told.accuracy for told in each):.4f}  " + " ".join(
            f"{told.accuracy:.4f}" for told in each
        )
        if frozen is not None and way != "frozen":
            gain = compare(joined(each), joined(frozen))
            line += (
                f"  over frozen {100 * gain.difference:+.1f} points "
                f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
            )
        print(line)


def joined(each: list[Told]) -> dict[str, bool]:
    return {
        f"{number} {path}": right
        for number, told in enumerate(each)
        for path, right in told.right.items()
    }


if __name__ == "__main__":
    main()
