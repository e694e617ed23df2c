"""Questions over contexts: labels, windows, answers, losses, from the data to the command line."""

import collections
import functools
import json

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hf_mtl import AnswerOptions, MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.cli import app
from hf_mtl.data import LabelledDataset, MultiTaskCollator, Row
from hf_mtl.heads import QuestionAnsweringHead, head_class
from hf_mtl.inference import Answerer, WindowEncoder
from hf_mtl.metrics import Squad
from hf_mtl_light.encoding import encode_contexts
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.questions import make_questions
from tests.trainers import model_without_dropout

TASK = TaskConfig("answer", "question-answering")
MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])
TASKS = [TASK, MOOD]
HEADS = {task.name: head_class(task) for task in TASKS}
CONTEXT = "The Film is by  Anna Rome\u0301o, in Paris!"
OTHER = {"text": ["paris"], "text_pair": ["rome"]}


def columns(data):
    data = Dataset.from_dict(data) if isinstance(data, dict) else data
    return LabelledDataset("d", data, TASKS, HEADS)


def rows_of(data):
    part = columns(data)
    return part.read(range(len(part)))


def labels_of(tokenizer, rows, max_length=64):
    return MultiTaskCollator(tokenizer, TASKS, HEADS, max_length)(rows)


def squad(text, start):
    return {"text": [text], "answer_start": [start]}


def train(model, tokenizer, folder, data, **kwargs):
    arguments = {"per_device_train_batch_size": 16, "learning_rate": 3e-3, "head_learning_rate": 3e-3, **kwargs}
    arguments |= {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "precision": "float32"}
    trainer = MultiTaskTrainer(
        model, MultiTaskTrainingArguments(str(folder), **arguments), data, data, processing_class=tokenizer
    )
    trainer.train()
    return trainer


# Labels


@pytest.mark.parametrize("answer", ["Film", "Anna Rome\u0301o", "o, in", "Paris!", "The", "Ann", "nna Rom"])
def test_labels_are_the_tokens_that_hold_the_answer(tokenizer, answer):
    data = {"text": ["by ?"], "text_pair": [CONTEXT], "answer": [squad(answer, CONTEXT.index(answer))]}
    batch = labels_of(tokenizer, rows_of(data))
    labels = batch["labels"]["answer"][0].tolist()
    encoding = tokenizer("by ?", CONTEXT)
    start = next(i for i, label in enumerate(labels) if label >= 0 and label & 1)
    end = next(i for i, label in enumerate(labels) if label >= 0 and label & 2)
    first, last = encoding.token_to_chars(start), encoding.token_to_chars(end)
    begin = CONTEXT.index(answer)
    assert first.start <= begin < first.end
    assert last.start < begin + len(answer.rstrip("\u0301")) <= last.end + 1
    assert [i for i, label in enumerate(labels) if label >= 0][1:] == [
        i for i, sequence in enumerate(encoding.sequence_ids(0)) if sequence == 1
    ]
    assert labels[0] == 4


def test_no_answer_is_the_first_position(tokenizer):
    data = {"text": ["by ?"], "text_pair": ["in rome"], "answer": [{"text": [], "answer_start": []}]}
    features = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
    made = Dataset.from_dict(
        data, Features({"text": Value("string"), "text_pair": Value("string"), "answer": features})
    )
    assert labels_of(tokenizer, rows_of(made))["labels"]["answer"][0].tolist() == [7, *[-100] * 3, 0, 0, -100]


@pytest.mark.parametrize(
    "answer",
    [
        {"text": ["rome", "in rome"], "answer_start": [3, 0]},
        [{"text": "rome", "answer_start": 3}],
        {"text": "rome", "answer_start": 3},
    ],
)
def test_answers_come_as_structs_of_lists_lists_of_structs_or_one_struct(tokenizer, answer):
    (row,) = rows_of(Dataset.from_list([{"text": "in ?", "text_pair": "in rome", "answer": answer}]))
    assert labels_of(tokenizer, [row])["labels"]["answer"][0].tolist() == [4, *[-100] * 3, 0, 3, -100]
    assert QuestionAnsweringHead.reference(TASK, row.labels["answer"])[0] == "rome"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (squad("rome", 4), r"answer 'rome' has the answer_start 4, where the context has 'ome'. It is at 3. Count"),
        (squad("Rome", 3), r"answer 'Rome' has the answer_start 3, where the context has 'rome'. It is nowhere"),
        (squad("rome", -4), "answer_start -4"),
        (squad("", 0), "texts that are not empty"),
        ({"text": ["rome"], "answer_start": []}, "as many whole numbers"),
        ({"text": ["rome"], "start": [3]}, "answers as in SQuAD"),
        ("rome", "answers as in SQuAD"),
    ],
)
def test_answers_that_do_not_fit_name_dataset_row_and_task(answer, words):
    data = Dataset.from_list([{"text": "in ?", "text_pair": "in rome", "answer": answer}])
    with pytest.raises(ValueError, match=f"Dataset 'd', row 0, task 'answer': .*{words}"):
        rows_of(data)


def test_missing_context_and_null_labels():
    with pytest.raises(
        ValueError, match="Dataset 'd', task 'answer': its type needs a column 'text_pair', the context"
    ):
        columns({"text": ["in ?"], "answer": [squad("a", 0)]})
    (one, two) = rows_of({"text": ["in ?"] * 2, "text_pair": ["in rome"] * 2, "answer": [None, squad("rome", 3)]})
    assert (one.labels, list(two.labels)) == ({}, ["answer"])


def test_whether_there_may_be_no_answer_is_learned_from_the_labels():
    some, none = squad("a", 0), {"text": [], "answer_start": []}
    learned = [QuestionAnsweringHead.learn(TASK, values).options["no_answer"] for values in ([some], [some, none])]
    assert learned == [False, True]
    given = TaskConfig("answer", "question-answering", options={"no_answer": False})
    assert QuestionAnsweringHead.learn(given, [none]) == given


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": ["a", "b"]}, "takes no labels"),
        ({"options": {"no_answer": 1}}, "no_answer must be true, false or null"),
        ({"options": {"max_answer_tokens": 0}}, "max_answer_tokens must be a whole number"),
        ({"options": {"null_threshold": "0"}}, "null_threshold must be a number"),
        ({"options": {"max_answer": 3}}, "Did you mean 'max_answer_tokens'"),
    ],
)
def test_wrong_tasks_are_refused(fields, words):
    with pytest.raises(ValueError, match=f"Task 'answer'.*{words}"):
        head_class(TaskConfig("answer", "question-answering", **fields))


# Windows


@given(
    words=st.lists(st.sampled_from(["rome", "paris", "xyz", "a", "\u5317\u4eac", "caf\u00e9!"]), max_size=40),
    question=st.lists(st.sampled_from(["by", "?", "qxz"]), max_size=4),
    max_length=st.integers(16, 40),
    stride=st.one_of(st.none(), st.integers(0, 30)),
)
def test_windows_hold_the_whole_question_and_together_the_whole_context(words, question, max_length, stride):
    tokenizer = make_tokenizer()
    text, context = " ".join(question), " ".join(words)
    (read,), _ = encode_contexts(tokenizer, [Row("d", 0, text, context)], max_length, stride)
    whole = tokenizer(text, context, verbose=False)["input_ids"]
    before = len(tokenizer(text)["input_ids"])
    inside = whole[before:-1]
    assert read.tokens[0][0] == 0
    assert read.tokens[-1][1] == len(inside) == len(read.spans)
    for part, (first, stop) in zip(read.windows, read.tokens, strict=True):
        assert len(part.ids) == len(part.type_ids) <= max_length
        assert list(part.ids) == [*whole[:before], *inside[first:stop], whole[-1]]
    for (_, stop), (first, _) in zip(read.tokens, read.tokens[1:], strict=False):
        room = max_length - before - 1
        assert stop - first == min(128 if stride is None else stride, room // 2)
    word_map = read.words()
    assert len(word_map.word_ids) == sum(word_map.windows)
    assert {i for i in word_map.word_ids if i is not None} == set(range(len(inside)))


def test_a_question_that_leaves_no_room_is_named(tokenizer):
    with pytest.raises(ValueError, match="Dataset 'd', row 3: the question has so many tokens that 1 of 16 are left"):
        encode_contexts(tokenizer, [Row("d", 3, "a " * 12, "in rome by anna")], 16)


def test_training_windows_are_few_and_one_holds_the_answer(tokenizer):
    context = " ".join(["very"] * 150 + ["rome"] + ["very"] * 50)
    data = {"text": ["in ?"], "text_pair": [context], "answer": [squad("rome", context.index("rome"))]}
    (row,) = rows_of(data)
    every = encode_contexts(tokenizer, [row], 20)[0][0]
    batch = labels_of(tokenizer, [row], 20)
    labels = batch["labels"]["answer"]
    assert len(every.windows) > 20
    assert labels.shape[0] == batch["input_ids"].shape[0] == len(batch["rows"]["answer"]) == 4
    holding = [i for i in range(4) if tokenizer.convert_tokens_to_ids("rome") in batch["input_ids"][i].tolist()]
    marked = [i for i in range(4) if labels[i, 0] == 4]
    assert marked == holding
    assert len(holding) == 1
    place = labels[holding[0]].tolist().index(3)
    assert batch["input_ids"][holding[0], place] == tokenizer.convert_tokens_to_ids("rome")
    assert min(place - 5, 20 - place) >= 3  # in the middle
    assert QuestionAnsweringHead.count_items(labels) == 4


def test_a_pair_that_fits_is_read_once_by_all_tasks(tokenizer):
    row = Row("d", 0, "in ?", "in rome", labels={"answer": squad("rome", 3), "mood": "good"})
    batch = labels_of(tokenizer, [row])
    assert batch["input_ids"].shape[0] == 1
    assert batch["rows"]["mood"].tolist() == batch["rows"]["answer"].tolist() == [0]
    long = Row("d", 0, "in ?", "in rome " * 40, labels=row.labels)
    batch = labels_of(tokenizer, [long])
    assert batch["rows"]["mood"].tolist() == [0]
    assert batch["rows"]["answer"].tolist() == [1, 2, 3][: len(batch["rows"]["answer"])]


# Answers


def reference_answers(logits, word_map, longest, allowed, threshold):
    """Return the answers as `postprocess_qa_predictions` of Transformers' run_qa.py finds them, best first.

    With two changes, which are documented: all starts and ends are looked at, not the 20 best of a window, and a span
    that two windows hold is one answer.
    """
    candidates, at, null = {}, 0, None
    for length in word_map.windows:
        start_logits, end_logits = logits[at : at + length, 0], logits[at : at + length, 1]
        tokens = word_map.word_ids[at : at + length]
        feature_null = start_logits[0] + end_logits[0]
        null = feature_null if null is None or feature_null < null else null
        for i in range(length):
            for j in range(length):
                if tokens[i] is None or tokens[j] is None or j < i or j - i + 1 > longest:
                    continue
                span = word_map.spans[tokens[i]][0], word_map.spans[tokens[j]][1]
                score = start_logits[i] + end_logits[j]
                candidates[span] = max(candidates.get(span, -np.inf), score)
        at += length
    predictions = [(score, span) for span, score in candidates.items()]
    if allowed:
        predictions.append((null, (0, 0)))
    scores = np.array([score for score, _ in predictions], dtype=np.float64)
    exp = np.exp(scores - scores.max())
    probabilities = dict(zip((span for _, span in predictions), exp / exp.sum(), strict=True))
    ranked = sorted(predictions, key=lambda p: -p[0])
    best = next((p for p in ranked if p[1] != (0, 0)), None)
    answer = best[1]
    if allowed and null - best[0] > threshold:
        answer = (0, 0)
    return answer, probabilities


@given(seed=st.integers(0, 2**16), longest=st.integers(1, 9), allowed=st.booleans(), threshold=st.floats(-3, 3))
def test_answers_are_those_of_the_stock_procedure(seed, longest, allowed, threshold):
    generator = np.random.default_rng(seed)
    words = " ".join(generator.choice(["rome", "paris", "xyz", "a"], generator.integers(1, 30)))
    (read,), _ = encode_contexts(make_tokenizer(), [Row("d", 0, "in ?", words)], int(generator.integers(10, 40)), 3)
    word_map = read.words()
    logits = generator.normal(size=(len(word_map.word_ids), 2)).astype(np.float32)
    options = {"no_answer": allowed, "max_answer_tokens": longest, "null_threshold": threshold}
    task = TaskConfig("answer", "question-answering", options=options)
    span, probabilities = reference_answers(logits, word_map, longest, allowed, threshold)
    (found,) = QuestionAnsweringHead.answers(task, logits, [word_map])
    assert (found["start"], found["end"]) == span
    assert found["answer"] == words[slice(*span)]
    assert found["score"] == pytest.approx(probabilities[span], rel=1e-5)
    (several,) = QuestionAnsweringHead.answers(task, logits, [word_map], AnswerOptions(top_k=5))
    assert several[0] == found
    assert len({(a["start"], a["end"]) for a in several}) == len(several) == min(5, len(probabilities))
    (every,) = QuestionAnsweringHead.answers(task, logits, [word_map], AnswerOptions(top_k="all"))
    assert len(every) == min(20, len(probabilities))


def test_empty_contexts_have_the_empty_answer(tokenizer):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    (answer,) = predict(model, tokenizer, [("in ?", "")], tasks=["answer"])
    assert answer == {"answer": {"answer": "", "score": 0.0, "start": 0, "end": 0}}


def test_rows_without_a_context_are_answered_null(tokenizer):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    one, two = predict(model, tokenizer, ["in ?", ("in ?", "in rome")])
    assert one["answer"] is None
    assert one["mood"]["label"] in ("bad", "good")
    assert two["answer"]["answer"] == "in rome"[two["answer"]["start"] : two["answer"]["end"]]


def test_an_answer_is_found_wherever_it_stands_in_a_long_context(tokenizer):
    passes = []

    def run(windows, tasks):
        passes.append((len(windows), tuple(tasks)))
        ids = np.concatenate([window.ids for window in windows])
        is_rome = (ids == tokenizer.convert_tokens_to_ids("rome")).astype(np.float32)
        return {"answer": np.stack([is_rome, is_rome], 1) * 9, "mood": np.zeros((len(windows), 2), np.float32)}

    answerer = Answerer(run, WindowEncoder(tokenizer, 24), TASKS, HEADS)
    contexts = [" ".join(["very"] * n + ["Rome"] + ["very"] * (100 - n)) for n in (0, 17, 50, 100)]
    for context, answer in zip(contexts, answerer([("in ?", context) for context in contexts]), strict=True):
        assert answer["answer"]["answer"] == "Rome"
        assert answer["answer"]["start"] == context.index("Rome")
    # What the other task reads, cut off, is the first window, and two rows have the same: each runs once.
    assert {tasks for _, tasks in passes} == {("answer", "mood"), ("answer",)}
    assert sum(count for count, tasks in passes if "mood" in tasks) == 3
    passes.clear()
    list(answerer([("in ?", "in rome")]))
    assert passes == [(1, ("answer", "mood"))]


# The loss, evaluation, training


def test_loss_is_the_mean_of_two_cross_entropies_over_context_and_first_position(tokenizer):
    model = model_without_dropout(TASKS)
    rows = rows_of(make_questions(6, 1, unanswerable=True))
    batch = labels_of(tokenizer, rows)
    output = model(**batch)
    terms = []
    for row, logits in zip(rows, output.logits["answer"], strict=True):
        encoding = tokenizer(row.text, row.text_pair)
        kept = [0, *(i for i, sequence in enumerate(encoding.sequence_ids(0)) if sequence == 1)]
        start = end = 0
        if row.labels["answer"]["text"]:
            place = row.labels["answer"]["answer_start"][0]
            start = encoding.char_to_token(place, sequence_index=1)
            end = encoding.char_to_token(place + len(row.labels["answer"]["text"][0]) - 1, sequence_index=1)
        for column, target in enumerate((start, end)):
            terms.append(-logits[kept, column].log_softmax(0)[kept.index(target)])
    torch.testing.assert_close(output.losses["answer"], torch.stack(terms).mean())


def test_evaluating_scores_what_predicting_answers_over_whole_contexts(tokenizer, tmp_path):
    torch.manual_seed(0)
    data = {
        "qa": make_questions(12, 5, unanswerable=True, filler=30),
        "other": Dataset.from_dict({**OTHER, "mood": ["good"]}),
    }
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    arguments = MultiTaskTrainingArguments(str(tmp_path), max_length=24, use_cpu=True, per_device_eval_batch_size=5)
    trainer = MultiTaskTrainer(model, arguments, data, data, processing_class=tokenizer)
    with torch.no_grad():  # some answers, not all, are right
        model.task_heads["answer"].classifier.stock.qa_outputs.weight.normal_(0, 1)
    model.replace_task(TaskConfig("answer", "question-answering", options={"no_answer": True}))
    found = trainer.evaluate()
    answers = list(predict(model, tokenizer, data["qa"], tasks=["answer"], max_length=24))
    texts = [answer["answer"]["answer"] for answer in answers]
    expected = Squad().compute(predictions=texts, references=[row["text"] for row in data["qa"]["answer"]])
    assert {key: found[f"eval_answer_{key}"] for key in expected} == pytest.approx(expected)
    predicted = trainer.predict(data)
    assert [row["answer"]["answer"] for row in predicted.predictions["qa"]] == texts
    assert predicted.metrics["test_answer_f1"] == found["eval_answer_f1"]
    long = tokenizer(list(data["qa"]["text"]), text_pair=list(data["qa"]["text_pair"]), verbose=False)["input_ids"]
    assert min(map(len, long)) > 24


def test_a_short_training_finds_answers_and_keeps_them_when_saved(tokenizer, tmp_path):
    data = {
        "qa": make_questions(120, 1, unanswerable=True),
        "moods": Dataset.from_dict({"text": ["a good film", "a bad film"] * 10, "mood": ["good", "bad"] * 10}),
    }
    model = model_without_dropout(TASKS)
    trainer = train(model, tokenizer, tmp_path, data, num_train_epochs=6)
    assert model.config.task("answer").options == {"no_answer": True}
    test = make_questions(60, 2, unanswerable=True)
    scores = trainer.evaluate({"qa": test})
    assert scores["eval_answer_exact_match"] > 0.9  # a span at random: below 0.05
    trainer.save_model()
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    rows = [test[i] for i in range(9)]
    one, two = (list(predict(m, tokenizer, rows, tasks=["answer"])) for m in (model, loaded))
    assert one == two
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "a span of `text_pair`" in card
    assert "question-answering" in card.partition("\n---\n")[0]
    assert '"text_pair": "Nopi is a restaurant in London."' in card
    assert '"answer": null' not in card
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": "in ?"}]))
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        called = CliRunner().invoke(
            app, ["predict", str(tmp_path), str(tmp_path / "in.jsonl"), "-o", str(tmp_path / name)]
        )
        assert called.exit_code == 0, called.output
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["answer"]["answer"] for line in lines[:-1]] == [answer["answer"]["answer"] for answer in one]
    assert lines[-1]["answer"] is None
    assert "answer.start" in (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[0]


def test_the_cut_of_a_step_does_not_change_its_gradient(tokenizer, tmp_path):
    data = {"qa": make_questions(12, 1, True, filler=20), "moods": Dataset.from_dict({**OTHER, "mood": ["good"]})}
    found = []
    for size, steps in ((16, 1), (4, 4)):
        model = model_without_dropout(TASKS).double()
        gradients = collections.defaultdict(float)

        def add(gradient, name, sums=gradients):
            sums[name] = sums[name] + gradient

        for name, parameter in model.named_parameters():
            parameter.register_hook(functools.partial(add, name=name))
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "max_steps": 1}
        train(model, tokenizer, tmp_path, data, batching="mixed", max_length=24, **options)
        found.append(gradients)
    whole, cut = found
    assert whole.keys() == cut.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-6, atol=1e-9)
