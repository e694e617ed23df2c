"""What the card of a training's model says, and answers of the model as examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_mtl.data import MultiTaskCollator
from hf_mtl.hub import shareable_arguments
from hf_mtl.model import MultiTaskModel
from hf_mtl.model_card import CardFacts, DatasetFacts, ResultFacts
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._card_answers import card_answers
from hf_mtl.trainer._card_pictures import answered_pictures
from hf_mtl.trainer._scoring import ScoredRows
from hf_mtl.trainer._summary import share_text

__all__ = ["facts_of_training"]

_EXAMPLE = "Book a table at Nopi tonight, I love that place!"
_SPLITS = {"eval": "validation", "test": "test"}
#: Arguments that the card always lists, and such that it lists elsewhere or that say nothing of the model.
_ON_CARD = ("learning_rate", "num_train_epochs", "per_device_train_batch_size", "seed")
_NOT_ON_CARD = (
    *(
        "card_examples",
        "card_pictures",
        "push_to_hub",
        "hub_",
        "logging_",
        "save_",
        "eval_",
        "sampling",
        "balancing",
        "augmentation",
        "average",
        "methods",
    ),
    *("use_cpu", "dataloader_", "load_best_model", "metric_for_best", "greater_is_better", "remove_unused"),
    "per_device_eval",
)


def facts_of_training(
    model: MultiTaskModel,
    name: str,
    fields: Mapping[str, Any],
    args: MultiTaskTrainingArguments,
    collator: MultiTaskCollator,
    summary: Sequence[Mapping[str, Any]],
    strategies: Mapping[str, str],
    steps: tuple[int, int | None],
    scored_rows: Mapping[str, Mapping[str, Mapping[str, ScoredRows]]],
) -> CardFacts:
    """Return what a card says.

    Args:
        model: The model.
        name: Its name.
        fields: What ``create_model_card`` was given.
        args: The training arguments.
        collator: Turned rows into batches.
        summary: What `MultiTaskTrainer.summary` returns.
        strategies: What `MultiTaskTrainer.strategies` returns.
        steps: Steps of the optimizer that were trained, and after which of them the weights were kept, where not after
            the last.
        scored_rows: What evaluations found: by prefix, task and dataset.
    """
    ids = fields.get("dataset_ids", {})
    given = {key: value for key, value in fields.items() if key not in ("model_name", "dataset_ids")}
    shared = {name: getattr(args, name) for name in _ON_CARD} | shareable_arguments(args)
    if args.max_steps > 0:
        del shared["num_train_epochs"]  # it said nothing
    return CardFacts.of_model(
        model,
        name,
        max_length=collator.max_length,
        datasets=[
            DatasetFacts(
                item["dataset"],
                item["rows"],
                item["share"],
                [task["name"] for task in item["tasks"]],
                ids.get(item["dataset"]),
                share_text(item),
            )
            for item in summary
        ],
        **strategies,
        arguments={key: value for key, value in shared.items() if not key.startswith(_NOT_ON_CARD)},
        steps=steps[0] or None,
        kept_step=steps[1],
        results=[
            ResultFacts(task, dataset, _SPLITS.get(prefix, prefix), hub_id=ids.get(dataset), **vars(scored))
            for prefix, tasks in scored_rows.items()
            for task, datasets in tasks.items()
            for dataset, scored in datasets.items()
        ],
        examples=_examples(model, collator, args),
        pictures=answered_pictures(model, collator, args.card_pictures or ()),
        **given,
    )


def _examples(
    model: MultiTaskModel, collator: MultiTaskCollator, args: MultiTaskTrainingArguments
) -> list[tuple[str, dict[str, Any]]]:
    texts = args.card_examples or [_EXAMPLE]
    if collator.tokenizer is None:
        return []
    return card_answers(model, collator, texts, max_length=args.max_length)
