"""The page, with Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_mtl.demo._values import Kind, applies, kinds_of, shown
from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["make_demo"]

_EXAMPLES = ("Play a good song by Anna in Rome!", "The film was not very good.")


def make_demo(backend: Any, name: str, examples: Sequence[str] = _EXAMPLES) -> Any:
    """Return a page on which a model answers a text, a pair or a picture.

    Args:
        backend: `hf_mtl.MultiTaskPipeline` or `hf_mtl_light.OnnxPredictor`.
        name: The model's name, the title.
        examples: Texts to click on.

    Returns:
        A ``gradio.Blocks``; its ``launch()`` serves it.

    Raises:
        ImportError: If Gradio is missing.
    """
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError(f"A page to try a model needs {error.name}: pip install 'hf-mtl[demo-page]'") from error

    answerer = backend.answerer()
    kinds = kinds_of(answerer)
    reads = {name: answerer.heads[name].reads for name in kinds}
    has_text = any(reading != "image" for reading in reads.values())
    has_picture = any(reading in ("image", "joint") for reading in reads.values())
    names_labels = any("top_k" in answerer.heads[n].answer_options(t) for n, t in answerer.tasks.items())
    options = {"top_k": None} if names_labels else {}

    def answer(text: str | None, pair: str | None, picture: Any) -> list[Any]:
        row: dict[str, Any] = {"text": text} if text else {}
        if text and pair:
            row["text_pair"] = pair
        if picture is not None:
            row["image"] = picture
        asked = [name for name in kinds if applies(reads[name], text, picture)]
        if not asked:
            return [None] * len(kinds)
        own = options if any("top_k" in answerer.heads[n].answer_options(answerer.tasks[n]) for n in asked) else {}
        try:
            found = backend(row, tasks=asked, **own)
        except UserError as error:
            raise gradio.Error(str(error)) from error
        return [shown(kind, found.get(name), text or "", picture) for name, kind in kinds.items()]

    page = gradio.Blocks(title=name, analytics_enabled=False)
    with page:
        # A path or a name is no markup.
        gradio.Markdown(f"# {_plain(name)}")
        with gradio.Row(equal_height=False):
            with gradio.Column():
                text = gradio.Textbox(label="Text", lines=3, visible=has_text, autofocus=True)
                pair = gradio.Textbox(label="Second text, for tasks of pairs", visible=has_text)
                picture = gradio.Image(label="Picture", type="pil", visible=has_picture)
                button = gradio.Button("Answer", variant="primary")
                if has_text and examples:
                    gradio.Examples([[example] for example in examples], [text], cache_examples=False)
            with gradio.Column():
                outputs = [_component(gradio, name, kind) for name, kind in kinds.items()]
        inputs = [text, pair, picture]
        button.click(answer, inputs, outputs, api_name="answer")
        text.submit(answer, inputs, outputs, api_name=False)
    return page


def _component(gradio: Any, name: str, kind: Kind) -> Any:
    """Return what shows the answers of a task."""
    if kind == "bars":
        return gradio.Label(label=name, num_top_classes=8)
    if kind == "entities":
        return gradio.HighlightedText(label=name, combine_adjacent=False, show_legend=False)
    if kind == "boxes":
        return gradio.AnnotatedImage(label=name)
    return gradio.JSON(label=name)


def _plain(name: str) -> str:
    """Return a name as Markdown shows it letter by letter."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()<>#+-.!|~" else letter for letter in name)
