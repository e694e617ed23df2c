"""What the trainer saves and shares: checkpoints and models are whole or not there."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from huggingface_hub import HfApi
from torch import nn
from transformers.trainer_utils import HubStrategy
from transformers.utils.hub import PushInProgress

from hf_mtl.balancers import Balancer
from hf_mtl.data import vocabulary_mark
from hf_mtl.hub import ARGUMENTS_FILE, shareable_arguments
from hf_mtl.model import JUDGED, RESULTS, TRAINING_LOG
from hf_mtl.model_card import write_card
from hf_mtl.samplers import DatasetSampler
from hf_mtl.samplers.plan import SamplingRules
from hf_mtl.trainer._calibration_card import write_calibration
from hf_mtl.trainer._card_facts import facts_of_training
from hf_mtl.trainer._card_fields import card_fields
from hf_mtl.trainer._checkpoint_files import (
    UNFINISHED,
    clear,
    failing_cleanly,
    put_in_place,
    rotate,
    without_secrets,
    write_results,
)
from hf_mtl.trainer._divergence import DivergenceError, check_finite_weights
from hf_mtl.trainer._pushes import make_repo, progress_message, report_failed, staged, staged_checkpoint, upload
from hf_mtl.trainer._resuming_trainer import ResumingTrainer
from hf_mtl.trainer._strategies import describe_strategies
from hf_mtl.trainer._types import check_types
from hf_mtl_light.folders import replace_files
from hf_mtl_light.outputs import write_text_whole

__all__ = ["SavingTrainer"]


class SavingTrainer(ResumingTrainer):
    """Transformers' trainer whose checkpoints are written aside and renamed when they are whole.

    A model card is written at every save; what is pushed is a clean copy, in one commit.
    """

    sampler: DatasetSampler
    sampling_rules: SamplingRules
    balancer: Balancer
    push_in_progress: Any
    #: The image processor of the model's encoder of pictures.
    image_processor: Any = None
    #: What `create_model_card` was given.
    _card_fields: dict[str, Any]
    #: Texts, by the name of their file, that are saved with the model, such as the recipe that it was trained by.
    saved_beside: Mapping[str, str] = MappingProxyType({})
    #: Whether a checkpoint is being written aside.
    _staging = False

    def summary(self) -> list[dict[str, Any]]:
        """Return what will be trained."""
        raise NotImplementedError

    def strategies(self) -> dict[str, str]:
        """Return sampler, balancer and, where there are some, methods, augmentation and average, with options."""
        return describe_strategies(self.sampler, self.sampling_rules, self.balancer, self.args)

    # Saving

    def _forget_scores(self, tasks: Collection[str] | None = None) -> None:
        super()._forget_scores(tasks)
        if tasks is None or tasks:
            self._own_results &= {"train_results.json", "trainer_state.json"}

    def _get_output_dir(self, trial: Any) -> str:
        folder: str = super()._get_output_dir(trial)
        return os.path.join(folder, UNFINISHED) if self._staging else folder

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # Transformers' own method does the writing, and `_get_output_dir` sends it aside. What it does besides belongs
        # after the rename and is done again here: it looks for the best checkpoint in that folder, deletes old ones
        # there (it finds none), and pushes from it.
        try:
            plain = self._plain_model
            check_finite_weights(plain, self.args, self.state.global_step, always=True)
        except DivergenceError as error:
            if getattr(self.args, "on_divergence", "stop") == "stop":
                raise
            self._warn(f"No checkpoint is saved. {error}")
            return
        run = Path(super()._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        whole, unfinished = run / name, run / UNFINISHED / name
        # On machines without a common disk each has its own folder.
        is_first_here = self.args.local_process_index == 0
        with failing_cleanly(f"Saving {name}", run, is_first_here):
            if is_first_here:
                clear(run)
            self.accelerator.wait_for_everyone()  # or a fast rank's file would be cleared away
            self._staging = True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = False
            best = os.path.join(run, f"checkpoint-{self.state.best_global_step}")
            if self.state.best_global_step == self.state.global_step or os.path.isdir(best):
                self.state.best_model_checkpoint = best
            if self.args.should_save:
                self.state.save_to_json(str(unfinished / "trainer_state.json"))
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                put_in_place(unfinished, whole)
            self.accelerator.wait_for_everyone()
            if is_first_here and unfinished.is_dir():  # a machine that writes but its random states
                put_in_place(unfinished, whole)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(whole))
        if self.args.should_save:
            rotate(run, self.args.save_total_limit, self.state.best_model_checkpoint)

    def save_metrics(self, split: str, metrics: Mapping[str, Any], combined: bool = True) -> None:
        """Write scores, each file whole or not at all: see ``transformers.Trainer.save_metrics``."""
        if self.is_world_process_zero():
            # Scores of a model that was trained since do not go beside those of the one before.
            joins = not self.state.global_step or "all_results.json" in self._own_results
            write_results(self._output, split, metrics, combined, joins)
            self._own_results |= {f"{split}_results.json", *(("all_results.json",) if combined else ())}

    def save_state(self) -> None:
        """Write the trainer's state, whole or not at all: see ``transformers.Trainer.save_state``."""
        if self.is_world_process_zero():
            text = json.dumps(dataclasses.asdict(self.state), indent=2, sort_keys=True)
            write_text_whole(self._output / "trainer_state.json", f"{text}\n")
            self._own_results |= {"trainer_state.json"}

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        check_finite_weights(self._plain_model, self.args, always=True)
        final = self._output if output_dir is None else Path(output_dir)
        if self._staging or not self.args.should_save:
            self._write_model(final, state_dict)
            return
        unfinished = final / UNFINISHED / "model"
        with failing_cleanly(f"Saving the model to {final}", final):
            clear(final)
            self._write_model(unfinished, state_dict)
            self._write_card(unfinished / "README.md", final)
            for name, text in self.saved_beside.items() if final == self._output else ():
                write_text_whole(unfinished / name, text)
            # What was measured of the model that lay there, and how it was trained, goes with it.
            of_old = {*RESULTS, *JUDGED, *(TRAINING_LOG if self.state.global_step else ())}
            replace_files(unfinished, final, of_old - self._own_results)
            clear(final)

    def _write_model(self, folder: Path, state_dict: dict[str, Any] | None) -> None:
        """Write model, tokenizer, image processor and training arguments, without the token."""
        tokenizer = self.data_collator.tokenizer
        self._plain_model.config.vocabulary = None if tokenizer is None else vocabulary_mark(tokenizer)
        with without_secrets(self.args):
            super()._save(str(folder), state_dict)
        if self.args.should_save:
            if self.image_processor is not None:
                self.image_processor.save_pretrained(folder)
            text = json.dumps(shareable_arguments(self.args), indent=2, sort_keys=True)
            write_text_whole(folder / ARGUMENTS_FILE, f"{text}\n")

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save model, tokenizer and card: see ``transformers.Trainer.save_model``."""
        check_types(output_dir=output_dir)
        with self._averages.held_by(self._plain_model):
            super().save_model(output_dir, _internal_call)

    # Sharing

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
        """Write the model card, or update the existing one; what a person wrote into it stays.

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
            TypeError: If an argument has another type.
            ValueError: If one is given that is refused, or a dataset is named that does not exist.
        """
        given: dict[str, Any] = {"language": language, "license": license, "tags": tags, "model_name": model_name}
        given |= {"finetuned_from": finetuned_from, "tasks": tasks, "dataset_tags": dataset_tags, "dataset": dataset}
        given |= {"dataset_args": dataset_args, "dataset_ids": dataset_ids}
        self._card_fields.update(card_fields([item["dataset"] for item in self.summary()], given))
        check_types(output_dir=output_dir)
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
            facts = facts_of_training(
                self._plain_model,
                name,
                self._card_fields,
                self.args,
                self.data_collator,
                self.summary(),
                self.strategies(),
                (self.state.global_step, self._kept_step),
                self._scored_rows,
            )
            write_card(path, facts, earlier=folder / "README.md")
        write_calibration(path, self._plain_model, self.calibrated_tasks)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository: see ``transformers.Trainer.init_hf_repo``."""
        if not self.is_world_process_zero():
            return
        self.hub_model_id = make_repo(self.args, token, private)  # type: ignore[assignment]  # as there
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
            self_contained: Whether the modelling code is included: see `hf_mtl.MultiTaskModel.save_pretrained`.
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
        model_id = str(self.hub_model_id)
        copy = staged(self._output, self._output, model_id, self_contained=self_contained)
        given = (copy, model_id, self.args, commit_message, token, revision)
        return upload(*given) if blocking else HfApi().run_as_future(upload, *given)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        # The upload continues in the background and reads the folder by its name, so it waits for the final one.
        if not self._staging:
            self._push_checkpoint(Path(checkpoint_folder))

    def _push_checkpoint(self, checkpoint: Path) -> None:
        args = self.args
        if not self.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
            return
        if not args.hub_always_push and self.push_in_progress is not None and not self.push_in_progress.is_done():
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.create_model_card()
        copy = staged_checkpoint(checkpoint, args, str(self.hub_model_id))
        job = HfApi().run_as_future(upload, copy, str(self.hub_model_id), args, progress_message(args, self.state))
        if self.push_in_progress is None or self.push_in_progress.is_done():
            report_failed(self.push_in_progress)
            self.push_in_progress = PushInProgress([job])  # type: ignore[arg-type]  # its annotation lacks the list
        else:
            self.push_in_progress.jobs.append(job)

    def _finish_current_push(self) -> None:
        super()._finish_current_push()
        report_failed(getattr(self, "push_in_progress", None))
