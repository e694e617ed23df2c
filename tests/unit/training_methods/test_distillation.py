"""Distillation: the laws of its loss, from models beside and from stored answers, and what is refused."""

import itertools

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, TrainerCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainer, TaskConfig
from hf_mtl.data import LabelledDataset, Prediction, StoredPredictions, write_predictions
from hf_mtl.heads import head_class
from hf_mtl.inference import probabilities
from hf_mtl.training_methods import Distillation, make_methods, match_teachers
from hf_mtl_light.encoding import Row
from tests.encoders import tiny_config, tiny_encoder
from tests.ranks import arguments, run_on_ranks
from tests.trainers import TASKS as PLAIN
from tests.trainers import make_data, model_without_dropout

CHAIN = TaskConfig("chain", "crf-tagging", labels=["O", "B-city", "I-city"])
THEMES = TaskConfig("themes", "multi-label-classification", labels=["film", "place"])
PAIR = TaskConfig("pair", "regression", labels=["length", "half"])
SPAN = TaskConfig("span", "question-answering", options={"no_answer": True})
PICK = TaskConfig("pick", "multiple-choice")
TASKS = [*PLAIN, CHAIN, THEMES, PAIR, SPAN, PICK]
#: Answers that are spans belong to the tokens of windows, which a file of stored answers does not hold.
STORABLE = [task.name for task in TASKS if task.name != "span"]
WORDS = ("slots", "chain")


def data():
    parts = make_data()
    snips, sst = parts["snips"], parts["sst"]
    rows = list(range(len(snips)))
    parts["snips"] = snips.add_column("chain", snips["slots"]).add_column(
        "themes", [["place"] if i % 3 else ["film", "place"] for i in rows]
    )
    parts["sst"] = sst.add_column(
        "pair", [[float(len(t)), None if i % 4 == 0 else i / 2] for i, t in enumerate(sst["text"])]
    )
    texts = list(sst["text"][:12])
    parts["reading"] = Dataset.from_dict(
        {
            "text": ["where"] * 12,
            "text_pair": texts,
            "span": [
                {"text": [t.split()[-1]][: i % 3], "answer_start": [len(t) - len(t.split()[-1])][: i % 3]}
                for i, t in enumerate(texts)
            ],
        }
    )
    parts["quiz"] = Dataset.from_dict(
        {"text": texts, "choices": [["a film", "a place", "no"][: 2 + i % 2] for i in range(12)], "pick": [0, 1] * 6}
    )
    return parts


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tokenizer):
    """Return the folder of a teacher of all tasks, whose answers differ from the student's."""
    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(11)
    model = MultiTaskModel.from_encoder(tiny_encoder(seed=4), TASKS)
    for parameter in model.heads.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def store(path, folder, tokenizer, tasks=tuple(TASKS)):
    """Store a teacher's answers for all training rows."""
    model, found = MultiTaskModel.from_pretrained(folder), []
    names = [task.name for task in tasks]
    for dataset, part in data().items():
        own = [name for name in names if name in part.column_names and name in STORABLE]
        if not own:
            continue
        rows = [
            Row(dataset, i, row.get("tokens") or row["text"], row.get("text_pair"), choices=row.get("choices"))
            for i, row in enumerate(part)
        ]
        for i, answer in enumerate(probabilities(model, tokenizer, rows, tasks=own)):
            found += [Prediction(dataset, i, n, answer[n] if n in WORDS else answer[n][0]) for n in own]
    write_predictions(path, found, {t.name: t.labels for t in model.tasks}, WORDS)
    return str(path)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, teacher, tokenizer):
    return store(tmp_path_factory.mktemp("stored") / "answers.parquet", teacher, tokenizer)


class Gradients(TrainerCallback):
    def __init__(self):
        self.found = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})


def trainer_of(folder, tokenizer, given, size=32, unpad="auto", model=None, callbacks=(), ranks=1, **kwargs):
    if model is None:
        model = model_without_dropout(TASKS).double()
    model.unpad = unpad
    kwargs = {"batching": "mixed", "max_steps": 2, "max_grad_norm": 0.0, **kwargs}
    args = arguments(
        folder,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=32 // size // ranks,
        methods=given and {"distillation": given},
        **kwargs,
    )
    tasks = {task.name for task in model.tasks}
    rows = {name: part for name, part in data().items() if not tasks.isdisjoint(part.column_names)}
    return MultiTaskTrainer(model, args, rows, None, tokenizer, callbacks=list(callbacks))


def gradients(folder, tokenizer, given, **kwargs):
    keeper = Gradients()
    trainer_of(folder, tokenizer, given, callbacks=[keeper], **kwargs).train()
    return keeper.found


def assert_close(found, expected, tolerance):
    for one, two in itertools.zip_longest(found, expected):
        assert one.keys() == two.keys()
        for name, value in two.items():
            # The bias of logits under a softmax has no gradient but rounding.
            assert (one[name] - value).norm() <= tolerance * (value.norm() + 1e-4) + 1e-12, name


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tokenizer):
    return gradients(tmp_path_factory.mktemp("plain"), tokenizer, None)


def certain(task, row):
    """Return a label as a teacher's answer that is as sure as it."""
    labels, label = list(task.labels or ()), row[task.name]
    if task.name == "pick":
        return [float(i == label) for i in range(len(row["choices"]))]
    if task.type == "regression":
        return [0.0 if value is None else value for value in (label if labels else [label])]
    one_hot = [[float(name == other) for other in labels] for name in (label if task.name in WORDS else [label])]
    if task.is_multi_label:
        return [float(name in label) for name in labels]
    return one_hot if task.name in WORDS else one_hot[0]


@pytest.mark.parametrize("annealing", ["linear", "constant"])
def test_a_teacher_that_equals_the_labels_is_plain_training(annealing, plain, tmp_path, tokenizer):
    found = [
        Prediction(dataset, i, task.name, certain(task, row))
        for dataset, part in data().items()
        for i, row in enumerate(part)
        for task in TASKS
        if task.name in part.column_names and task.name in STORABLE
    ]
    path = tmp_path / "labels.parquet"
    write_predictions(path, found, {task.name: task.labels for task in TASKS}, WORDS)
    given = {"teachers": str(path), "annealing": annealing}
    assert_close(gradients(tmp_path, tokenizer, given), plain, 1e-12)


def test_alpha_0_is_plain_training_bit_for_bit(plain, tmp_path, tokenizer, teacher):
    found = gradients(tmp_path, tokenizer, {"teachers": str(teacher), "alpha": 0.0})
    assert all(torch.equal(one[name], two[name]) for one, two in zip(found, plain, strict=True) for name in two)


@pytest.fixture(scope="module")
def beside(tmp_path_factory, tokenizer, teacher):
    return gradients(tmp_path_factory.mktemp("beside"), tokenizer, {"teachers": str(teacher)})


def test_every_task_learns_from_its_teacher(beside, plain):
    for task in TASKS:
        names = [name for name in plain[0] if name.startswith(f"heads.{task.name}.")]
        assert names
        assert any(not torch.equal(beside[0][name], plain[0][name]) for name in names), task.name


@pytest.fixture(scope="module")
def storable(tmp_path_factory, tokenizer, teacher):
    given = {"teachers": str(teacher), "tasks": STORABLE}
    return gradients(tmp_path_factory.mktemp("storable"), tokenizer, given)


def test_stored_answers_teach_as_their_model_does_beside(storable, stored, tmp_path, tokenizer):
    assert_close(gradients(tmp_path, tokenizer, {"teachers": stored}), storable, 1e-6)


def test_temperature_is_the_same_for_stored_answers_and_for_models(teacher, stored, tmp_path, tokenizer):
    names = [name for name in STORABLE if name != "chain"]
    both = [
        gradients(tmp_path, tokenizer, {"teachers": each, "temperature": 3.0, "tasks": names}, max_steps=1)
        for each in (str(teacher), stored)
    ]
    assert_close(*both, 1e-5)


@pytest.mark.parametrize("changes", [{"size": 8}, {"unpad": False}], ids=["cut", "padded"])
def test_a_step_is_the_same_however_it_is_cut_and_padded(changes, beside, teacher, stored, tmp_path, tokenizer):
    # The teacher's own passes are in float32.
    assert_close(gradients(tmp_path, tokenizer, {"teachers": str(teacher)}, **changes), beside, 1e-5)
    given = {"teachers": stored}
    whole = gradients(tmp_path, tokenizer, given, balancing="geometric")
    assert_close(gradients(tmp_path, tokenizer, given, balancing="geometric", **changes), whole, 1e-9)


@pytest.mark.parametrize("kind", ["beside", "stored"])
def test_resumed_training_is_bit_equal(kind, teacher, stored, tmp_path, tokenizer):
    given = {"teachers": str(teacher) if kind == "beside" else stored, "alpha": 0.8}

    def weights(resume):
        torch.manual_seed(3)
        model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
        trainer = trainer_of(
            tmp_path, tokenizer, given, size=8, model=model, max_steps=4, save_strategy="steps", save_steps=2
        )
        trainer.train(resume_from_checkpoint=resume)
        return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])

    whole = weights(None)
    assert torch.equal(weights(str(tmp_path / "out" / "checkpoint-2")), whole)


_SCRIPT = """
from tests.conftest import make_tokenizer
from tests.ranks import rank_and_folder, save
from tests.unit.training_methods.test_distillation import gradients

rank, folder = rank_and_folder()
teachers = ({teacher!r}, {stored!r})
save(rank, folder, [gradients(folder, make_tokenizer(), {{"teachers": each}}, size=16, ranks=2) for each in teachers])
"""


def test_two_processes_make_the_steps_of_one(teacher, stored, beside, storable, tmp_path):
    script = _SCRIPT.format(teacher=str(teacher), stored=stored)
    for rank in run_on_ranks(2, script, tmp_path, allowed="did not find any unused parameters"):
        for found, expected in zip(rank, (beside, storable), strict=True):
            assert_close(found, expected, 1e-5)


def test_the_share_of_the_teacher_falls_to_the_end():
    method = Distillation(teachers="a", alpha=0.5)
    assert [method.share(step, 4) for step in range(5)] == [0.5, 0.375, 0.25, 0.125, 0.0]
    assert Distillation(teachers="a", alpha=0.5, annealing="constant").share(3, 4) == 0.5


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_student_that_answers_as_its_teacher_has_nothing_to_learn(temperature):
    torch.manual_seed(1)
    for task in TASKS:
        if task.name in ("chain", "span", "pick"):
            continue  # of a chain marginals are not all that its loss reads; for the others see test_teaching.py
        head = model_without_dropout([task]).double().task_heads[task.name]
        shape = (4, 6) if task.name in WORDS else (4,)
        logits = torch.randn(*shape, head.num_outputs(task), dtype=torch.float64, requires_grad=True)
        labels = torch.zeros(shape, dtype=torch.long)
        if task.type == "regression":
            labels = torch.zeros(4, dtype=torch.float64) if task.labels is None else torch.zeros(4, 2).double()
        found = head.label_probabilities(logits.detach(), labels)
        soft = type(head).soft_labels(task, found, labels)
        flat = (logits.flatten(0, 1), soft.flatten(0, 1)) if task.name in WORDS else (logits, soft)
        (gradient,) = torch.autograd.grad(head.taught_sum(*flat, temperature), logits)
        assert gradient.abs().max() < 1e-7, task.name


def test_labels_in_another_order_are_found_by_name(stored, storable, tmp_path, tokenizer):
    old = StoredPredictions(stored)
    turned = {name: labels and labels[::-1] for name, labels in old.labels.items()}
    found = []
    for dataset, part in data().items():
        for i, task in itertools.product(range(len(part)), TASKS):
            if task.name in part.column_names and task.name in STORABLE:
                answer = old.get(dataset, i, task.name)
                rows = [row and row[::-1] for row in answer] if task.name in WORDS else answer
                rows = rows[::-1] if task.labels and task.name not in WORDS else rows
                found.append(Prediction(dataset, i, task.name, rows))
    path = tmp_path / "turned.parquet"
    write_predictions(path, found, turned, WORDS)
    assert_close(gradients(tmp_path, tokenizer, {"teachers": str(path)}), storable, 1e-6)


def test_words_that_the_teacher_did_not_read_learn_from_their_labels(tmp_path, tokenizer):
    """A tag of a word without an answer is taught as itself."""
    found = [
        Prediction(dataset, i, "slots", [None] * len(row["slots"]))
        for dataset, part in data().items()
        if "slots" in part.column_names
        for i, row in enumerate(part)
    ]
    path = tmp_path / "none.parquet"
    write_predictions(path, found, {"slots": TASKS[1].labels}, WORDS)
    model = model_without_dropout(PLAIN).double()
    trainer = trainer_of(tmp_path, tokenizer, {"teachers": str(path)}, model=model)
    batch = next(iter(trainer.get_train_dataloader()))
    labels = batch["labels"]["slots"]
    assert torch.equal(batch["taught"]["slots"], labels)


# What is refused


def saved(folder, tokenizer, tasks):
    MultiTaskModel.from_encoder(tiny_encoder(), tasks).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def stock(folder, labels):
    config = tiny_config("bert", id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return str(folder)


def test_teachers_are_matched_by_the_names_of_labels(tmp_path, tokenizer):
    models = tmp_path / "models"
    turned = TaskConfig("opinion", "sequence-classification", labels=["good", "bad"])
    saved(models / "one", tokenizer, [turned, TaskConfig("similarity", "regression")])
    stock(models / "two", ["none", "play", "book"])
    found = match_teachers(str(models), PLAIN)
    assert {name: (lesson.folder.rpartition("/")[2], lesson.task, lesson.order) for name, lesson in found.items()} == {
        "intent": ("two", "task", (1, 2, 0)),
        "mood": ("one", "opinion", (1, 0)),
        "similarity": ("one", "similarity", ()),
    }
    assert match_teachers({"mood": str(models / "one")}, PLAIN).keys() == {"mood"}


@pytest.mark.parametrize(
    ("teachers", "chosen", "message"),
    [
        (["two"], None, "fits no task: it answers 'task', sequence-classification with 'a', 'b'"),
        (["one", "again"], None, "Task 'mood': 2 teachers have its labels"),
        (["one"], ["mood", "slots"], "Task 'slots': no teacher has its labels"),
        ({"mood": "two"}, None, "teacher '.*two' has no task with its labels, sentiment with 'bad', 'good'"),
        ({"moods": "one"}, None, "teachers name 'moods', which is no task"),
        (["empty"], None, "is no model and holds none"),
        (["nowhere"], None, "teacher '.*nowhere': "),
    ],
)
def test_teachers_that_do_not_fit_are_refused(teachers, chosen, message, tmp_path, tokenizer):
    mood = TaskConfig("opinion", "sequence-classification", labels=["good", "bad"])
    saved(tmp_path / "one", tokenizer, [mood])
    saved(tmp_path / "again", tokenizer, [mood])
    stock(tmp_path / "two", ["a", "b"])
    (tmp_path / "empty").mkdir()
    if isinstance(teachers, dict):
        teachers = {name: str(tmp_path / folder) for name, folder in teachers.items()}
    else:
        teachers = [str(tmp_path / folder) for folder in teachers]
    with pytest.raises(ValueError, match=message):
        match_teachers(teachers, PLAIN, chosen)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "teachers must be a folder"),
        ({"teachers": []}, "teachers must be a folder"),
        ({"teachers": "a", "alpha": 1.5}, "alpha must be a number"),
        ({"teachers": "a", "temperature": 0}, "temperature must be a number above 0"),
        ({"teachers": "a", "annealing": "cosine"}, "annealing must be one of 'linear', 'constant'"),
    ],
)
def test_wrong_options_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        make_methods({"distillation": given})


def test_a_row_without_an_answer_is_refused_by_name(stored, tmp_path, tokenizer):
    old = StoredPredictions(stored)
    found = [Prediction("sst", i, "mood", old.get("sst", i, "mood")) for i in range(16) if i != 3]
    path = tmp_path / "some.parquet"
    write_predictions(path, found, {"mood": ["bad", "good"]}, ())
    trainer = trainer_of(tmp_path, tokenizer, {"teachers": str(path)})
    with pytest.raises(ValueError, match=r"Dataset 'sst', row 3, task 'mood': .*some\.parquet has no prediction"):
        trainer.get_train_dataloader()


def test_answers_of_another_split_are_refused(tmp_path, tokenizer):
    found = [Prediction("sst", i, "mood", [0.5, 0.5]) for i in range(17)]
    path = tmp_path / "more.parquet"
    write_predictions(path, found, {"mood": ["bad", "good"]}, ())
    trainer = trainer_of(tmp_path, tokenizer, {"teachers": str(path)})
    with pytest.raises(ValueError, match=r"Dataset 'sst', row 16, task 'mood': .* the training split has 16 rows"):
        trainer.get_train_dataloader()


def test_answers_of_rows_in_another_order_are_refused(tmp_path, tokenizer):
    sst, mood = data()["sst"], TASKS[2]
    assert mood.name == "mood"
    heads = {"mood": head_class(mood)}
    found = [Prediction("sst", i, "mood", [0.5, 0.5]) for i in range(16)]
    for name, order in (("same", range(16)), ("turned", range(15, -1, -1))):
        answered = LabelledDataset("sst", sst.select(order), [mood], heads)
        inputs = {"sst": answered.input_hashes}
        write_predictions(tmp_path / f"{name}.parquet", found, {"mood": mood.labels}, (), inputs)
    trainer_of(tmp_path, tokenizer, {"teachers": str(tmp_path / "same.parquet")}).get_train_dataloader()
    trainer = trainer_of(tmp_path, tokenizer, {"teachers": str(tmp_path / "turned.parquet")})
    with pytest.raises(ValueError, match=r"Dataset 'sst': its column 'text' differs .* lie in another order"):
        trainer.get_train_dataloader()


def test_stored_labels_that_are_not_the_tasks_are_refused(tmp_path, tokenizer):
    path = tmp_path / "other.parquet"
    write_predictions(path, [Prediction("sst", 0, "mood", [0.5, 0.5])], {"mood": ["bad", "fine"]}, ())
    with pytest.raises(ValueError, match=r"probabilities of 'bad', 'fine', and the task has the labels 'bad', 'good'"):
        trainer_of(tmp_path, tokenizer, {"teachers": str(path)})
    with pytest.raises(ValueError, match=r"has no predictions for 'intent'\. It has those of 'mood'"):
        trainer_of(tmp_path, tokenizer, {"teachers": str(path), "tasks": ["intent"]})


def test_answers_for_other_words_are_refused_by_row(tmp_path, tokenizer):
    parts = data()
    found = [
        Prediction("snips", i, "slots", [[1.0, 0.0, 0.0]] * (len(row["slots"]) + (i == 5)))
        for i, row in enumerate(parts["snips"])
    ]
    path = tmp_path / "words.parquet"
    write_predictions(path, found, {"slots": TASKS[1].labels}, WORDS)
    trainer = trainer_of(tmp_path, tokenizer, {"teachers": str(path)})
    with pytest.raises(ValueError, match=r"Dataset 'snips', row 5, task 'slots': .* has answers for"):
        list(trainer.get_train_dataloader())
    augmented = trainer_of(
        tmp_path, tokenizer, {"teachers": str(path)}, augmentation={"word-masking": {"datasets": ["snips"]}}
    )
    with pytest.raises(ValueError, match=r"task 'slots': .* augmentation changes these"):
        augmented.get_train_dataloader()


def test_a_crf_has_no_temperature_and_other_types_no_teacher(stored, tmp_path, tokenizer):
    with pytest.raises(ValueError, match="task 'chain': marginals of a crf-tagging task have no temperature"):
        trainer_of(tmp_path, tokenizer, {"teachers": stored, "temperature": 2.0})
    task = TaskConfig("filled", "masked-lm")
    head = head_class(task)(task, tiny_encoder().config)
    with pytest.raises(ValueError, match="task 'filled': a task of the type 'masked-lm' cannot learn from a teacher"):
        Distillation(teachers=stored, tasks=["filled"]).check("distillation", {"filled": head})
