"""The part of the trainer that shares a model: its card at every save, pushes that are whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, HfApi
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils import logging
from transformers.utils.hub import PushInProgress

from hf_mtl.balancers import Balancer
from hf_mtl.data import vocabulary_mark
from hf_mtl.hub import ARGUMENTS_FILE, add_code, clean_copy, create_repo, push_folder, shareable_arguments
from hf_mtl.inference import predict
from hf_mtl.model_card import CardFacts, DatasetFacts, ResultFacts, address_card, write_card
from hf_mtl.samplers import DatasetSampler
from hf_mtl.samplers.plan import SamplingRules
from hf_mtl.trainer._calibration_card import write_calibration
from hf_mtl.trainer._card_pictures import answered_pictures
from hf_mtl.trainer._strategies import describe_strategies
from hf_mtl.trainer._thresholds import ThresholdTrainer
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import NotFiniteError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["PublishingTrainer"]

logger = logging.get_logger(__name__)

#: Within the output folder: what is being uploaded. Checkpoints come and go meanwhile.
_PUSHED = "_pushed"
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


class PublishingTrainer(ThresholdTrainer):
    """Transformers' trainer that writes model cards and pushes clean copies, each in one commit."""

    sampler: DatasetSampler
    sampling_rules: SamplingRules
    balancer: Balancer
    push_in_progress: Any
    #: The image processor of the model's encoder of pictures.
    image_processor: Any = None
    #: What `create_model_card` was given.
    _card_fields: dict[str, Any]

    def summary(self) -> list[dict[str, Any]]:
        """Return what will be trained."""
        raise NotImplementedError

    def strategies(self) -> dict[str, str]:
        """Return sampler, balancer and, where there are some, methods, augmentation and average, with options."""
        return describe_strategies(self.sampler, self.sampling_rules, self.balancer, self.args)

    # The card

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        tokenizer = self.data_collator.tokenizer
        self._plain_model.config.vocabulary = None if tokenizer is None else vocabulary_mark(tokenizer)
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            folder = Path(output_dir if output_dir is not None else self.args.output_dir or "")
            if self.image_processor is not None:
                self.image_processor.save_pretrained(folder)
            text = json.dumps(shareable_arguments(self.args), indent=2, sort_keys=True)
            write_text_whole(folder / ARGUMENTS_FILE, f"{text}\n")

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save model, tokenizer and card: see ``transformers.Trainer.save_model``."""
        with self._averages.held_by(self._plain_model):
            super().save_model(output_dir, _internal_call)

    def create_model_card(
        self,
        language: str | list[str] | None = None,
        license: str | None = None,  # the name that Transformers has
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
        *,
        dataset_ids: Mapping[str, str] | None = None,
        output_dir: str | None = None,
    ) -> None:
        """Write the model card, or bring the one that there is up to date; what a person wrote into it stays.

        Later saves keep to what was said here.

        Args:
            language: Codes of the languages that the model understands.
            license: The model's licence; by default none is claimed.
            tags: Tags for the Hub.
            model_name: The model's name; by default the output folder's.
            finetuned_from: The encoder's id on the Hub, where it was loaded from a folder.
            tasks: Refused, as the next three: of Transformers' card, for which one list is enough. The tasks, the
                datasets and the results of each are known.
            dataset_tags: Refused: ``dataset_ids`` says which dataset has which id.
            dataset: Refused: ``dataset_ids`` says so.
            dataset_args: Refused: results are listed by dataset and split.
            dataset_ids: For a dataset of the training its id on the Hub.
            output_dir: The folder, in place of the one of the arguments.

        Raises:
            ValueError: If an argument is given that is refused.
        """
        refused = {"tasks": tasks, "dataset_tags": dataset_tags, "dataset": dataset, "dataset_args": dataset_args}
        for key, value in refused.items():
            if value is not None:
                raise UserError(
                    f"create_model_card({key}=...): the card names each task and dataset itself. Leave it out; "
                    "give the datasets' ids on the Hub as dataset_ids={'name of the dataset': 'owner/id'}."
                )
        given: dict[str, Any] = {"language": language, "license": license, "tags": tags, "encoder": finetuned_from}
        for name in ("language", "tags"):
            given[name] = [given[name]] if isinstance(given[name], str) else given[name]
        given |= {"model_name": model_name, "dataset_ids": dataset_ids}
        self._card_fields.update({name: value for name, value in given.items() if value is not None})
        folder = Path(output_dir if output_dir is not None else self.args.output_dir or "")
        folder.mkdir(parents=True, exist_ok=True)
        self._write_card(folder / "README.md", folder)

    def _write_card(self, path: Path, folder: Path) -> None:
        """Write the card of a model that is to lie in a folder, on the first process alone."""
        # Sharded models cannot answer examples on one process alone.
        if not self.is_world_process_zero() or self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return
        name = self._card_fields.get("model_name") or folder.absolute().name
        with self._averages.held_by(self._plain_model):
            write_card(path, self._card_facts(name), earlier=folder / "README.md")
        write_calibration(path, self._plain_model, self.calibrated_tasks)

    def _card_facts(self, name: str) -> CardFacts:
        ids = self._card_fields.get("dataset_ids", {})
        given = {key: value for key, value in self._card_fields.items() if key not in ("model_name", "dataset_ids")}
        shared = {name: getattr(self.args, name) for name in _ON_CARD} | shareable_arguments(self.args)
        if self.args.max_steps > 0:
            del shared["num_train_epochs"]  # it said nothing
        return CardFacts.of_model(
            self._plain_model,
            name,
            max_length=self.data_collator.max_length,
            datasets=[
                DatasetFacts(
                    item["dataset"],
                    item["rows"],
                    item["share"],
                    [task["name"] for task in item["tasks"]],
                    ids.get(item["dataset"]),
                )
                for item in self.summary()
            ],
            **self.strategies(),
            arguments={key: value for key, value in shared.items() if not key.startswith(_NOT_ON_CARD)},
            steps=self.state.global_step or None,
            results=[
                ResultFacts(task, dataset, _SPLITS.get(prefix, prefix), hub_id=ids.get(dataset), **vars(scored))
                for prefix, tasks in self._scored_rows.items()
                for task, datasets in tasks.items()
                for dataset, scored in datasets.items()
            ],
            examples=self._examples(),
            pictures=answered_pictures(self._plain_model, self.data_collator, self.args.card_pictures or ()),
            **given,
        )

    def _examples(self) -> list[tuple[str, dict[str, Any]]]:
        model, texts = self._plain_model, self.args.card_examples or [_EXAMPLE]
        if self.data_collator.tokenizer is None:
            return []
        was_training = model.training
        try:
            answers = list(predict(model, self.data_collator.tokenizer, texts, max_length=self.args.max_length))
        except NotFiniteError:  # the card says nothing then; an evaluation does
            return []
        finally:
            model.train(was_training)
        return list(zip(texts, answers, strict=True))

    # Pushing

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository: see ``transformers.Trainer.init_hf_repo``."""
        if not self.is_world_process_zero():
            return
        args = self.args
        name = args.hub_model_id or Path(args.output_dir or "").absolute().name
        private = private if private is not None else args.hub_private_repo
        token = token if token is not None else args.hub_token
        self.hub_model_id = create_repo(name, private=private, token=token)  # type: ignore[assignment]  # as there
        self.push_in_progress = None

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        self_contained: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Save the model and upload it with tokenizer, card, training arguments and results, in one commit.

        What else lies in the output folder stays there, and names of files and folders of this machine do, too.

        Args:
            commit_message: The commit's first line.
            blocking: Whether to wait for the upload.
            token: The token, in place of ``args.hub_token``.
            revision: The branch, in place of ``args.hub_revision``; made if there is none.
            private: Whether a new repository is private, in place of ``args.hub_private_repo``.
            self_contained: Whether the modelling code goes along: see `hf_mtl.MultiTaskModel.save_pretrained`.
            kwargs: Arguments of `create_model_card`.

        Returns:
            The commit, or a ``Future`` of it if not ``blocking``; ``None`` on other processes than the first.

        Raises:
            OSError: If the Hub refuses, or the connection stays broken.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = token if token is not None else self.args.hub_token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)
        self.create_model_card(**kwargs)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        staged = self._stage(Path(self.args.output_dir or ""), self_contained=self_contained)
        if blocking:
            return self._upload(staged, commit_message, token, revision)
        return HfApi().run_as_future(self._upload, staged, commit_message, token, revision)

    def _stage(self, folder: Path, *, self_contained: bool = False) -> Path:
        """Return a clean copy of a model's folder, with the names that it will be loaded by."""
        output = Path(self.args.output_dir or "")
        (output / _PUSHED).mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=output / _PUSHED))
        clean_copy(folder, staged)
        if self_contained:
            add_code(staged)
        address_card(staged / "README.md", str(self.hub_model_id), self_contained=self_contained)
        return staged

    def _upload(
        self, staged: Path, message: str | None, token: str | None = None, revision: str | None = None
    ) -> CommitInfo:
        try:
            return push_folder(
                staged,
                str(self.hub_model_id),
                revision=revision if revision is not None else self.args.hub_revision,
                token=token if token is not None else self.args.hub_token,
                message=message or "Upload model",
            )
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        args, checkpoint = self.args, Path(checkpoint_folder)
        if not self.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
            return
        if not args.hub_always_push and self.push_in_progress is not None and not self.push_in_progress.is_done():
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.create_model_card()
        # Linked into a separate folder: the checkpoint may be deleted while it is uploaded, and the output folder
        # keeps the model that was saved there.
        staged = self._stage(checkpoint)
        card = Path(args.output_dir or "") / "README.md"
        if card.is_file():
            shutil.copyfile(card, staged / card.name)
            address_card(staged / card.name, str(self.hub_model_id))
        if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            name = "last-checkpoint" if args.hub_strategy == HubStrategy.CHECKPOINT else checkpoint.name
            clean_copy(checkpoint, staged / name, with_training_state=True)
        step = f"epoch {int(self.state.epoch or 0)}"
        if args.save_strategy == SaveStrategy.STEPS:
            step = f"step {self.state.global_step}"
        job = HfApi().run_as_future(self._upload, staged, f"Training in progress, {step}")
        if self.push_in_progress is None or self.push_in_progress.is_done():
            self._report_failed_pushes()
            self.push_in_progress = PushInProgress([job])  # type: ignore[arg-type]  # its annotation lacks the list
        else:
            self.push_in_progress.jobs.append(job)

    def _finish_current_push(self) -> None:
        super()._finish_current_push()
        self._report_failed_pushes()

    def _report_failed_pushes(self) -> None:
        """Say which uploads in the background came to nothing; the training continues without them."""
        progress = getattr(self, "push_in_progress", None)
        for job in progress.jobs if progress is not None else ():
            error = job.exception() if job.done() and not job.cancelled() else None
            if error is not None:
                logger.warning(f"A push during the training failed: {error}")
        if progress is not None:
            progress.jobs = [job for job in progress.jobs if not job.done()]
