"""The validated configuration of a run. Defaults stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

from tl_app.errors import ConfigError
from tl_app.records import HUB_PREFIX, Modality

TEXT_ENCODER = "minilm-l6"
"""What texts are encoded by where nothing else is said."""

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]

OF_PICTURES: JsonDict = {"modality": "image"}
OF_TEXTS: JsonDict = {"modality": "text"}
"""What marks a setting that means nothing for the other modality."""


class Settings(BaseModel):
    """Base of all settings: unknown keys are mistakes, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _none_in_words(cls, values: Any) -> Any:
        """TOML has no null: "none" stands for it wherever a setting may be None."""
        if not isinstance(values, dict):
            return values
        wrong = [key for key, value in values.items() if isinstance(value, bool)]
        wrong = [key for key in wrong if key in cls.model_fields and not cls._may_be(key, bool)]
        if wrong:
            # Python counts True as 1; nobody who writes seed=true means that.
            raise ValueError(f"{', '.join(wrong)}: received true or false; allowed: other values")
        return {
            key: None if value == "none" and cls._may_be(key, type(None)) else value
            for key, value in values.items()
        }

    @classmethod
    def _may_be(cls, key: str, kind: type) -> bool:
        field = cls.model_fields.get(key)
        return field is not None and kind in (field.annotation, *get_args(field.annotation))


class DataSettings(Settings):
    """How pictures and texts are read and split."""

    image_size_px: Annotated[int, Field(ge=32, le=2048)] | None = Field(
        None,
        description="Side of the square picture; None takes the backbone's own.",
        json_schema_extra=OF_PICTURES,
    )
    aspect: Literal["crop", "pad", "squash"] = Field(
        "squash",
        description="Centre crop, pad, or squash to the square.",
        json_schema_extra=OF_PICTURES,
    )
    window: Literal["auto"] | tuple[int, int] = Field(
        "auto",
        description="Levels of 16-bit pictures that become black and white; auto takes "
        "0 to the smallest full bit depth that holds every level of the data.",
        json_schema_extra=OF_PICTURES,
    )
    max_pixels: Annotated[int, Field(ge=1, le=2**31)] = Field(
        100_000_000,
        description="Pictures with more pixels than this are set aside.",
        json_schema_extra=OF_PICTURES,
    )
    merge_classes: bool = Field(
        False, description="Merge class folders that differ only by case or Unicode form."
    )
    validation_fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        0.1, description="Share of the examples that chooses among checkpoints."
    )
    test_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.1, description="0 trains without a test part (the same as --no-test)."
    )
    min_examples_per_class: Annotated[int, Field(ge=2)] = Field(
        3, description="A class with fewer usable examples stops the run."
    )
    calibration_fraction: Annotated[float, Field(ge=0.0, le=0.9)] = Field(
        0.5,
        description="Share of the validation examples, where there are 100, that is held apart "
        "from the choice of weights: for the temperature, thresholds and sets.",
    )
    near_copies_together: bool = Field(
        True,
        description="Keep near copies on one side of the split: the same but for size, coding, "
        "turning, mirroring and a small crop, or but for case and punctuation.",
    )

    @model_validator(mode="after")
    def _window_rises(self) -> DataSettings:
        if self.window != "auto" and not 0 <= self.window[0] < self.window[1] <= 65535:
            raise ValueError(
                f"window: received {list(self.window)}; allowed: auto, or two levels with "
                "0 <= low < high <= 65535"
            )
        return self


class Augmentation(Settings):
    """Random changes of training pictures. Zero or False switches one off."""

    flip_horizontal: bool = Field(
        False, description="Mirror left and right. Off for letters, and for left/right in medicine."
    )
    flip_vertical: bool = Field(False, description="Mirror top and bottom.")
    crop_min_area: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="Smallest share of the area that a random crop keeps; 1 is no crop."
    )
    rotation_degrees: Annotated[float, Field(ge=0.0, le=180.0)] = Field(
        0.0, description="Turn by up to so many degrees either way."
    )
    brightness: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Largest change, as a share of the range of levels."
    )
    contrast: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Largest relative change of contrast."
    )
    saturation: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Largest relative change of saturation."
    )
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.0, description="Largest turn of the hue, as a share of the colour circle."
    )
    randaugment_layers: Annotated[int, Field(ge=0, le=8)] = Field(
        0, description="RandAugment: how many random changes in a row."
    )
    randaugment_magnitude: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.3, description="RandAugment: how strong they are."
    )
    erasing_probability: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Share of the pictures that lose a random rectangle."
    )

    @property
    def changes_pictures(self) -> bool:
        """Whether any augmentation is on."""
        return self != NO_AUGMENTATION


NO_AUGMENTATION = Augmentation()


class Phase(Settings):
    """One phase of training. A run is a list of them; gradual unfreezing is a longer list."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = Field(
        description="What curves and messages call the phase."
    )
    unfreeze: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        0, description="How many whole blocks of the backbone train, from the top; 0 is the head."
    )
    solver: Literal["auto", "lbfgs", "adamw"] = Field(
        "auto",
        description="lbfgs solves a linear head to its optimum; auto takes it where it applies.",
    )
    epochs: Annotated[int, Field(ge=1)] = Field(
        10, description="Passes over the training examples, at most."
    )
    learning_rate: Positive | Literal["auto"] = Field(
        "auto",
        description="The highest of the schedule (adamw); auto is 1e-3 for the head alone, 5e-5 "
        "where blocks are unfrozen, 5e-4 for LoRA.",
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_fraction: Fraction = Field(0.1, description="Share of the steps that warm up.")
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="Each block toward the input updates this much less (not LoRA)."
    )
    weight_decay: NonNegative = Field(
        0.0, description="Decoupled decay of the trained weights (adamw)."
    )
    lora_rank: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="LoRA: the unfrozen blocks train updates of this rank in place of their own "
        "weights; 0 is off.",
    )
    lora_alpha: Positive | None = Field(
        None, description="LoRA: strength of the updates; None takes the rank."
    )
    base_weights: Literal["float32", "int8", "int4"] = Field(
        "float32", description="QLoRA: number type of the weights that LoRA leaves as they are."
    )
    recompute: bool = Field(
        False,
        description="Gradient checkpointing: compute a block's activations again on the way back; "
        "much less memory for some more time (encoders of texts).",
        json_schema_extra=OF_TEXTS,
    )
    l1: NonNegative = Field(0.0, description="Penalty on the head's weights.")
    l2: NonNegative | Literal["auto"] = Field(
        "auto",
        description="Penalty on the head's weights; auto chooses it by cross-validation for a "
        "solved head and is 0 under adamw.",
    )
    label_smoothing: Fraction = Field(
        0.0, description="Share of each label that is spread over all classes."
    )
    dropout: Fraction = Field(
        0.0, description="Share of the features that the head does without in a step."
    )
    mixup_alpha: NonNegative = Field(
        0.0,
        description="Mixup: shape of the Beta distribution; 0 is off.",
        json_schema_extra=OF_PICTURES,
    )
    cutmix_alpha: NonNegative = Field(
        0.0,
        description="CutMix: shape of the Beta distribution; 0 is off.",
        json_schema_extra=OF_PICTURES,
    )
    patience_epochs: Annotated[int, Field(ge=1)] | None = Field(
        3,
        description="Stop after so many epochs in which the validation log-loss fell by less "
        "than 1e-4.",
    )
    views: Annotated[int, Field(ge=0, le=64)] = Field(
        2,
        description="Augmented views of each picture, drawn once and cycled over the epochs with "
        "the plain one; 0 draws new ones every epoch through the whole network.",
        json_schema_extra=OF_PICTURES,
    )
    augmentation: Augmentation = Field(Augmentation(), json_schema_extra=OF_PICTURES)

    @model_validator(mode="after")
    def _updates_fit(self) -> Phase:
        if self.lora_rank and self.unfreeze == 0:
            raise ValueError("lora_rank updates unfrozen blocks; allowed: unfreeze 1 or more")
        if self.base_weights != "float32" and not self.lora_rank:
            raise ValueError(
                f"base_weights {self.base_weights} cannot be trained by themselves; allowed: with "
                "lora_rank 1 or more"
            )
        return self

    @model_validator(mode="after")
    def _solver_fits(self) -> Phase:
        if self.solver == "lbfgs":
            conflicts = [
                name
                for name, on in {
                    "unfreeze": self.unfreeze != 0,
                    "dropout": self.dropout > 0,
                    "mixup_alpha": self.mixup_alpha > 0,
                    "cutmix_alpha": self.cutmix_alpha > 0,
                    "l1": self.l1 > 0,
                }.items()
                if on
            ]
            if conflicts:
                raise ValueError(
                    f"solver 'lbfgs' solves a plain linear head and cannot have "
                    f"{', '.join(conflicts)}; allowed: solver 'adamw' or 'auto'"
                )
        return self

    @property
    def peak_learning_rate(self) -> float:
        """`auto` made definite: the rates of `benchmarks/texts.py`."""
        if self.learning_rate != "auto":
            return self.learning_rate
        if self.unfreeze == 0:
            return 1e-3
        return 5e-4 if self.lora_rank else 5e-5

    @property
    def resolved_solver(self) -> Literal["lbfgs", "adamw"]:
        """`auto` made definite, as far as the phase alone can tell (an MLP head needs adamw)."""
        if self.solver != "auto":
            return self.solver
        plain = (
            self.unfreeze == 0
            and not self.dropout
            and not self.mixup_alpha
            and not self.cutmix_alpha
            and not self.l1
        )
        return "lbfgs" if plain else "adamw"


def default_phases() -> tuple[Phase, ...]:
    """Head to its optimum, then the last block at a low rate.

    Chosen by cross-validation on photographs (`benchmarks/cross_validate.py`): the solved head
    is hard to beat on small sets, deeper unfreezing costs more and mostly hurts.
    """
    return (
        Phase(name="head"),
        Phase(
            name="fine_tune",
            unfreeze=1,
            epochs=5,
            learning_rate=1e-4,
            layer_decay=0.7,
            views=1,
            augmentation=Augmentation(flip_horizontal=True, crop_min_area=0.7),
        ),
    )


def default_text_phases(backbone: str = TEXT_ENCODER) -> tuple[Phase, ...]:
    """Head to its optimum, then low-rank updates of the whole encoder (LoRA).

    Of human-rated snippets they tell as much as training the encoder's own weights, in less time
    (`benchmarks/texts.py`). A SavedModel has no layers that updates could stand beside: its own
    weights are trained.
    """
    head = Phase(name="head", views=0)
    whole = Phase(
        name="fine_tune",
        unfreeze="all",
        epochs=2,
        schedule="linear",
        layer_decay=0.8,
        weight_decay=0.01,
        views=0,
    )
    if backbone.startswith(HUB_PREFIX):
        return head, whole
    return head, whole.model_copy(update={"lora_rank": 8, "weight_decay": 0.0})


def default_settings(modality: Modality, backbone: str | None = None) -> dict[str, Any]:
    """What pictures and texts are trained with where nothing else is said, as plain values.

    Args:
        modality: of the examples.
        backbone: that was named, if one was.
    """
    if modality == "image":
        return {"backbone": "efficientnet_lite0", "phases": _plain(default_phases())}
    phases = default_text_phases(backbone or TEXT_ENCODER)
    return {"backbone": TEXT_ENCODER, "phases": _plain(phases)}


def _plain(phases: Iterable[Phase]) -> list[dict[str, Any]]:
    return [phase.model_dump(mode="json") for phase in phases]


class Config(Settings):
    """Everything that decides what a run does.

    The defaults are those for pictures. `tl_app.train` takes the ones for texts instead, for what
    was not set (`model_fields_set`), where the source holds texts.
    """

    backbone: str = Field(
        "efficientnet_lite0",
        description="A name that tl-app backbones lists, hub:HANDLE_OR_PATH, or for texts "
        "kerashub:HANDLE_OR_FOLDER.",
    )
    weights: str | None = Field(
        None,
        description="A weight file of your own for the backbone.",
        json_schema_extra=OF_PICTURES,
    )
    preprocessor: str | None = Field(
        None,
        description="TensorFlow Hub handle or folder of what feeds a hub: encoder of texts (the "
        "BERT family); None where the encoder takes strings.",
        json_schema_extra=OF_TEXTS,
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="Of the split and of all chance in training."
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(32, description="Examples in a training step.")
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "auto", description="Number type that the network computes in; auto fits the device."
    )
    devices: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="auto takes every usable GPU, else the CPU; or names such as GPU:0."
    )
    engine: Literal["auto", "tensorflow", "folded", "litert", "onnxruntime"] = Field(
        "auto",
        description="What runs the frozen part; auto measures which is fastest on this machine.",
    )
    kept_dtype: Literal["float16", "float32"] = Field(
        "float16",
        description="Number type of activations that are kept for fine-tuning; pooled features "
        "are always float32.",
    )
    cache_limit_gb: Positive = Field(
        20.0,
        description="Size that the feature cache is brought back to, the longest unused first.",
    )
    class_weights: Literal["auto", "balanced", "none"] = Field(
        "auto", description="auto balances where the largest class is over 1.5 times the smallest."
    )
    head_hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Hidden Dense layers of the head; none is a linear head."
    )
    audit: bool = Field(
        True,
        description="Look for copies, leaks, likely wrong labels and other faults of the data "
        "before training; tl-app audit does so by itself.",
    )
    export: bool = Field(
        True,
        description="Write the SavedModel at the end of training; without it a run ends sooner, "
        "and tl-app export RUN DEST writes it when it is wanted.",
    )
    cross_validation: Literal["auto"] | Annotated[int, Field(ge=0, le=50)] = Field(
        "auto",
        description="Folds in which the head on frozen features is cross-validated; auto takes 5 "
        "where fewer than 200 examples are tested, which say little; 0 switches it off.",
    )
    min_accuracy: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        None,
        description="Gate of the report's verdict: it fails where the lower limit of the "
        "accuracy's 95 % interval is below.",
    )
    report_images: bool = Field(
        True,
        description="Whether the report may show pictures of the data (--no-images).",
        json_schema_extra=OF_PICTURES,
    )
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        ("tensorboard",), description="Where the learning curves go as well."
    )
    data: DataSettings = DataSettings()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = Field(
        default_factory=default_phases
    )

    @field_validator("cross_validation")
    @classmethod
    def _two_folds(cls, value: Literal["auto"] | int) -> Literal["auto"] | int:
        if value == 1:
            raise ValueError("received 1; allowed: auto, 0 (none) or 2 to 50 folds")
        return value

    @model_validator(mode="after")
    def _phases_fit(self) -> Config:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError(f"phases need different names; received {names}")
        if self.head_hidden_units:
            for phase in self.phases:
                if phase.solver == "lbfgs":
                    raise ValueError(
                        f"phase '{phase.name}': solver 'lbfgs' needs a linear head; "
                        "allowed: solver 'adamw', or no head_hidden_units"
                    )
        return self

    def solver(self, phase: Phase) -> Literal["lbfgs", "adamw"]:
        """Which solver trains `phase`: only a linear head can be solved."""
        return "adamw" if self.head_hidden_units else phase.resolved_solver


def without_mirroring(config: Config) -> Config:
    """`config` with every mirror image switched off, in all phases."""
    phases = tuple(
        phase.model_copy(
            update={
                "augmentation": phase.augmentation.model_copy(
                    update={"flip_horizontal": False, "flip_vertical": False}
                )
            }
        )
        for phase in config.phases
    )
    return config.model_copy(update={"phases": phases})


def fits(field: FieldInfo, modality: Modality) -> bool:
    """Whether a setting means anything for pictures, or for texts."""
    marks = field.json_schema_extra
    return not isinstance(marks, dict) or marks.get("modality", modality) == modality


def require_fitting(config: Config, modality: Modality) -> None:
    """Nothing is asked of texts that pictures alone have, nor the other way round.

    Raises:
        ConfigError: a setting of the other modality is not as it is by default; all are named.
    """
    usual = default_text_phases() if modality == "text" else default_phases()
    groups: list[tuple[str, Settings, tuple[Phase, ...]]] = [
        ("", config, ()),
        ("data.", config.data, ()),
        *((f"phases.{i}.", phase, usual) for i, phase in enumerate(config.phases)),
    ]
    wrong = [
        f"{prefix}{name}"
        for prefix, settings, others in groups
        for name, field in type(settings).model_fields.items()
        if not fits(field, modality)
        and getattr(settings, name) not in (field.default, *(getattr(o, name) for o in others))
    ]
    if wrong:
        theirs, ours = ("pictures", "texts") if modality == "text" else ("texts", "pictures")
        command = f"tl-app config{' --texts' if modality == 'text' else ''}"
        raise ConfigError(
            f"Settings for {theirs} do not fit {ours}.",
            received=", ".join(wrong),
            allowed=f"the settings that {command} lists",
            next_step="leave these out",
        )


def require_unmixed(phases: Iterable[Phase]) -> None:
    """Texts are neither turned nor mixed.

    Raises:
        ConfigError: a phase asks for it; all such settings are named.
    """
    wrong = [
        f"phase '{phase.name}': {name}"
        for phase in phases
        for name, is_on in (
            ("augmentation", phase.augmentation.changes_pictures),
            ("mixup_alpha", phase.mixup_alpha > 0),
            ("cutmix_alpha", phase.cutmix_alpha > 0),
        )
        if is_on
    ]
    if wrong:
        raise ConfigError(
            "Settings for pictures do not fit texts.",
            received="; ".join(wrong),
            allowed="phases without augmentation, mixup or cutmix",
        )
