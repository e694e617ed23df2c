"""The metadata above a card: what the Hub lists and searches a model by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_mtl.model_card._facts import CardFacts, ResultFacts

__all__ = ["merge_metadata", "metadata"]


def metadata(facts: CardFacts) -> dict[str, Any]:
    """Return the metadata that the facts give, in the Hub's form."""
    kinds = [facts.head(task).hub_task for task in facts.tasks]
    sets = list(dict.fromkeys(data.hub_id for data in facts.datasets if data.hub_id))
    data = ModelCardData(
        base_model=facts.encoder,
        datasets=sets or None,
        language=list(facts.language) or None,
        library_name="hf-mtl",
        license=facts.license,
        metrics=list(dict.fromkeys(result.metric for result in facts.results)) or None,
        model_name=facts.name if facts.results else None,
        eval_results=_eval_results(facts) or None,
        pipeline_tag=kinds[0] if kinds else None,
        tags=list(dict.fromkeys(["multi-task", *kinds, *facts.tags])),
    )
    values: dict[str, Any] = data.to_dict()
    return values


def _eval_results(facts: CardFacts) -> list[EvalResult]:
    types = {task.name: facts.head(task).hub_task for task in facts.tasks}
    seen: dict[tuple[str, str, str], str] = {}
    results = []
    for result in facts.results:
        place = (types[result.task], _dataset_type(result), result.split)
        # The Hub takes two tasks of a kind on one dataset for one entry, but for the name of a configuration.
        is_other = seen.setdefault(place, result.task) != result.task
        interval = None
        if result.low is not None and result.high is not None:
            interval = {"confidence_interval": [round(result.low, 4), round(result.high, 4)], "confidence_level": 0.95}
        results.append(
            EvalResult(
                task_type=types[result.task],
                task_name=result.task,
                dataset_type=_dataset_type(result),
                dataset_name=result.dataset,
                dataset_config=result.task if is_other else None,
                dataset_split=result.split,
                metric_type=result.metric,
                metric_name=f"{result.task} {result.metric}",
                metric_value=round(result.value, 4),
                metric_args=interval,
            )
        )
    return results


def _dataset_type(result: ResultFacts) -> str:
    return result.hub_id or re.sub(r"[^\w.-]+", "-", result.dataset).strip("-.") or "dataset"


def merge_metadata(new: Mapping[str, Any], old: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return new metadata with what a person changed or added since the last save.

    Args:
        new: What this save would write.
        old: What the card holds.
        written: What the last save wrote.

    >>> merge_metadata({"license": "mit", "tags": ["a"]}, {"license": "gpl-3.0", "mine": 1}, {"license": "mit"})
    {'license': 'gpl-3.0', 'tags': ['a'], 'mine': 1}
    """
    merged = dict(new)
    for key, value in old.items():
        if key == "tags" and isinstance(value, list):
            added = [tag for tag in value if tag not in written.get("tags", [])]
            removed = [tag for tag in written.get("tags", []) if tag not in value]
            merged["tags"] = list(dict.fromkeys([*(t for t in new.get("tags", []) if t not in removed), *added]))
        elif value != written.get(key) and key != "model-index":  # results are those of this model, or none
            merged[key] = value
    for key in written:
        if key not in old:  # a person took it away
            merged.pop(key, None)
    return merged
