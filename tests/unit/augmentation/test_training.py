"""Augmentation in a training: off is as before, and a row's change depends on seed, row and pass alone."""

import pytest
import torch
from datasets import Dataset

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.augmentation import Augmenter, make_augmentations
from hf_mtl.data import DatasetMixture, LabelledDataset, MixtureBatchSampler
from hf_mtl.heads import HEADS
from hf_mtl.samplers import ProportionalSampler
from hf_mtl.trainer._augmenting import make_augmenter
from hf_mtl_light.errors import UserError
from tests.conftest import make_tokenizer
from tests.trainers import make_data, model_without_dropout

ON = {
    "word-deletion": {"p": 0.6, "rate": 0.4, "schedule": "learning-rate"},
    "punctuation-insertion": {"p": 0.5},
    "mention-replacement": {"p": 1.0, "datasets": ["snips"]},
    "pair-swapping": {"symmetric": ["similarity"], "datasets": ["sts"]},
}


MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])


def table(name, size):
    return Dataset.from_dict({"text": [f"{name} {i} good film in rome" for i in range(size)], "mood": ["good"] * size})


def make(folder, **kwargs):
    base = {"use_cpu": True, "disable_tqdm": True, "precision": "float32", "max_steps": 6, "batching": "mixed"}
    base |= {"per_device_train_batch_size": 8, "save_strategy": "no", "report_to": "none", "augmentation": ON}
    data = make_data()
    args = MultiTaskTrainingArguments(str(folder), **{**base, **kwargs})
    return MultiTaskTrainer(model_without_dropout(), args, data, data, make_tokenizer())


def batches(trainer, epochs=1):
    loader = trainer.get_train_dataloader()
    found = []
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        found += [batch["input_ids"].tolist() for batch in loader]
    return found


def weights(trainer, **kwargs):
    trainer.train(**kwargs)
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def test_augmentation_changes_training_and_none_is_as_before(tmp_path):
    plain, off = (batches(make(tmp_path, augmentation=given)) for given in (None, {}))
    never = batches(make(tmp_path, augmentation={"word-deletion": {"p": 0.0}}))
    assert plain == off == never != batches(make(tmp_path))


def test_each_pass_is_changed_in_its_own_way(tmp_path):
    given = {"word-deletion": {"p": 1.0, "rate": 0.5}}
    found = batches(make(tmp_path, augmentation=given, max_steps=12), epochs=2)
    half = len(found) // 2
    halves = (found[:half], found[half:])
    first, second = ({tuple(i for i in row if i) for batch in one for row in batch} for one in halves)
    assert first != second


def test_workers_change_nothing(tmp_path):
    assert batches(make(tmp_path)) == batches(make(tmp_path, dataloader_num_workers=2))


def test_rows_do_not_depend_on_how_a_step_is_cut(tmp_path):
    def rows(**kwargs):
        found = batches(make(tmp_path, **kwargs))
        return sorted([i for i in row if i] for batch in found for row in batch)

    assert rows() == rows(per_device_train_batch_size=4, gradient_accumulation_steps=2)


def test_evaluation_reads_rows_as_they_are(tmp_path):
    on, off = (make(tmp_path, augmentation=given).evaluate() for given in (ON, None))
    timed = ("runtime", "per_second")
    assert all(value == off[key] for key, value in on.items() if not key.endswith(timed))


def test_resumed_in_the_middle_of_an_epoch_is_not_stopped(tmp_path):
    whole = weights(make(tmp_path / "whole"))
    make(tmp_path / "cut", save_strategy="steps", save_steps=2).train()
    resumed = make(tmp_path / "cut")
    assert torch.equal(weights(resumed, resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-2")), whole)


def test_another_augmentation_is_not_resumed(tmp_path):
    make(tmp_path, save_strategy="steps", save_steps=2, max_steps=2).train()
    with pytest.raises(UserError, match="augmentation"):
        make(tmp_path, augmentation={"word-deletion": {}}).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))


def test_options_of_each_dataset_change_its_rows_as_if_it_were_alone(tmp_path):
    each = {
        "snips": {"p": 1.0, "rate": 0.5},
        "sst": {"p": 0.5, "schedule": "learning-rate"},
    }
    rest = {"mention-replacement": {"rate": 1.0, "datasets": {"snips": {"p": 0.9}}}}
    together = {"word-deletion": {"rate": 0.2, "datasets": each}, **rest}
    alone = {name: {"word-deletion": {"rate": 0.2, **each[name], "datasets": [name]}} for name in each}
    alone["snips"]["mention-replacement"] = {"rate": 1.0, "p": 0.9, "datasets": ["snips"]}

    def rows(given, name):
        trainer = make(tmp_path, augmentation=given)
        datasets = trainer._train_datasets
        augmenter = make_augmenter(trainer.args, datasets, trainer.processing_class, 6)
        found = (augmenter(row, i % 6) for i, row in enumerate(datasets[name].read(range(len(datasets[name])))))
        return [(row.text, row.labels) for row in found]

    plain = {"word-deletion": {"p": 0}}
    for name, given in alone.items():
        assert rows(together, name) == rows(given, name) != rows(plain, name)
    assert rows(together, "sts") == rows(plain, "sts")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"augmentation": {"word-deletion": {"datasets": ["snip"]}}}, "Did you mean 'snips'"),
        ({"augmentation": {"word-deletion": {"datasets": {"snip": {}}}}}, "Did you mean 'snips'"),
        (
            {"augmentation": {"word-deletion": {"datasets": {"sst": {"p": 2}}}}},
            "'word-deletion', dataset 'sst': p must",
        ),
        ({"augmentation": {"word-deletion": {"datasets": {"sst": {"rat": 1}}}}}, "Did you mean 'rate'"),
        ({"augmentation": {"word-deletion": {"datasets": {"sst": {"datasets": ["a"]}}}}}, "Leave it out"),
        ({"augmentation": {"mention-replacement": {"datasets": {"sst": {}}}}}, "'sst': mention replacement needs"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps"}, "known in advance"),
        ({"augmentation": {"mention-replacement": {}}}, "mention replacement needs rows with the tags"),
        ({"augmentation": {"pair-swapping": {"symmetric": ["similarity"]}}}, "pair swapping needs columns"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_trainer_is_built(tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        make(tmp_path, **given)


def test_a_trainer_that_only_scores_takes_the_arguments_of_a_training(tmp_path):
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, augmentation=ON, report_to="none")
    trainer = MultiTaskTrainer(model_without_dropout(), args, processing_class=make_tokenizer())
    assert "eval_score" in trainer.evaluate({"sst": make_data()["sst"]})


def test_arguments_that_change_later_take_effect(tmp_path):
    trainer = make(tmp_path, augmentation=None)
    trainer.args.augmentation = ON
    assert batches(trainer) == batches(make(tmp_path))


def test_the_mask_is_the_tokenizers_own_token_in_texts_and_words(tmp_path):
    found = batches(make(tmp_path, augmentation={"word-masking": {"p": 1.0, "rate": 1.0}}, batching="homogeneous"))
    mask = make_tokenizer().mask_token_id
    assert all(any(mask in row for row in batch) for batch in found)


def test_two_ranks_train_on_the_rows_of_one():
    sizes, rows = {"a": 7, "b": 12}, {}
    datasets = [
        LabelledDataset(name, table(name, size), [MOOD], {"mood": HEADS["sentiment"]}) for name, size in sizes.items()
    ]
    augment = Augmenter(
        make_augmentations({"word-deletion": {"p": 0.7, "rate": 0.5, "schedule": "learning-rate"}}),
        1,
        {},
        [0.2 * step for step in range(6)],
    )
    for world in (1, 2):
        rows[world] = []
        for rank in range(world):
            sampler = MixtureBatchSampler(sizes, ProportionalSampler(), 4 // world, seed=1, rank=rank, world_size=world)
            mixture = DatasetMixture(datasets, sampler, augment)
            rows[world] += [row for batch in sampler for row in mixture.__getitems__(batch) if row.labels]
    one, two = ({(row.dataset, row.index): row.text for row in rows[world]} for world in (1, 2))
    assert one == two
    assert any(len(text.split()) < 6 for text in one.values())
