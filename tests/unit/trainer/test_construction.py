"""Every argument of the trainer's constructor is honoured, or refused in words."""

import inspect
import re

import pytest
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, UserError, infer_tasks
from hf_mtl.arguments import kinds_of_fields
from hf_mtl.balancers import EqualBalancer
from hf_mtl.samplers import UniformSampler
from hf_mtl_light.errors import UserTypeError
from tests.encoders import tiny_encoder
from tests.trainers import TASKS


def own_model():
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


class Noted(TrainerCallback):
    def __init__(self):
        self.began = False

    def on_train_begin(self, args, state, control, **kwargs):
        self.began = True


#: What is refused: arguments of the constructor, the error, and words of it.
REFUSED = {
    "compute_metrics": (lambda m, t: {"compute_metrics": print}, ValueError, "Pass metrics="),
    "compute_loss_func": (lambda m, t: {"compute_loss_func": print}, ValueError, "pass balancer="),
    "preprocess_logits_for_metrics": (
        lambda m, t: {"preprocess_logits_for_metrics": print},
        ValueError,
        "metrics are given predictions",
    ),
    "a stock collator": (lambda m, t: {"data_collator": DataCollatorWithPadding(t)}, TypeError, "MultiTaskCollator"),
    "a sampler by name": (lambda m, t: {"sampler": "uniform"}, TypeError, r"MultiTaskTrainingArguments\(sampling="),
    "a balancer by name": (lambda m, t: {"balancer": "equal"}, TypeError, r"MultiTaskTrainingArguments\(balancing="),
    "metrics without tasks": (lambda m, t: {"metrics": ["accuracy"]}, TypeError, "must be a mapping"),
    "no metric": (lambda m, t: {"metrics": {"mood": []}}, ValueError, "'mood' is empty"),
    "metrics of another task": (lambda m, t: {"metrics": {"moud": ["accuracy"]}}, KeyError, "mood"),
    "an optimizer of another model": (
        lambda m, t: {"optimizers": (torch.optim.SGD(own_model().parameters(), lr=0.1), None)},
        ValueError,
        "none of the model's parameters",
    ),
    "a scheduler alone": (lambda m, t: {"optimizers": (None, object())}, ValueError, "without its optimizer"),
}
#: What would be without effect beside another: arguments of the constructor and training arguments.
BESIDE = [
    (lambda m: {"sampler": UniformSampler()}, {"sampling": "temperature", "sampling_options": {"temperature": 2.0}}),
    (lambda m: {"balancer": EqualBalancer()}, {"balancing": "uncertainty"}),
    (lambda m: {"optimizers": (torch.optim.SGD(m.parameters(), lr=0.1), None)}, {"head_learning_rate": 0.1}),
    (lambda m: {"optimizers": (torch.optim.SGD(m.parameters(), lr=0.1), None)}, {"encoder_layer_decay": 0.5}),
    (lambda m: {"optimizers": (torch.optim.SGD(m.parameters(), lr=0.1), None)}, {"trunk_learning_rate": 0.5}),
]

#: For each argument of the constructor values of other types than its own.
WRONG = {
    "model": ["google-bert/bert-base-cased", 3, torch.nn.Linear(2, 2)],
    "args": ["runs/a", {"output_dir": "runs/a"}],
    "train_dataset": ["imdb", [{"text": "a"}], {"a": "imdb"}, 3],
    "eval_dataset": ["imdb", [{"text": "a"}], {"a": None}],
    "processing_class": ["google-bert/bert-base-cased", 3],
    "image_processor": ["x", 3],
    "metrics": ["accuracy", {"mood": 3}, {"mood": [3]}, {"mood": None}, {"mood": {"a": 1}}],
    "sampler": ["uniform", UniformSampler],
    "balancer": ["equal", EqualBalancer],
    "callbacks": ["early", ["x"], [3], TrainerCallback(), [TrainerCallback, None], {"a": 1}],
    "optimizers": ["adam", (None,), ("adam", None), (torch.optim.SGD, None), torch.optim.SGD([torch.ones(1)])],
    "optimizer_cls_and_kwargs": ["adam", (torch.optim.SGD,), ("adam", {}), torch.optim.SGD],
    "model_init": ["x", 3],
    "data_collator": ["x", print],
    "peft_config": ["lora", [1]],
    "check_data": ["no", 3],
    "compute_loss_func": ["x"],
    "compute_metrics": ["accuracy"],
    "preprocess_logits_for_metrics": ["x"],
}
#: How messages name arguments that they do not name as such.
NAMED = {"train_dataset": "Dataset '", "eval_dataset": "Dataset '"}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_another_type_is_refused_naming_the_argument(tmp_path, tokenizer, data, name):
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
    usual = {"model": own_model(), "args": args, "train_dataset": data, "processing_class": tokenizer}
    for value in WRONG[name]:
        with pytest.raises(UserError, match=NAMED.get(name, name)):
            MultiTaskTrainer(**{**usual, name: value})


def test_the_table_of_wrong_types_has_every_argument():
    assert WRONG.keys() == inspect.signature(MultiTaskTrainer.__init__).parameters.keys() - {"self"}


def test_a_text_is_no_number_and_no_truth_value(tmp_path):
    kinds = kinds_of_fields(MultiTaskTrainingArguments).items()
    names = [name for name, of_field in kinds if {*of_field} - {type(None)} <= {bool, int, float}]
    assert len(names) > 60
    for name in names:
        with pytest.raises(UserTypeError, match=rf"^{name} must be .*(true or false|number).* found 'no'\.$"):
            MultiTaskTrainingArguments(**{"output_dir": str(tmp_path), name: "no"})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MultiTaskModel.from_encoder(tiny_encoder(), "mood"), r"tasks must be a list such as \[TaskConfig"),
        (lambda: MultiTaskModel.from_encoder(tiny_encoder(), {"mood": "sentiment"}), "tasks must be a list"),
        (lambda: MultiTaskModel.from_encoder(tiny_encoder(), TASKS[0]), "found TaskConfig"),
        (lambda: MultiTaskModel.from_encoder(tiny_encoder(), [3]), "found 3 among them"),
        (lambda: MultiTaskModel.from_encoder(3, TASKS), "encoder must be a name, a folder or a model"),
        (lambda: MultiTaskModel.from_encoder(torch.nn.Linear(2, 2), TASKS), "found Linear"),
        (lambda: MultiTaskModel.from_encoder(tiny_encoder(), TASKS, heads=["x"]), "heads must be a mapping"),
        (lambda: MultiTaskModel.from_encoder(tiny_encoder(), TASKS, heads={"sentiment": "x"}), "must be a subclass"),
        (lambda: infer_tasks({}, "mood"), "tasks must be a list"),
        (lambda: infer_tasks({}, ["mood"]), "found 'mood' among them"),
    ],
)
def test_models_and_tasks_of_other_types_are_refused(make, words):
    with pytest.raises(UserTypeError, match=words):
        make()


def test_every_argument_of_transformers_constructor_is_one_of_ours():
    ours, theirs = (inspect.signature(cls.__init__).parameters for cls in (MultiTaskTrainer, Trainer))
    assert set(theirs) <= set(ours)


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_use_is_refused(build, tokenizer, case):
    given, error, words = REFUSED[case]
    model = own_model()
    with pytest.raises(error, match=words):
        build(model, trainer_kwargs=given(model, tokenizer))


@pytest.mark.parametrize(("given", "kwargs"), BESIDE)
def test_an_argument_without_effect_beside_another_is_refused(build, given, kwargs):
    model = own_model()
    with pytest.raises(ValueError, match="would be without effect beside"):
        build(model, trainer_kwargs=given(model), **kwargs)


def test_stock_training_arguments_are_refused(tmp_path, tokenizer, data):
    with pytest.raises(TypeError, match="must be MultiTaskTrainingArguments"):
        MultiTaskTrainer(own_model(), TrainingArguments(str(tmp_path), use_cpu=True), data, None, tokenizer)


def test_what_is_given_is_used(build):
    noted = Noted()
    sampler, balancer = UniformSampler(), EqualBalancer()
    given = {"sampler": sampler, "balancer": balancer, "callbacks": [noted]}
    given["optimizer_cls_and_kwargs"] = (torch.optim.SGD, {"lr": 0.1, "momentum": 0.5})
    trainer = build(max_steps=1, trainer_kwargs=given)
    trainer.train()
    assert trainer.sampler is sampler
    assert trainer.balancer is balancer
    assert noted.began
    assert trainer.summary()[0]["share"] == pytest.approx(1 / 3)
    assert {group["momentum"] for group in trainer.optimizer.param_groups} == {0.5}


def test_an_optimizer_and_its_scheduler_are_used(build):
    model = own_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    trainer = build(model, max_steps=2, trainer_kwargs={"optimizers": (optimizer, scheduler)})
    trainer.train()
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_a_model_made_by_model_init_is_trained_from_the_start_each_time(build, tokenizer):
    def make():
        torch.manual_seed(5)
        return own_model()

    trainer = build(max_steps=2)
    expected = trainer.train().training_loss
    args = trainer.args
    other = MultiTaskTrainer(
        args=args, train_dataset=trainer.train_dataset, processing_class=tokenizer, model_init=make
    )
    assert [other.train().training_loss for _ in range(2)] == pytest.approx([expected] * 2, rel=0.2)
    assert other.train().training_loss == other.train().training_loss


@pytest.mark.parametrize("metrics", [{"mood": "accuracy"}, {"mood": ["accuracy"]}, {"mood": [lambda p, r: 1.0]}])
def test_metrics_are_a_list_or_one(build, metrics):
    found = build(trainer_kwargs={"metrics": metrics}).evaluate()
    assert len([name for name in found if name.startswith("eval_mood_")]) == 2  # and its loss


@pytest.mark.parametrize("way", ["evaluate", "predict", "train"])
def test_keys_of_outputs_cannot_be_left_out(build, data, way):
    given = {"evaluate": (data, ["logits"]), "predict": (data, ["logits"]), "train": (None, None, ["logits"])}
    with pytest.raises(ValueError, match="outputs are scored and answered"):
        getattr(build(eval_strategy="epoch"), way)(*given[way])


def test_loops_of_transformers_say_what_takes_their_place(build, data):
    trainer = build()
    with pytest.raises(NotImplementedError, match=r"evaluate\(datasets\)"):
        trainer.evaluation_loop(trainer.get_eval_dataloader(), "Evaluation")
    with pytest.raises(NotImplementedError, match=r"predict\(datasets\)"):
        trainer.prediction_step(trainer.model, {}, False)


@pytest.mark.parametrize("name", ["tasks", "dataset_tags", "dataset", "dataset_args"])
def test_what_the_card_knows_is_not_asked_for(build, name):
    with pytest.raises(ValueError, match="dataset_ids="):
        build().create_model_card(**{name: "a"})


#: Methods, arguments of other types than their own, and words of the error.
CALLS = [
    *(("add_callback", {"callback": value}, "callback must be") for value in ("x", None, int)),
    *(("pop_callback", {"callback": value}, "callback must be") for value in ("x", int)),
    ("remove_callback", {"callback": 3}, "callback must be"),
    ("remove_callback", {"callback": TrainerCallback()}, "none of the trainer's callbacks"),
    *(("train", {"resume_from_checkpoint": value}, "resume_from_checkpoint must be") for value in (3, {"a": 1})),
    ("check_resumable", {"checkpoint": 3}, "resume_from_checkpoint must be"),
    ("check_resumable", {"checkpoint": "nobody"}, "'nobody'"),
    *(("predict", {"test_dataset": value}, "needs a test_dataset") for value in (None, {})),
    *(("calibrate", {"tasks": value}, "tasks must be a list") for value in ("mood", 3)),
    *(("calibrate", {"coverage": value}, "coverage must be a number") for value in ("0.9", ["0.9"])),
    *(("save_model", {"output_dir": value}, "output_dir must be") for value in (3, ["a"])),
    *(
        ("create_model_card", {name: value}, f"{name} must be")
        for name, value in {
            **dict.fromkeys(["language", "license", "tags", "model_name", "finetuned_from", "output_dir"], 3),
            "dataset_ids": ["a"],
        }.items()
    ),
    ("create_model_card", {"dataset_ids": {"snips": 3}}, "dataset_ids must be a mapping"),
    ("create_model_card", {"dataset_ids": {"snip": "a/b"}}, "no training dataset 'snip'.*'snips'"),
]


def test_an_object_of_another_type_is_refused_by_the_method_that_is_given_it(build):
    trainer = build(trainer_kwargs={"callbacks": [Noted]})
    before = list(trainer.callback_handler.callbacks)
    for method, given, words in CALLS:
        with pytest.raises(UserError) as caught:
            pytest.fail(f"{method}({given}) returned {getattr(trainer, method)(**given)}")
        assert re.search(words, str(caught.value))
    assert trainer.callback_handler.callbacks == before
    assert trainer._card_fields == {}
    trainer.remove_callback(Noted)
    assert trainer.pop_callback(Noted) is None


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_dataset_that_would_be_left_out_whole_is_refused(build, accumulation):
    kwargs = {"dataloader_drop_last": True, "batching": "homogeneous", "gradient_accumulation_steps": accumulation}
    with pytest.raises(ValueError, match=r"'sts': 8 rows|a whole step"):
        build(per_device_train_batch_size=10, **kwargs)


def test_activation_checkpointing_that_the_encoder_lacks_is_refused(build):
    with pytest.raises(ValueError, match="'mpnet' do not support it"):
        build(MultiTaskModel.from_encoder(tiny_encoder("mpnet"), TASKS), activation_checkpointing=True)
