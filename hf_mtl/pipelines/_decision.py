"""``pipeline("decision", model=...)`` and ``AutoModelForDecision``: a model's tasks as Transformers' typed questions.

Everything that touches this interface of Transformers, which is new in 5.23, lies in this file. Which question a task
answers: `hf_mtl_light.decisions`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForDecision
from transformers.decision import DecisionConfig, Question, parse_questions
from transformers.decision.modeling_utils import DecisionMixin, process_scores

from hf_mtl.configuration import MultiTaskConfig
from hf_mtl.data import longest_input
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.answering import AnswerOptions
from hf_mtl_light.decisions import decision_question
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import WordMap

__all__ = ["MultiTaskDecisionConfig", "MultiTaskModelForDecision", "register_decisions"]


class MultiTaskDecisionConfig(DecisionConfig):
    """Reads a text as the model was trained to read it: no prompt, no template, one pass for all questions."""

    #: Those of the model.
    model_config: MultiTaskConfig

    @classmethod
    def of_model(cls, config: MultiTaskConfig, found: DecisionConfig | None = None) -> MultiTaskDecisionConfig:
        """Return that of a model.

        Args:
            config: The model's config.
            found: Saved with it; its temperatures are taken.
        """
        # Transformers names options by letters, and so takes 26; a task may have more.
        most = max((len(task.labels or ()) for task in config.tasks), default=0)
        letters = [str(number) for number in range(most)]
        own = cls(labels={"choice": letters, "score": letters}, temperature=dict(found.temperature) if found else {})
        own.model_config = config
        return own

    def prepare_inputs(self, request: Any, processor: Any) -> list[tuple[dict[str, Any], list[Question]]]:
        """Return the tokens of a request's text [1, L] and its questions; what is too long is cut off.

        Raises:
            ValueError: If the state is no text, there are pictures, or a question is wrong.
        """
        if isinstance(request, str):
            request = json.loads(request)
        if not isinstance(request, Mapping) or not {"state", "questions"} <= set(request):
            raise UserError('A request is {"state": a text, "questions": {task: question}}, as a dict or its JSON.')
        if request.get("assets"):
            raise UserError("assets are not supported: the model reads texts. Leave them out.")
        state = request["state"]
        texts = [state] if isinstance(state, str) else []
        if isinstance(state, Mapping) and list(state) in (["text"], ["text", "text_pair"]):
            texts = list(state.values())
        if not texts or not all(isinstance(text, str) for text in texts):
            raise UserError(f"state must be a text, or an object with 'text' and 'text_pair'; found {state!r:.80}.")
        tokenizer = getattr(processor, "tokenizer", processor)
        length = longest_input(tokenizer, self.model_config.encoder_config)
        inputs = dict(tokenizer(*texts, truncation=True, max_length=length, return_tensors="pt"))
        # Where the heads of Transformers' own decision models read.
        inputs["marks"] = torch.tensor([inputs["input_ids"].shape[-1]])
        return [(inputs, parse_questions(self._with_options(request["questions"]), self))]

    def _with_options(self, questions: Any) -> Any:
        """Return questions with the options that Transformers wants named, where they are those of the task."""
        if not isinstance(questions, Mapping):
            return questions
        labels = {task.name: list(task.labels or ()) for task in self.model_config.tasks}
        filled = dict(questions)
        for name, question in questions.items():
            own = labels.get(name)
            if own and isinstance(question, Mapping) and question.get("criteria") is None:
                options = {"choice": dict.fromkeys(own), "score": own}.get(str(question.get("type")))
                filled[name] = {**question, "criteria": options}
        return filled


class MultiTaskModelForDecision(DecisionMixin, MultiTaskModel):
    """A `MultiTaskModel` that answers the typed questions of ``pipeline("decision")``.

    ``AutoModelForDecision.from_pretrained`` loads it from any saved model of this library.
    """

    @classmethod
    def checkpoint_config(cls, *args: Any, **kwargs: Any) -> tuple[None, None]:
        """Return that no head lies beside another model's weights: the config holds the heads."""
        return None, None

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a saved model: see `MultiTaskModel.from_pretrained`."""
        model = super().from_pretrained(*args, **kwargs)
        model.decision_config = MultiTaskDecisionConfig.of_model(model.config, model.decision_config)
        return model

    def post_init(self) -> None:
        """Finish construction."""
        super().post_init()
        self.decision_config = MultiTaskDecisionConfig.of_model(self.config)

    @torch.no_grad()
    def decide(
        self,
        input_ids: torch.Tensor,
        marks: torch.Tensor,
        decision_questions: list[Question],
        decision_config: DecisionConfig | None = None,
        **kwargs: Any,
    ) -> list[torch.Tensor]:
        """Return scores of each question's options [C], float32, whose softmax is their probabilities.

        Args:
            input_ids: [1, L] int64.
            marks: Not read.
            decision_questions: The questions.
            decision_config: The temperatures; ``None``: the model's own.
            kwargs: ``attention_mask`` and ``token_type_ids``, [1, L].

        Raises:
            UserError: If a question names no task, or not the options of its task.
        """
        tasks = {task.name: task for task in self.tasks}
        heads = {name: head.answering() for name, head in self.task_heads.items()}
        asked = [
            decision_question(question.name, question.type, _criteria(question), tasks, heads)
            for question in decision_questions
        ]
        for question in asked:
            if heads[question.task].reads == "image":
                raise UserError(
                    f"Question {question.name!r}: the task {question.task!r} reads pictures, and this pipeline gives "
                    "texts. hf-mtl serve answers such questions."
                )
        given = {"input_ids": input_ids, **kwargs}
        inputs = {name: given[name].to(self.device) for name in _INPUTS if name in given}
        logits = self.flat_logits(tasks=list({question.task: None for question in asked}), **inputs)
        found = {
            name: heads[name].answers(tasks[name], values.float().cpu().numpy(), [WordMap("", [], [])], _ALL_LABELS)[0]
            for name, values in logits.items()
        }
        scores = [
            _log_probabilities(question, own.answer(found[own.task]))
            for question, own in zip(decision_questions, asked, strict=True)
        ]
        return process_scores(decision_config or self.decision_config, input_ids, marks, decision_questions, scores)


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_ALL_LABELS = AnswerOptions(top_k="all")


def _criteria(question: Question) -> Any:
    """Return the options of a question in the form that it was asked in."""
    if question.type == "score":
        return question.descriptions
    return dict.fromkeys(question.options)


def _log_probabilities(question: Question, answer: Mapping[str, Any]) -> torch.Tensor:
    """Return the logarithms of a question's probabilities, in the order of its options: a softmax gives them back."""
    if question.type == "noul":
        named = {"true": answer["noul"], "false": 1 - answer["noul"]}
    else:
        named = answer["probabilities"]
    scores = torch.tensor([named[option] for option in question.options], dtype=torch.float32)
    return scores.clamp_min(torch.finfo(torch.float32).tiny).log()


def register_decisions() -> None:
    """Have ``AutoModelForDecision`` load the models of this library."""
    AutoModelForDecision.register(MultiTaskConfig, MultiTaskModelForDecision, exist_ok=True)
