import json
import re
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from hf_mtl import MultiTaskModel
from hf_mtl.trainer._checkpoint_files import UNFINISHED
from hf_mtl.trainer._whole import fault_of

LIMIT = 8  # steps of the short trainings here


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def trained(build, out):
    """A finished training with checkpoints 2, 4, 6 and 8."""

    def trained(**kwargs):
        trainer = build(**{"max_steps": LIMIT, "save_steps": 2, **kwargs})
        trainer.train()
        return trainer

    return trained


def names(out):
    return sorted(path.name for path in out.iterdir() if path.name.startswith(("checkpoint", "_")))


def cut(path, bytes_left=None):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 if bytes_left is None else bytes_left])


def same_weights(one, two):
    pairs = zip(one.named_parameters(), two.parameters(), strict=True)
    return [name for (name, a), b in pairs if not torch.equal(a, b)] == []


@contextmanager
def file_size_limit(size):
    """Let every write beyond a size fail, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Writing


def test_checkpoint_bears_its_name_only_when_it_is_whole(build, out, monkeypatch):
    trainer = build(max_steps=2, save_steps=2)
    seen = {}

    def spy(original, method):
        def spied(*args, **kwargs):
            original(*args, **kwargs)
            seen[method] = (out / "checkpoint-2").exists()

        return spied

    for method in ("_save", "_save_optimizer_and_scheduler", "_save_rng_state"):
        monkeypatch.setattr(trainer, method, spy(getattr(trainer, method), method))
    trainer.train()
    assert seen == {"_save": False, "_save_optimizer_and_scheduler": False, "_save_rng_state": False}
    assert names(out) == ["checkpoint-2"]
    assert fault_of(out / "checkpoint-2") is None


class LimitWrites(TrainerCallback):
    """Lets writes fail from a step on: the limit stands from the step's beginning to the error."""

    def __init__(self, step, size):
        self.step, self.size = step, size

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize(("size", "what"), [(20_000, "model"), (150_000, "optimizer")])
def test_failed_write_leaves_the_last_good_checkpoint_and_says_so(build, out, size, what):
    trainer = build(max_steps=4, save_steps=2, save_total_limit=1, trainer_kwargs={"callbacks": [LimitWrites(4, size)]})
    with file_size_limit(resource.RLIM_INFINITY), pytest.raises(OSError, match=r"checkpoint-4 failed: .*checkpoint-2"):
        trainer.train()
    assert names(out) == ["checkpoint-2"]
    assert fault_of(out / "checkpoint-2") is None
    weights = (out / "checkpoint-2" / "model.safetensors").stat().st_size
    assert (size < weights) == (what == "model"), "the limit does not hit the file that the test is about"
    build(max_steps=4, save_steps=2).train(resume_from_checkpoint=True)
    assert names(out) == ["checkpoint-2", "checkpoint-4"]


def test_interruption_while_saving_is_passed_on_and_leaves_nothing_behind(build, out, monkeypatch):
    trainer = build(max_steps=4, save_steps=2)

    def interrupted(folder):
        if trainer.state.global_step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_save_scaler", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert names(out) == ["checkpoint-2"]


def test_old_checkpoints_go_only_after_the_new_one_is_in_place(trained, out, monkeypatch):
    removed = []
    original = shutil.rmtree

    def rmtree(path, *args, **kwargs):
        if re.fullmatch(r"checkpoint-\d+", Path(path).name):
            removed.append((Path(path).name, names(out)))
        original(path, *args, **kwargs)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    trained(save_total_limit=1)
    assert dict(removed) == {f"checkpoint-{n}": [UNFINISHED, f"checkpoint-{n + 2}"] for n in (2, 4, 6)}
    assert names(out) == ["checkpoint-8"]


def test_best_checkpoint_is_kept_found_and_loaded(trained, out):
    scores = iter([0.1, 0.9, 0.3, 0.2])

    class Scores(TrainerCallback):
        """Gives the second evaluation the best score."""

        def on_evaluate(self, args, state, control, metrics, **kwargs):
            metrics["eval_score"] = next(scores)

    trainer = trained(
        eval_strategy="steps",
        eval_steps=2,
        load_best_model_at_end=True,
        save_total_limit=2,
        trainer_kwargs={"callbacks": [Scores()]},
    )
    best = out / "checkpoint-4"
    assert names(out) == ["checkpoint-4", "checkpoint-8"]
    for name in ("checkpoint-4", "checkpoint-8"):
        state = json.loads((out / name / "trainer_state.json").read_text())
        assert (state["best_model_checkpoint"], state["best_metric"]) == (str(best), 0.9)
    assert same_weights(MultiTaskModel.from_pretrained(best), trainer.model)


def test_second_training_into_the_same_folder_replaces_its_checkpoints(trained, out):
    trained(learning_rate=0.0)
    before = (out / "checkpoint-8" / "model.safetensors").read_bytes()
    trained(learning_rate=1e-3)
    assert (out / "checkpoint-8" / "model.safetensors").read_bytes() != before
    assert names(out) == [f"checkpoint-{n}" for n in (2, 4, 6, 8)]


def test_kill_between_the_two_renames_of_a_replacement_loses_nothing(trained, build, out):
    trained()
    (out / "checkpoint-8" / "mark.txt").write_text("of the one that was to be replaced")
    aside = out / UNFINISHED / "replaced"
    aside.mkdir(parents=True)
    (out / "checkpoint-8").rename(aside / "checkpoint-8")
    build(max_steps=LIMIT, save_steps=2).train(resume_from_checkpoint=True)
    assert names(out) == [f"checkpoint-{n}" for n in (2, 4, 6, 8)]
    assert (out / "checkpoint-8" / "mark.txt").exists(), "it was trained anew"


def test_checkpoint_without_optimizer_is_whole(trained, build, out):
    trained(save_only_model=True)
    assert fault_of(out / "checkpoint-8") is None
    with pytest.warns(UserWarning, match=r"checkpoint-8 has no rng_state.pth.*save_only_model"):
        build(max_steps=LIMIT).train(resume_from_checkpoint=True)


def test_push_waits_for_the_final_name(build, out, monkeypatch):
    pushed = []
    monkeypatch.setattr("hf_mtl.trainer._saving.SavingTrainer.init_hf_repo", lambda *args, **kwargs: None)
    monkeypatch.setattr("hf_mtl.trainer._saving.SavingTrainer._finish_current_push", lambda self: None)
    monkeypatch.setattr(
        "hf_mtl.trainer._saving.SavingTrainer._push_checkpoint",
        lambda self, folder: pushed.append((str(folder), fault_of(folder))),
    )
    build(max_steps=2, save_steps=2, push_to_hub=True, hub_strategy="checkpoint").train()
    assert pushed == [(str(out / "checkpoint-2"), None)]


# The final model


def test_failed_final_save_leaves_the_model_that_was_there(build, tmp_path):
    trainer = build()
    final = tmp_path / "final"
    trainer.save_model(str(final))
    before = {path.name: path.read_bytes() for path in final.iterdir()}
    with torch.no_grad():
        next(trainer.model.parameters()).add_(1)
    with file_size_limit(20_000), pytest.raises(OSError, match=r"Saving the model to .* failed"):
        trainer.save_model(str(final))
    assert {path.name: path.read_bytes() for path in final.iterdir()} == before


def test_final_save_replaces_files_by_renaming(build, tmp_path):
    trainer = build()
    final = tmp_path / "final"
    trainer.save_model(str(final))
    (final / "notes.txt").write_text("mine")
    (final / "model-00001-of-00002.safetensors").write_bytes(b"of an earlier model")
    held = (final / "model.safetensors").open("rb")
    old = held.read()
    with torch.no_grad():
        next(trainer.model.parameters()).add_(1)
    trainer.save_model(str(final))
    held.seek(0)
    with held:
        assert held.read() == old, "the old file was written over in place"
    assert same_weights(MultiTaskModel.from_pretrained(final), trainer.model)
    assert (final / "notes.txt").read_text() == "mine"
    assert not (final / "model-00001-of-00002.safetensors").exists()
    assert not (final / UNFINISHED).exists()


# Recognising what is cut


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tokenizer):
    """One whole checkpoint; tests copy it."""
    from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments
    from tests.encoders import tiny_encoder
    from tests.trainers import TASKS, make_data

    out = tmp_path_factory.mktemp("whole")
    args = MultiTaskTrainingArguments(
        str(out), use_cpu=True, precision="float32", disable_tqdm=True, max_steps=1, save_steps=1
    )
    MultiTaskTrainer(MultiTaskModel.from_encoder(tiny_encoder(), TASKS), args, make_data(), None, tokenizer).train()
    return out / "checkpoint-1"


@pytest.fixture
def copied(checkpoint, tmp_path):
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint-1"))


@pytest.mark.parametrize(
    "file",
    ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "config.json"],
)
@pytest.mark.parametrize("left", [0, 7, 0.5, -1])
def test_file_cut_anywhere_is_recognised_by_name(copied, file, left):
    size = (copied / file).stat().st_size
    cut(copied / file, int(left * size) if left == 0.5 else size - 2 if left == -1 else left)
    assert re.match(rf"{file} (is cut|has no readable header)", fault_of(copied))


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"])
def test_missing_file_is_recognised(copied, file):
    (copied / file).unlink()
    assert fault_of(copied) is not None


def test_mark_of_an_unfinished_save_before_preemption_is_recognised(copied):
    (copied / "checkpoint-is-incomplete.txt").touch()
    assert "checkpoint-is-incomplete.txt" in fault_of(copied)


def test_missing_and_cut_shards_are_recognised(copied):
    model = MultiTaskModel.from_pretrained(copied)
    (copied / "model.safetensors").unlink()
    model.save_pretrained(copied, max_shard_size="50KB")
    shards = sorted(copied.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert fault_of(copied) is None
    cut(shards[0])
    assert fault_of(copied).startswith(f"{shards[0].name} is cut")
    shards[0].unlink()
    assert fault_of(copied) == f"model.safetensors.index.json names {shards[0].name}, which is missing"


# Resuming


def test_resuming_a_finished_training_trains_no_step_more(trained, build, out):
    whole = trained(lr_scheduler_type="constant")
    resumed = build(max_steps=LIMIT, lr_scheduler_type="constant")
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == LIMIT
    assert same_weights(whole.model, resumed.model)


def test_newest_whole_checkpoint_is_taken_and_cut_ones_are_named(trained, build, out):
    whole = trained()
    cut(out / "checkpoint-8" / "model.safetensors")
    (out / "checkpoint-6" / "trainer_state.json").unlink()
    (out / UNFINISHED / "checkpoint-10").mkdir(parents=True)
    resumed = build(max_steps=LIMIT, save_steps=2)
    with pytest.warns(UserWarning, match=r"Resuming from checkpoint-4\. Passed over.*checkpoint-6 .*checkpoint-8 "):
        resumed.train(resume_from_checkpoint=True)
    assert same_weights(whole.model, resumed.model)
    # The cut ones were written anew; what an earlier kill had left is gone.
    assert names(out) == [f"checkpoint-{n}" for n in (2, 4, 6, 8)]
    assert [fault_of(out / name) for name in names(out)] == [None] * 4


def test_no_whole_checkpoint_is_an_error_with_the_remedy(trained, build, out):
    trained(save_steps=LIMIT)
    cut(out / "checkpoint-8" / "optimizer.pt")
    with pytest.raises(ValueError, match=r"checkpoint-8 \(optimizer.pt is cut.*Train from the start"):
        build().train(resume_from_checkpoint=True)


def test_no_checkpoint_at_all_is_transformers_own_error(build, out):
    out.mkdir()
    with pytest.raises(ValueError, match="No valid checkpoint found in output directory"):
        build().train(resume_from_checkpoint=True)


def test_cut_checkpoint_that_is_named_is_refused_with_another_to_take(trained, build, out):
    trained()
    cut(out / "checkpoint-8" / "rng_state.pth")
    with pytest.raises(ValueError, match=r"checkpoint-8: rng_state.pth is cut.*Resume from checkpoint-6"):
        build().train(resume_from_checkpoint=str(out / "checkpoint-8"))


def test_random_state_of_another_number_of_processes_is_a_warning(trained, build, out):
    trained(save_steps=LIMIT)
    (out / "checkpoint-8" / "rng_state.pth").rename(out / "checkpoint-8" / "rng_state_0.pth")
    with pytest.warns(UserWarning, match=r"checkpoint-8 has no rng_state.pth.*another number of processes"):
        build(max_steps=LIMIT).train(resume_from_checkpoint=True)
