"""Fields that multi-task training adds to Transformers' arguments, and what their values may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl._options import check_number, parsed_options
from hf_mtl.arguments._averages import AVERAGES, make_average
from hf_mtl.arguments._kinds import check_field_types
from hf_mtl.arguments._numbers_by_name import numbers_by_name
from hf_mtl.augmentation import AUGMENTATIONS, make_augmentations
from hf_mtl.balancers import BALANCERS, Balancer, make_balancer
from hf_mtl.samplers import SAMPLERS, DatasetSampler, make_sampler
from hf_mtl.samplers.plan import BATCHINGS, SamplingRules
from hf_mtl.training_methods import METHODS, make_methods
from hf_mtl_light.errors import UserError
from hf_mtl_light.numerics import PRECISIONS

__all__ = ["MultiTaskFields"]

ON_DIVERGENCE = ("stop", "warn")
LOSS_SCALINGS = ("none", "log_classes")
TUNINGS = ("none", "per-label", "global")


@dataclass
class MultiTaskFields:
    """What `hf_mtl.MultiTaskTrainingArguments` has beside the fields of Transformers.

    Raises:
        ValueError: If a value is out of its range, or an option is unknown.
        TypeError: If a truth value or a number is something else.

    >>> MultiTaskFields(batching="mixd")
    Traceback (most recent call last):
        ...
    hf_mtl_light.errors.UserError: batching must be one of 'mixed', 'homogeneous', found 'mixd'. Did you mean 'mixed'?
    """

    sampling: str = field(
        default="proportional", metadata={"help": f"How often each dataset is drawn: {', '.join(SAMPLERS)}."}
    )
    sampling_options: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Options of the sampling strategy, as JSON on a command line: '{\"temperature\": 2}'. With any "
            "strategy: exhausted, max_rows, weights."
        },
    )
    batching: str = field(
        default="homogeneous",
        metadata={
            "help": "'homogeneous': an optimizer step holds rows of one dataset; 'mixed': of all. Gradient clipping "
            "then acts on each dataset by itself, which small encoders need: tagging learns less where large "
            "gradients of other tasks share its steps."
        },
    )
    balancing: str = field(
        default="fixed",
        metadata={"help": f"How the tasks' losses, or their gradients, become one: {', '.join(BALANCERS)}."},
    )
    balancing_options: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "Options of the balancing, as a mapping or its JSON, such as '{\"temperature\": 2}'."},
    )
    augmentation: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Random changes of training rows, by name, with their options, applied in order: "
            f'{", ".join(AUGMENTATIONS)}. A mapping or its JSON, such as \'{{"word-deletion": {{"p": 0.2}}}}\'.'
        },
    )
    methods: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": f"Training methods by name, with their options: {', '.join(METHODS)}. A mapping or its JSON, such "
            'as \'{"r-drop": {"alpha": 0.5}}\'.'
        },
    )
    average: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "An average of the weights over the steps, which is evaluated and saved in their place: kind "
            f"({' or '.join(AVERAGES)}) and its option, decay or from. A mapping or its JSON, such as "
            '\'{"kind": "ema", "decay": 0.999}\'. Default: the last weights.'
        },
    )
    loss_scaling: str = field(
        default="none",
        metadata={
            "help": "'log_classes': each task's loss is divided by the logarithm of its number of classes, so that "
            "all start at about 1; 'none': it is not."
        },
    )
    gradient_cosine_steps: int | None = field(
        default=None,
        metadata={
            "help": "Every how many steps the tasks' gradients of the encoder are compared; their cosines are logged. "
            "Default: never. Such a step costs one more backward pass for each of its tasks."
        },
    )
    max_length: int | None = field(
        default=None, metadata={"help": "The most tokens of a row; longer ones are truncated. Default: the model's."}
    )
    precision: str = field(
        default="auto",
        metadata={
            "help": "'float32', 'bfloat16' (autocast), or 'auto': bfloat16 where the machine computes it fast. "
            "bf16, fp16 and use_cpu, if given, take precedence."
        },
    )
    unpad: bool | None = field(
        default=None,
        metadata={
            "help": "Whether the encoder computes the tokens alone and not the padding; the results are the same. "
            "Default: as the model is set, which is where its family allows it."
        },
    )
    fast_dropout: bool = field(
        default=True,
        metadata={
            "help": "On a CPU, draw dropout's random numbers 16 bits at a time, about three times faster: the same "
            "distribution, with probabilities rounded to 1/65536, from another random stream than torch's."
        },
    )
    reuse_memory: bool = field(
        default=True,
        metadata={
            "help": "On a CPU under Linux, keep the memory that a step frees for the next one, for the whole process."
        },
    )
    head_learning_rate: dict[str, float] | str | float | None = field(
        default=None,
        metadata={
            "help": "Learning rate of the heads' new layers: a number, or a mapping from tasks to numbers or its "
            "JSON. Default, also of tasks that a mapping leaves out: ten times learning_rate."
        },
    )
    encoder_layer_decay: dict[str, float] | str | float | None = field(
        default=1.0,
        metadata={
            "help": "Factor of the learning rate from each encoder layer to the one below, in (0, 1]; 1 is the same "
            "rate for all. A number, or a mapping by what encoders read or its JSON."
        },
    )
    stream_buffer: int = field(
        default=1000,
        metadata={"help": "Rows of a stream (datasets.IterableDataset) that are held and shuffled at a time."},
    )
    trunk_learning_rate: dict[str, float] | str | float | None = field(
        default=None,
        metadata={
            "help": "Learning rate of the encoder without its branches, which learn at learning_rate. A number, or a "
            "mapping by what encoders read or its JSON, such as '{\"image\": 1e-5}'. Default, also of encoders that "
            "a mapping leaves out: learning_rate."
        },
    )
    freeze_encoder: bool = field(
        default=False,
        metadata={"help": "Leave the encoder as it is and train the heads alone: nothing is computed backwards in it."},
    )
    freeze_trunk: bool = field(
        default=False,
        metadata={
            "help": "Leave the encoder as it is and train its branches and the heads: a branch is polished alone."
        },
    )
    frozen_layers: dict[str, int] | str | int | None = field(
        default=0,
        metadata={
            "help": "Leave the embeddings and this many of the encoder's lowest layers as they are; 0: none. A number, "
            'or a mapping by what encoders read or its JSON, such as \'{"text": 2, "image": 8}\'.'
        },
    )
    frozen_heads: list[str] | None = field(
        default=None, metadata={"help": "Names of tasks whose heads are left as they are."}
    )
    unfreeze_at_step: float | None = field(
        default=None,
        metadata={
            "help": "The optimizer step from which all that freeze_encoder, frozen_layers and frozen_heads held still "
            "learns, too; below 1 the fraction of all steps, such as 0.2. Default: never."
        },
    )
    on_divergence: str = field(
        default="stop",
        metadata={
            "help": "Where a loss or a weight stops being finite: 'stop' ends the training with an error, 'warn' "
            "continues it. Weights that are not finite are never saved."
        },
    )
    # Transformers' filter would log 0 for a loss that is not a number.
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Whether losses that are not finite are left out of the logged mean."}
    )
    tune_thresholds: str = field(
        default="none",
        metadata={
            "help": "At the end of training, find the scores from which multi-label tasks name their labels, on the "
            "validation rows: 'per-label' (the best for each label's F1), 'global' (one for all labels, by micro F1) "
            "or 'none'. With load_best_model_at_end they are those of the best model."
        },
    )
    calibrate: bool = field(
        default=False,
        metadata={
            "help": "At the end of training, fit a temperature for each task with probabilities on the validation "
            "rows, after thresholds are tuned. With load_best_model_at_end it is that of the best model."
        },
    )
    card_examples: list[str] | None = field(
        default=None,
        metadata={
            "help": "Texts that the model card shows with the model's answers. Default: one made-up sentence; rows of "
            "the data are never shown."
        },
    )
    card_pictures: list[str] | None = field(
        default=None,
        metadata={
            "help": "Paths of pictures that the model card shows with the model's answers, boxes drawn. They are "
            "copied beside the card, and shared with it. Default: none."
        },
    )

    def __post_init__(self) -> None:
        check_field_types(self)
        for name, value, choices in (
            ("sampling", self.sampling, tuple(SAMPLERS)),
            ("batching", self.batching, BATCHINGS),
            ("precision", self.precision, ("auto", *PRECISIONS)),
            ("balancing", self.balancing, tuple(BALANCERS)),
            ("loss_scaling", self.loss_scaling, LOSS_SCALINGS),
            ("tune_thresholds", self.tune_thresholds, TUNINGS),
            ("on_divergence", self.on_divergence, ON_DIVERGENCE),
        ):
            if value not in choices:
                raise UserError(
                    f"{name} must be one of {listed(choices)}, found {value!r}.{nearest(str(value), choices)}"
                )
        self.sampling_options = parsed_options("sampling_options", self.sampling_options)
        self.make_sampler()  # finds wrong options now, not when training starts
        self.balancing_options = parsed_options("balancing_options", self.balancing_options)
        self.make_balancer()
        self.augmentation = parsed_options("augmentation", self.augmentation) or None
        make_augmentations(self.augmentation)
        self.methods = parsed_options("methods", self.methods) or None
        make_methods(self.methods)
        average = make_average(self.average)
        self.average = None if average is None else average.settings()
        self.head_learning_rate = numbers_by_name("head_learning_rate", self.head_learning_rate, "task")
        self.trunk_learning_rate = numbers_by_name("trunk_learning_rate", self.trunk_learning_rate, "encoder")
        decay = numbers_by_name("encoder_layer_decay", self.encoder_layer_decay, "encoder", 0, 1, above=True)
        self.encoder_layer_decay = 1.0 if decay is None else decay
        self.frozen_layers = numbers_by_name("frozen_layers", self.frozen_layers, "encoder", whole=True) or 0
        check_number("stream_buffer", self.stream_buffer, 1, whole=True)
        if self.gradient_cosine_steps is not None and self.gradient_cosine_steps < 1:
            raise UserError(f"gradient_cosine_steps must be at least 1, found {self.gradient_cosine_steps}.")
        at = self.unfreeze_at_step or 0
        if at < 0:
            raise UserError(f"unfreeze_at_step must be at least 0, found {at}.")
        if not (0 <= at < 1 or at % 1 == 0):
            raise UserError(
                "unfreeze_at_step must be a whole number of steps, or a fraction of all steps below 1, found "
                f"{self.unfreeze_at_step}."
            )
        layers = self.frozen_layers
        some_layers = any(layers.values()) if isinstance(layers, Mapping) else layers
        frozen = (self.freeze_encoder, self.freeze_trunk, some_layers, self.frozen_heads)
        if self.unfreeze_at_step is not None and not any(frozen):
            raise UserError(
                f"unfreeze_at_step={self.unfreeze_at_step} would be without effect: nothing is frozen until then. Set "
                "freeze_encoder, freeze_trunk, frozen_layers or frozen_heads, or leave it out."
            )

    def make_sampler(self) -> tuple[DatasetSampler, SamplingRules]:
        """Return the sampler, and the rules around it, as the arguments say: the same ones until these change.

        Raises:
            UserError: If an option is unknown or out of its range.
        """
        return make_sampler(self.sampling, self.sampling_options)

    def make_balancer(self) -> Balancer:
        """Return the balancer, as the arguments say: the same one until these change.

        Raises:
            ValueError: If an option is unknown or out of its range.
            ImportError: If it needs a package that is missing.
        """
        return make_balancer(self.balancing, self.balancing_options)
