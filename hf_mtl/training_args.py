"""Arguments of multi-task training, on top of Transformers' own."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments
from transformers.utils import logging

from hf_mtl._names import listed, nearest
from hf_mtl.compatibility import cpu_has_fast_bfloat16
from hf_mtl.data import BATCHINGS
from hf_mtl.samplers import SAMPLERS

__all__ = ["MultiTaskTrainingArguments"]

logger = logging.get_logger(__name__)

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass
class MultiTaskTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` and what several tasks need besides.

    With ``load_best_model_at_end`` and no ``metric_for_best_model``, the best model is the one with the highest
    ``eval_score``, the mean of the tasks' main metrics.

    Raises:
        ValueError: If an argument is out of its range.
    """

    sampling: str = field(
        default="proportional", metadata={"help": f"How often each dataset is drawn: {', '.join(SAMPLERS)}."}
    )
    batching: str = field(
        default="homogeneous",
        metadata={
            "help": "'homogeneous': an optimizer step holds rows of one dataset; 'mixed': of all. Gradient clipping "
            "then acts on each dataset by itself, which small encoders need: tagging falls behind where large "
            "gradients of other tasks share its steps."
        },
    )
    max_length: int | None = field(
        default=None, metadata={"help": "The most tokens of a row; longer ones are truncated. Default: the model's."}
    )
    precision: str = field(
        default="auto",
        metadata={
            "help": "'float32', 'bfloat16' (autocast), or 'auto': bfloat16 where the machine computes it fast. "
            "bf16, fp16 and use_cpu, if given, go before it."
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
    head_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Learning rate of the heads' new layers. Default: ten times learning_rate."},
    )
    encoder_layer_decay: float = field(
        default=1.0,
        metadata={
            "help": "Factor of the learning rate from each encoder layer to the one below, in (0, 1]; 1 is the same "
            "rate for all."
        },
    )

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("sampling", self.sampling, tuple(SAMPLERS)),
            ("batching", self.batching, BATCHINGS),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in choices:
                raise ValueError(
                    f"{name} must be one of {listed(choices)}, found {value!r}.{nearest(str(value), choices)}"
                )
        if not 0 < self.encoder_layer_decay <= 1:
            raise ValueError(f"encoder_layer_decay must lie in (0, 1], found {self.encoder_layer_decay}.")
        if self.head_learning_rate is not None and self.head_learning_rate < 0:
            raise ValueError(f"head_learning_rate must be at least 0, found {self.head_learning_rate}.")
        self._choose_precision()
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model, self.greater_is_better = "score", True
        super().__post_init__()

    @property
    def learning_rate_of_heads(self) -> float:
        """The rate of the heads' new layers: given, or ten times the encoder's."""
        return 10 * self.learning_rate if self.head_learning_rate is None else self.head_learning_rate

    def _choose_precision(self) -> None:
        if self.bf16 or self.fp16 or self.precision == "float32":
            return
        has_gpu = not self.use_cpu and torch.cuda.is_available()
        if self.precision == "auto":
            fast = torch.cuda.is_bf16_supported() if has_gpu else cpu_has_fast_bfloat16()
            other_device = not self.use_cpu and not has_gpu and torch.accelerator.is_available()
            if not fast or other_device:
                return
            logger.info("Computing in bfloat16 autocast, which this machine does fast; precision='float32' forbids it.")
        self.bf16 = True
        # Transformers allows bf16 without a GPU only to those who say that they mean the CPU.
        self.use_cpu = self.use_cpu or not has_gpu
