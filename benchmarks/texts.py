"""Encoders of texts on human-rated snippets: frozen, fine-tuned, and words counted.

    python -m benchmarks.texts [--ways tfidf frozen top whole lora qlora qlora4] [--seeds 0 1 2]
    python -m benchmarks.texts --ways whole --json whole.json
    python -m benchmarks.texts --join frozen.json whole.json

Positive against negative snippets (`examples/demo_texts.py`), groups whole: a fifth for testing, a
tenth for validation, by seed. Each way trains on the same texts and is told against the frozen
encoder on the same test texts, with the interval of the paired difference. TF-IDF of words and
pairs of words under a linear model is what one would do without an encoder. Each way learns from
the training texts and chooses by the validation texts.

Seconds are those of a whole training and of telling the test texts; what an earlier way of the same
run has computed of the frozen encoder is not computed again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from benchmarks.paired import compare_rounds
from examples.demo_texts import texts as demo_texts
from tl_app.config import Config, DataSettings, Phase, default_text_phases
from tl_app.data.splitting import make_split
from tl_app.data.texts import scan_texts
from tl_app.libraries import prepare_libraries
from tl_app.progress import SilentReporter
from tl_app.records import HUB_PREFIX, SIDES, Dataset, Split, TextExample
from tl_app.run import RunFolder
from tl_app.storage import write_json

if TYPE_CHECKING:
    from tl_app.features.store import FeatureStore

TEST_FRACTION, VALIDATION_FRACTION = 0.2, 0.1
HEAD, LORA = default_text_phases()
WHOLE = default_text_phases(HUB_PREFIX)[1]
"""As a SavedModel is trained, which has no layers for updates."""

WAYS: dict[str, tuple[Phase, ...]] = {
    "frozen": (HEAD,),
    "top": (HEAD, Phase(name="top", unfreeze=2, epochs=2, learning_rate=1e-4, views=0)),
    "whole": (HEAD, WHOLE),
    "gradual": (
        HEAD,
        Phase(name="top", unfreeze=1, epochs=1, learning_rate=1e-4, schedule="linear", views=0),
        Phase(name="upper", unfreeze=3, epochs=1, learning_rate=1e-4, schedule="linear", views=0),
        WHOLE,
    ),
    "lora": (HEAD, LORA),
    "qlora": (HEAD, LORA.model_copy(update={"base_weights": "int8"})),
    "qlora4": (HEAD, LORA.model_copy(update={"base_weights": "int4"})),
}
BASELINE = "tfidf"
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Of the baseline's penalty, inverse."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a way said of the test texts of a seed.

    Attributes:
        right: text's path -> whether its class was told rightly.
        seconds: from the texts to this.
    """

    right: dict[str, bool]
    seconds: float

    @property
    def accuracy(self) -> float:
        return mean(self.right.values())


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured; a file of `--json`.

    Attributes:
        about: what must be the same for figures to stand in one table.
        ways: way -> seed -> what it said.
    """

    about: dict[str, Any]
    ways: dict[str, dict[int, Told]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", default="minilm-l6")
    parser.add_argument("--ways", nargs="+", choices=[BASELINE, *WAYS], default=[BASELINE, *WAYS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--max-texts", type=int, help="so many of each class, drawn by seed 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument(
        "--join",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="train nothing: one table of what several runs wrote",
    )
    arguments = parser.parse_args()
    if arguments.join:
        try:
            results = joined([read(file) for file in arguments.join])
        except ValueError as error:
            parser.error(str(error))
        if arguments.json:
            write(results, arguments.json)
    else:
        results = measure(arguments)
    print(render_table(results))


def measure(arguments: argparse.Namespace) -> Results:
    """Every way with every seed; what is done is written after each."""
    prepare_libraries()
    from tl_app.features.store import FeatureStore

    dataset = scan(Path(demo_texts(arguments.data / "demo_texts.csv")), arguments.max_texts)
    print(f"{len(dataset.examples):,} texts in {', '.join(dataset.class_names)}", flush=True)
    results = Results(
        {"encoder": arguments.encoder, "n_texts": len(dataset.examples)},
        {way: {} for way in arguments.ways},
    )
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
                started = time.perf_counter()
                if way == BASELINE:
                    said = count_words(fold, split)
                else:
                    said = train(fold, split, way, arguments.encoder, seed, store, Path(scratch))
                seconds = time.perf_counter() - started
                told = Told(rightly(fold, split.indices("test"), said), seconds)
                results.ways[way][seed] = told
                print(
                    f"seed {seed}, {way}: {told.accuracy:.4f} of {len(told.right):,} test texts "
                    f"in {seconds:.0f} s",
                    flush=True,
                )
                if arguments.json:
                    write(results, arguments.json)
    return results


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


def count_words(dataset: Dataset[TextExample], split: Split) -> np.ndarray:
    """Labels of the test texts by TF-IDF and a linear model, its penalty chosen by the validation
    texts' log-loss."""
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
    return best.predict(vectorise.transform(texts[test]))


def train(
    dataset: Dataset[TextExample],
    split: Split,
    way: str,
    encoder_name: str,
    seed: int,
    store: FeatureStore,
    scratch: Path,
) -> np.ndarray:
    """Labels of the test texts by the best weights, trained as the app trains."""
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
    return told.y_pred


def rightly(dataset: Dataset[TextExample], rows: np.ndarray, said: np.ndarray) -> dict[str, bool]:
    """Text's path -> whether its class was told rightly."""
    return {
        dataset.examples[row].path: bool(dataset.labels[row] == label)
        for row, label in zip(rows.tolist(), said.tolist(), strict=True)
    }


def write(results: Results, file: Path) -> None:
    write_json(file, asdict(results))


def read(file: Path) -> Results:
    """What `write` wrote."""
    values = json.loads(file.read_text(encoding="utf-8"))
    ways = {
        way: {int(seed): Told(**told) for seed, told in by_seed.items()}
        for way, by_seed in values["ways"].items()
    }
    return Results(values["about"], ways)


def joined(parts: Sequence[Results]) -> Results:
    """All results as if one run had measured them.

    Raises:
        ValueError: they are not of the same encoder and texts, or two hold the same way and seed.
    """
    found = Results(parts[0].about, {})
    for part in parts:
        if part.about != found.about:
            raise ValueError(f"results of {part.about} and of {found.about} make no table")
        for way, by_seed in part.ways.items():
            mine = found.ways.setdefault(way, {})
            twice = sorted(mine.keys() & by_seed.keys())
            if twice:
                raise ValueError(f"{way} with seed {twice[0]} is there twice")
            mine.update(by_seed)
    return found


def render_table(results: Results) -> str:
    """A line a way: mean accuracy, that of each seed, the mean of the seconds, and the gain over
    the frozen encoder on the test texts of all seeds that both were trained with."""
    lines = []
    frozen = results.ways.get("frozen", {})
    for way, by_seed in results.ways.items():
        each = [by_seed[seed] for seed in sorted(by_seed)]
        if not each:
            continue
        line = f"{way:8} {mean(told.accuracy for told in each):.4f}  "
        line += "  ".join(f"{seed}: {by_seed[seed].accuracy:.4f}" for seed in sorted(by_seed))
        line += f"  {mean(told.seconds for told in each):.0f} s"
        both = sorted(by_seed.keys() & frozen.keys())
        if way != "frozen" and both:
            gain, low, high = compare_rounds(
                [by_seed[seed].right for seed in both], [frozen[seed].right for seed in both]
            )
            line += (
                f"  over frozen {100 * gain:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
            )
            if len(both) < len(by_seed):
                line += f" with {len(both)} of the seeds"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
