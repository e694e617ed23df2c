"""The pipeline: Transformers' interface before `hf_mtl.inference.Answerer`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from transformers import AutoImageProcessor, Pipeline

from hf_mtl._names import listed, nearest
from hf_mtl.inference import Answerer, make_answerer
from hf_mtl.model import MultiTaskModel, model_replaced
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import RecentAnswerers, answer_inputs, options_by_task

__all__ = ["MultiTaskPipeline"]

#: Arguments of `make_answerer`, and those of `AnswerOptions`.
_RUNNING = ("tasks", "max_length", "stride", "batch_tokens", "batch_size", "look_ahead", "precision")
#: Of Transformers' pipelines: refused, where they ask for something.
_OF_OTHER_PIPELINES = ("feature_extractor", "video_processor", "processor", "binary_output", "num_workers")
_ASKING = ("top_k", "thresholds", "aggregation_strategy", "ignore_labels", "coverage")


class MultiTaskPipeline(Pipeline):
    """Answers every task of a `MultiTaskModel` for texts and pictures, in one pass of each encoder.

    ``transformers.pipeline("multi-task", model=...)`` builds it. All arguments but ``model``, ``tokenizer`` and
    ``device`` are taken by each call, too, for that call alone.

    Args:
        model: The model.
        tokenizer: Its fast tokenizer; a model of pictures alone needs none.
        image_processor: The image processor of its encoder of pictures; ``None``: the one saved with the model.
        tasks: Names of the tasks to answer; ``None`` answers all.
        top_k: How many labels to name, best first, as in the text-classification pipeline: ``None`` names all. Left
            out, a single-label task gives its one answer and a multi-label task the labels above their thresholds.
        thresholds: From which score on a multi-label task names a label: a number, or ``{task: number}``, or ``{task:
            {label: number}}``. Left out: 0.5.
        aggregation_strategy: How tokens become entities, as in the token-classification pipeline: ``"none"``,
            ``"simple"``, ``"first"``, ``"average"`` or ``"max"``. ``None`` tags whole words and joins them by the
            task's own tag scheme, as metrics read them.
        ignore_labels: With a strategy: tags, or entity types, that are left out.
        coverage: Adds the ``set`` of labels that holds the truth in such a part of rows, to tasks with one label: one
            that they were calibrated for.
        stride: Tokens that the windows of a long text share; ``None`` cuts off what does not fit into one.
        max_length: The most tokens of a window; ``None`` is the most the model takes.
        batch_tokens: The most tokens of one pass.
        batch_size: The most windows of one pass; ``None``: any number.
        look_ahead: Texts that are read before the first of them is answered.
        precision: ``"float32"``, or ``"bfloat16"`` for autocast.
        kwargs: Of Transformers' own pipelines, such as ``device``.

    Raises:
        ValueError: If an argument is unknown or out of its range, or no task that is asked reads it.
    """

    # Transformers declares them as None and reads them as booleans.
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    # Loaded where there is one: a model of pictures alone has none.
    _load_tokenizer = None
    default_input_names = "text"  # type: ignore[assignment]

    model: MultiTaskModel
    tokenizer: Any

    def __init__(
        self, model: MultiTaskModel, tokenizer: Any = None, image_processor: Any = None, **kwargs: Any
    ) -> None:
        if not isinstance(model, MultiTaskModel):
            raise UserError(
                f"The pipeline 'multi-task' needs a MultiTaskModel, found a {type(model).__name__}. "
                "MultiTaskModel.from_encoder(name, tasks) puts heads on a plain encoder."
            )
        for name in _OF_OTHER_PIPELINES:
            if kwargs.get(name):
                raise UserError(
                    f"{name} is not supported: texts are read by the tokenizer, in this process. Leave it out."
                )
        own = {name: kwargs.pop(name) for name in (*_RUNNING, *_ASKING) if name in kwargs}
        if image_processor is None and "image" in model.encoders:
            image_processor = AutoImageProcessor.from_pretrained(model.config.name_or_path)
        super().__init__(model, tokenizer, image_processor=image_processor, **kwargs)
        self._arguments = own
        self._answerers = RecentAnswerers()
        self.answerer()  # a wrong argument is found now

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # Transformers': *args
        """Answer texts and pictures.

        Args:
            inputs: A text; a pair, as ``{"text": ..., "text_pair": ...}`` or a tuple of two; words, as ``{"tokens":
                [...]}``; a picture, of Pillow, as a `pathlib.Path` or as ``{"image": path}``, for a model of pictures
                alone also as a path that is a string; a list of any of them; or what yields them: a generator, a
                ``KeyDataset``, a dataset.
            kwargs: Any argument of the pipeline, for this call.

        Returns:
            A dict with one entry a task. For a list, a list of them. For all else an iterator, which reads
            ``look_ahead`` texts at a time and keeps no more.

        Raises:
            ValueError: If an input is none of these; the message names its number.
        """
        return answer_inputs(self.answerer(**kwargs), inputs)

    def answerer(self, **given: Any) -> Answerer:
        """Return what answers rows with these arguments, those of a call; threads may share it."""
        known = (*_RUNNING, *_ASKING)
        for name in given:
            if name == "num_workers" and not given[name]:
                continue  # as Transformers' pipelines take it: no process besides this one
            if name not in known:
                raise UserError(f"Unknown argument {name!r}.{nearest(name, known)} Arguments: {listed(known)}.")
        arguments = {**self._arguments, **given}
        if isinstance(arguments.get("tasks"), str):
            arguments["tasks"] = [arguments["tasks"]]
        # What the pipeline was built with holds for the calls whose tasks read it.
        defaults = [name for name in self._arguments if given and name not in given]

        def make() -> Answerer:
            running = {name: arguments[name] for name in _RUNNING if arguments.get(name) is not None}
            asking = {name: arguments[name] for name in _ASKING if name in arguments}
            options = options_by_task([task.name for task in self.model.tasks], **asking)
            running["image_processor"] = self.image_processor
            return make_answerer(self.model, self.tokenizer, **running, options=options, defaults=defaults)

        return self._answerers.get({**arguments, "defaults": defaults}, make)

    def save_pretrained(self, save_directory: str | PathLike[str], **kwargs: Any) -> None:
        """Write the model, its tokenizer and its image processor; the pipeline itself comes with hf_mtl."""
        if kwargs.get("push_to_hub"):
            kwargs.setdefault("repo_id", Path(save_directory).absolute().name)
        with model_replaced(Path(save_directory), self.model) as new:
            for saved in (self.model, self.tokenizer, self.image_processor):
                if saved is not None:
                    saved.save_pretrained(new, **kwargs)

    # The steps of Transformers' pipelines, for those who call them one by one.

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if parameters:
            known = (*_RUNNING, *_ASKING)
            name = next(iter(parameters))
            raise UserError(f"Unknown argument {name!r}.{nearest(name, known)} Arguments: {listed(known)}.")
        return {}, {}, {}

    def preprocess(self, input_: Any, **parameters: Any) -> Any:
        """Return the row that an input is."""
        return self.answerer().read(input_, 0)

    def _forward(self, input_tensors: Any, **parameters: Any) -> Any:
        return self.answerer(**parameters).answer([input_tensors])[0]

    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        """Return the answers as they are."""
        return model_outputs
