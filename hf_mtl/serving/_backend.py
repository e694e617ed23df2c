"""What a server answers with: a model in torch, or an exported folder."""

from __future__ import annotations

from typing import Any, Protocol

from hf_mtl_light.inference import Answerer

__all__ = ["Backend", "described"]


class Backend(Protocol):
    """What answers texts: `hf_mtl.MultiTaskPipeline` or `hf_mtl_light.OnnxPredictor`."""

    #: Returns the `Answerer` for arguments of the pipeline.
    @property
    def answerer(self) -> Any: ...


def described(answerer: Answerer) -> list[dict[str, Any]]:
    """Return what clients must know of each task: its name, type and labels, what it reads, its options."""
    return [
        {
            "name": name,
            "type": task.type,
            "labels": list(task.labels or ()),
            "reads": answerer.heads[name].reads,
            "options": sorted(answerer.heads[name].answer_options(task)),
        }
        for name, task in answerer.tasks.items()
    ]
