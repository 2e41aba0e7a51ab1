"""What a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from tl_app.data.wording import WORDINGS, Wording
from tl_app.evaluation.formats import SmallFormat
from tl_app.evaluation.learning import FitVerdict
from tl_app.evaluation.probes import Probes
from tl_app.evaluation.slices import SlicedTrait
from tl_app.evaluation.trust import Trust
from tl_app.explain.heat import HeatMaps
from tl_app.explain.occlusion import TellingWord
from tl_app.findings import Audit
from tl_app.records import AnyProcessing, Dataset, EpochRecord, Evaluation, Predictions, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContents:
    """Everything that the sections may show.

    Attributes:
        run_name: title of the page.
        config: the resolved configuration as plain JSON values.
        dataset, split, processing: the run's.
        evaluation: of the side that `predictions` holds.
        predictions: of the evaluated side.
        history: all phases, in order.
        verdict: of the learning curves.
        cost: measured figures: "latency_ms" (batch size as text -> "p50" and "p95", milliseconds a
            batch), "n_parameters", "n_trainable_parameters", "model_bytes", "peak_memory_bytes",
            and of a run with an export "saved_model_bytes"; what else is missing shows as not
            measured.
        environment: versions and machine, as `tl_app.environment.describe` gives them.
        decisions: what the run chose by looking at the machine.
        command: how to do it again.
        seconds: wall clock by stage.
        has_pictures: whether pictures may be on the page.
        thumbnail: a small JPEG or PNG of an example's path, or None where there is none.
        telling: of texts that were told wrongly, by path: the words that told the most.
        heat: of pictures that were told wrongly, where the model looked; None without.
        slices: accuracy on parts of the evaluated side, by trait.
        audit: what is wrong with the data; None where nobody looked.
        trust: how far the probabilities can be trusted; None of runs that did not ask.
        probes: what kept features tell by themselves; None of runs that did not ask.
        small_formats: how the model in small formats compares with the run's own.
    """

    run_name: str
    config: Mapping[str, Any]
    dataset: Dataset[Any]
    split: Split
    processing: AnyProcessing
    evaluation: Evaluation
    predictions: Predictions
    history: Sequence[EpochRecord]
    verdict: FitVerdict
    cost: Mapping[str, Any]
    environment: Mapping[str, Any]
    decisions: Mapping[str, Any]
    command: str
    seconds: Mapping[str, float]
    has_pictures: bool = True
    thumbnail: Callable[[str], bytes | None] = lambda path: None
    telling: Mapping[str, Sequence[TellingWord]] = field(default_factory=dict)
    heat: HeatMaps | None = None
    slices: Sequence[SlicedTrait] = ()
    audit: Audit | None = None
    probes: Probes | None = None
    trust: Trust | None = None
    small_formats: Sequence[SmallFormat] = ()

    @property
    def wording(self) -> Wording:
        """What the examples are called."""
        return WORDINGS[self.dataset.modality]


@dataclass(frozen=True, slots=True)
class Fragment:
    """One section of the page.

    Attributes:
        anchor: its id, unique on the page.
        title: its heading, and its entry in the list of contents.
        body: safe HTML.
    """

    anchor: str
    title: str
    body: Markup
