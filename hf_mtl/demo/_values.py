"""What a page shows of an answer."""

from __future__ import annotations

from typing import Any, Literal

from hf_mtl_light.inference import Answerer

__all__ = ["Kind", "applies", "kinds_of", "shown"]

#: ``bars``: probabilities of labels; ``entities``: spans of the text; ``boxes``: places in the picture; ``json``: else.
Kind = Literal["bars", "entities", "boxes", "json"]


def kinds_of(answerer: Answerer) -> dict[str, Kind]:
    """Return how each task's answers are shown."""
    kinds: dict[str, Kind] = {}
    for name, task in answerer.tasks.items():
        head = answerer.heads[name]
        if "detection" in task.type:
            kinds[name] = "boxes"
        elif head.level == "token" and head.reads == "text":
            kinds[name] = "entities"
        elif (
            head.level == "sequence"
            and head.reads in ("text", "image", "joint")
            and "top_k" in head.answer_options(task)
        ):
            kinds[name] = "bars"
        else:
            kinds[name] = "json"
    return kinds


def applies(reading: str, text: str | None, picture: Any) -> bool:
    """Return whether a task can answer what was given.

    Args:
        reading: What its head reads.
        text: The text, if any.
        picture: The picture, if any.

    >>> applies("image", "a text", None), applies("joint", "a text", None)
    (False, True)
    """
    given = {"image": picture is not None, "joint": bool(text) or picture is not None}
    return given.get(reading, bool(text))


def shown(kind: Kind, answer: Any, text: str = "", picture: Any = None) -> Any:
    """Return what a component gets.

    Args:
        kind: How the answer is shown.
        answer: It; ``None`` where the task does not apply to the input.
        text: The text.
        picture: The picture.

    Returns:
        Of ``bars`` ``{label: probability}``; of ``entities`` ``{"text", "entities"}``; of ``boxes`` the picture and
        ``[((x1, y1, x2, y2), label)]``; else the answer.
    """
    if answer is None:
        return None
    if kind == "bars":
        found = answer["scores"] if isinstance(answer, dict) and "scores" in answer else answer
        return found if isinstance(found, dict) else {one["label"]: one["score"] for one in found}
    if kind == "entities":
        spans = [span for span in answer if span.get("start") is not None]
        return {
            "text": text,
            "entities": [
                {"entity": span.get("entity_group", span.get("entity")), "start": span["start"], "end": span["end"]}
                for span in spans
            ],
        }
    if kind == "boxes":
        corners = ("xmin", "ymin", "xmax", "ymax")
        return picture, [
            (tuple(round(one["box"][corner]) for corner in corners), f"{one['label']} {one['score']:.2f}")
            for one in answer
        ]
    return answer
