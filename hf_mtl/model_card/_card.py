"""Cards: rendered from facts, merged with what a person wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import logging

from hf_mtl.configuration import TaskConfig
from hf_mtl.heads import Head
from hf_mtl.model_card._facts import CardFacts
from hf_mtl.model_card._metadata import merge_metadata, metadata
from hf_mtl.model_card._pictures import picture_name, write_pictures
from hf_mtl.model_card._template import SELF_CONTAINED, TEMPLATE
from hf_mtl_light.outputs import write_text_whole
from hf_mtl_light.text import cell_text, markdown_text, redacted

__all__ = ["add_tags", "address_card", "read_card", "render_card", "write_card", "write_section"]

logger = logging.get_logger(__name__)

_SECTION = re.compile(r"(<!-- hf_mtl:begin (?P<name>\w+) -->\n)(?P<text>.*?)(<!-- hf_mtl:end (?P=name) -->)", re.DOTALL)
_CALIBRATION = re.compile(
    r"(## Calibration\n\n)?<!-- hf_mtl:begin calibration -->\n.*?<!-- hf_mtl:end calibration -->\n*", re.DOTALL
)
_SHARING = re.compile(
    r"(## What sharing did\n\n)?<!-- hf_mtl:begin sharing -->\n.*?<!-- hf_mtl:end sharing -->\n*", re.DOTALL
)
#: What the last save wrote as metadata, so that the next one knows what a person changed.
_WRITTEN = re.compile(r"\n*<!-- hf_mtl:metadata (?P<json>.*?) -->\n*")
_MODEL_ID = re.compile(r'(model=|from_pretrained\()"[^"]*"')
_PICTURE = "photo.jpg"
_SAMPLE = "Book a table at Nopi tonight, I love that place!"
_SHOWN_LABELS = 12


def render_card(facts: CardFacts, existing: str | None = None, *, model_id: str | None = None) -> str:
    """Return the text of a card.

    Args:
        facts: What it says.
        existing: The existing card: what lies outside of marked sections is kept.
        model_id: The name by which the snippets load the model; ``None``: the model's name.

    Raises:
        ValueError: If the existing card's metadata is no mapping.
        yaml.YAMLError: If it is not YAML.
    """
    values = metadata(facts)
    # Loading the template's own text would read the metadata back from YAML; that gives what the Hub will read.
    card = ModelCard.from_template(ModelCardData(**values), template_str=TEMPLATE, **_words(facts, model_id))
    generated = card.data.to_dict()
    body = card.text.strip("\n")
    merged = dict(generated)
    if existing is not None:
        old = ModelCard(existing, ignore_metadata_errors=True)
        found = _WRITTEN.search(old.text)
        merged = merge_metadata(generated, old.data.to_dict(), _loaded(found["json"]) if found else {})
        body = _merged(_WRITTEN.sub("\n", old.text).strip("\n"), body)
        if not any(task.calibration_temperature for task in facts.tasks):
            body = _CALIBRATION.sub("", body)  # of weights that changed
    # "--" would end an HTML comment early.
    remembered = {key: value for key, value in generated.items() if key != "model-index"}
    written = json.dumps(remembered, ensure_ascii=True, sort_keys=True).replace("--", "-\\u002d")
    data = ModelCardData(**merged, ignore_metadata_errors=True)
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n\n<!-- hf_mtl:metadata {written} -->\n"


def _loaded(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:  # edited by hand
        return {}
    return values if isinstance(values, dict) else {}


def _merged(old: str, new: str) -> str:
    """Return the old body with its marked sections as the new one has them."""
    sections = {match["name"]: match["text"] for match in _SECTION.finditer(new)}
    return _SECTION.sub(lambda m: m[1] + sections.get(m["name"], m["text"]) + m[4], old)


def write_card(
    path: str | Path, facts: CardFacts, *, model_id: str | None = None, earlier: str | Path | None = None
) -> None:
    """Write a card, keeping what a person wrote into the existing one.

    Args:
        path: The file, ``README.md`` of the model's folder.
        facts: What the card says.
        model_id: See `render_card`.
        earlier: The existing card; ``None``: the file itself.
    """
    path = Path(path)
    before = path if earlier is None else Path(earlier)
    existing = read_card(before)
    if existing is not None and not (path.parent / "sharing.json").exists():
        existing = _SHARING.sub("", existing)  # of the model that lay there
    try:
        text = render_card(facts, existing, model_id=model_id)
    except (ValueError, yaml.YAMLError) as error:
        # A training's result must not be lost over a slip in a hand-written card.
        logger.warning(f"{path.name} is left as it is: its metadata cannot be read ({error}).")
        return
    write_pictures(path.parent, facts)
    write_text_whole(path, text)


def read_card(path: str | Path) -> str | None:
    """Return a card's text, ``None`` if there is none."""
    path = Path(path)
    return path.read_text(encoding="utf-8-sig") if path.is_file() else None


def write_section(path: str | Path, name: str, title: str, text: str) -> None:
    """Write a section into an existing card, in place of what it held; later saves keep it.

    Args:
        path: The card.
        name: The section's name in its comments.
        title: Its title, where the card does not have it yet.
        text: Its Markdown.
    """
    card = read_card(path)
    if card is None:
        return
    begin, end = f"<!-- hf_mtl:begin {name} -->\n", f"<!-- hf_mtl:end {name} -->"
    if any(match["name"] == name for match in _SECTION.finditer(card)):
        card = _SECTION.sub(lambda m: f"{begin}{text}\n{end}" if m["name"] == name else m[0], card)
    else:
        written = _WRITTEN.search(card)
        place = len(card) if written is None else written.start()
        card = f"{card[:place].rstrip()}\n\n## {title}\n\n{begin}{text}\n{end}\n{card[place:]}"
    write_text_whole(Path(path), card)


def add_tags(path: str | Path, tags: Iterable[str]) -> None:
    """Add tags to an existing card."""
    tags = list(tags)
    if tags:
        card = ModelCard.load(path, ignore_metadata_errors=True)
        card.data.tags = list(dict.fromkeys([*(card.data.tags or []), *tags]))
        write_text_whole(Path(path), str(card))


def address_card(path: str | Path, model_id: str, *, self_contained: bool = False) -> None:
    """Let the snippets of a card load the model by another name; does nothing where there is no card.

    Args:
        path: The card.
        model_id: The name.
        self_contained: Whether the model's code lies beside it.
    """
    text = read_card(path)
    if text is None:
        return

    def addressed(match: re.Match[str]) -> str:
        if match["name"] != "use":
            return match[0]
        used = _MODEL_ID.sub(lambda m: f"{m[1]}{json.dumps(model_id)}", match["text"])
        if self_contained and "trust_remote_code" not in used:
            used = f"{used}\n{SELF_CONTAINED.format(model_id=model_id)}"
        return f"{match[1]}{used}{match[4]}"

    write_text_whole(Path(path), _SECTION.sub(addressed, text))


# The facts as text


def _words(facts: CardFacts, model_id: str | None) -> dict[str, Any]:
    parameters = facts.encoder_parameters + sum(facts.head_parameters.values())
    separate = facts.encoder_parameters * len(facts.tasks) + sum(facts.head_parameters.values())
    sample = facts.examples[0][0] if facts.examples else _SAMPLE
    more = {key: value for task in facts.tasks for key, value in facts.head(task).example_columns.items()}
    reads = {kind for task in facts.tasks for kind in facts.head(task).modalities()} or {"text"}
    subjects = {"text": "a text", "image": "a picture"}
    if "image" in reads:
        more["image"] = _PICTURE
    row = {**({"text": sample} if "text" in reads else {}), **more}
    length = f"{facts.max_length:,} tokens" if facts.max_length else "as many tokens as the encoder takes"
    tasks = {
        task.name: {
            "name": cell_text(task.name),
            "python": json.dumps(task.name, ensure_ascii=False),
            "type": task.type,
            "answer": _answer(task, facts.head(task)),
            "folder": _file_name(task.name),
        }
        for task in facts.tasks
    }
    return {
        "name": markdown_text(facts.name),
        "model_id": model_id or facts.name,
        "sample": json.dumps(sample, ensure_ascii=False),
        "row": json.dumps(row if more else sample, ensure_ascii=False),
        "subject": " or ".join(subject for name, subject in subjects.items() if name in reads),
        "always_picks": not all(facts.head(task).labels_objects for task in facts.tasks),
        "reads_texts": "text" in reads,
        "reads_pictures": "image" in reads,
        "picture": _PICTURE,
        "tasks": list(tasks.values()),
        "stock": next((tasks[name] for name in facts.stock_tasks), None),
        "examples": [
            {"text": markdown_text(text), "answer": _harmless(_as_json(given))}
            for text, answers in facts.examples
            # A text alone is no input for some tasks.
            if (given := {task: answer for task, answer in answers.items() if answer is not None})
        ],
        "pictures": [
            {"file": picture_name(number), "answer": _harmless(_as_json(answers))}
            for number, (_, answers) in enumerate(facts.pictures)
        ],
        "self_contained": SELF_CONTAINED.format(model_id=model_id or facts.name) if facts.self_contained else "",
        "results": [
            {
                "task": cell_text(result.task),
                "dataset": markdown_text(result.dataset),
                "split": result.split,
                "rows": f"{result.rows:,}",
                "metric": markdown_text(result.metric),
                "value": f"{result.value:.3f}",
                "interval": "-" if result.low is None else f"{result.low:.3f} to {result.high:.3f}",
            }
            for result in facts.results
        ],
        "datasets": [
            {
                "name": _linked(data.name, f"datasets/{data.hub_id}") if data.hub_id else markdown_text(data.name),
                "rows": "a stream" if data.rows is None else f"{data.rows:,}",
                "share": data.share_text or f"{data.share:.1%}",
                "tasks": ", ".join(map(cell_text, data.tasks)),
            }
            for data in facts.datasets
        ],
        "encoder": _encoder(facts),
        "sampler": facts.sampler,
        "balancer": facts.balancer,
        "augmentation": facts.augmentation,
        "average": facts.average,
        "methods": facts.methods,
        "steps": facts.steps_text,
        "arguments": {
            key: markdown_text(json.dumps(redacted(value, key), ensure_ascii=False))
            for key, value in facts.arguments.items()
        },
        "versions": ", ".join(f"{name} {number}" for name, number in facts.versions().items()),
        "encoder_parameters": f"{facts.encoder_parameters:,}",
        "head_parameters": {cell_text(task): f"{count:,}" for task, count in facts.head_parameters.items()},
        "all_parameters": f"{parameters:,}",
        "separate_parameters": f"{separate:,}",
        "cost": _cost(len(facts.tasks), parameters, separate),
        "calibration": _calibration(facts),
        "max_length": f"the first {length}" if facts.max_length else length,
        "language": list(facts.language),
    }


def _calibration(facts: CardFacts) -> str:
    named = [cell_text(task.name) for task in facts.tasks if task.calibration_temperature is not None]
    if not named:
        return "Scores are the model's own probabilities. They were not calibrated."
    others = "" if len(named) == len(facts.tasks) else " Others were not calibrated."
    return f"Scores of {', '.join(named)} were calibrated, on rows like those it was trained for.{others}"


def _cost(tasks: int, parameters: int, separate: int) -> str:
    if tasks < 2:
        return "A further task adds a head alone."
    share = parameters / max(separate, 1)
    return f"One model for {tasks} tasks holds {share:.0%} of their parameters and runs the encoder once."


def _encoder(facts: CardFacts) -> str:
    name = f"[{facts.encoder}](https://hf.co/{facts.encoder})" if facts.encoder else "a model that is not on the Hub"
    languages = f"; its card names the languages {', '.join(facts.encoder_language)}" if facts.encoder_language else ""
    licence = markdown_text(facts.encoder_license or "not known")
    return f"{name} (family `{facts.encoder_family}`), its licence: {licence}{markdown_text(languages)}"


def _answer(task: TaskConfig, head: type[Head]) -> str:
    if not task.labels:
        return head.answer_phrase
    labels = [cell_text(label) for label in task.labels]
    if isinstance(task.thresholds, Sequence):
        labels = [f"{label} ({value:.3g})" for label, value in zip(labels, task.thresholds, strict=True)]
    shown = ", ".join(labels[:_SHOWN_LABELS])
    more = f" and {len(labels) - _SHOWN_LABELS} more" if len(labels) > _SHOWN_LABELS else ""
    if not task.is_multi_label:
        return f"{head.labels_phrase} {shown}{more}"
    if isinstance(task.thresholds, float):
        more += f", from a score of {task.thresholds:.3g} on"
    return f"any of {shown}{more}{', from the score in brackets on' if isinstance(task.thresholds, Sequence) else ''}"


def _as_json(answers: Mapping[str, Any]) -> str:
    """Return answers as JSON, a task a line, numbers to three places."""
    lines = [
        f"  {json.dumps(task)}: {json.dumps(_rounded(answer), ensure_ascii=False)}" for task, answer in answers.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _linked(name: str, place: str) -> str:
    return f"[{markdown_text(name)}](https://hf.co/{quote(place)})"


def _harmless(text: str) -> str:
    """Return a text that cannot begin an HTML comment, and so no section."""
    return text.replace("<!--", "&lt;!--")


def _file_name(task: str) -> str:
    return re.sub(r"[^\w.-]+", "-", task)
