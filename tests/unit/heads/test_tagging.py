"""Tagging heads: schemes, what training sees, legal answers, and the conditional random field."""

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import pipeline

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.encoder import FlatLayout
from hf_mtl.export import export_onnx
from hf_mtl.heads import AnswerOptions, LabelError, head_class, infer_scheme
from hf_mtl.heads.crf_tagging import FIRST
from hf_mtl.surgery import change_labels
from hf_mtl_light.tags import entities, observed_scheme
from hf_mtl_light.words import RawTokens, WordMap
from tests.encoders import tiny_config, tiny_encoder
from tests.trainers import TASKS, make_data, model_without_dropout

IOB2 = ["O", "B-x", "I-x", "B-y", "I-y"]
TYPES = ["token-classification", "crf-tagging"]


def head_of(type_="token-classification", labels=IOB2, seed=0, **options):
    """Return a head with random weights, in evaluation mode."""
    task = TaskConfig("tags", type_, labels=labels, options=options)
    torch.manual_seed(seed)
    head = head_class(task)(task, tiny_config("bert")).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


def words_of(word_ids):
    """Return a row of one-letter words, as many as its tokens name."""
    count = 1 + max((w for w in word_ids if w is not None), default=-1)
    return WordMap(" ".join("a" * count), [(2 * i, 2 * i + 1) for i in range(count)], word_ids)


def answers_of(head, logits, words):
    """Return the answers for logits [R, L, C]."""
    return head.answering().answers(head.task, logits.flatten(0, 1).numpy(), words)


# Schemes


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["O", "B-x", "I-x"], "IOB2"),
        (["O", "S-x", "B-x", "E-x"], "IOBES"),
        (["O", "U-x", "B-x", "L-x", "I-x"], "BILOU"),
        (["ADJ", "NOUN"], "plain"),
        (["B-x", "I-x"], "plain"),
        (["O", "X", "PRP-POS"], "plain"),
    ],
)
def test_scheme_is_inferred_from_the_labels(labels, scheme):
    assert infer_scheme(labels) == scheme
    assert (
        head_class(TaskConfig("t", "token-classification", labels=labels)).scheme(
            TaskConfig("t", "token-classification", labels=labels)
        )
        == scheme
    )


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (["O", "B-A|B-B", "I-A"], {}, "holds several tags, separated by '|'.*its own column and task"),
        (["O", "B-A", "B-A|O", "I-A"], {}, "holds several tags"),
        (["O", "B-A", "B-A, I-B"], {}, "holds several tags"),
        (["O", "B-A", "I-A", "B_B"], {}, "label 'B_B' is not a tag of IOBES.*'plain'"),
        (["O", "B-A", "I-A", "B-"], {}, "label 'B-' is not a tag"),
        (["O", "B-A", "L-A", "S-A"], {}, "label 'L-A' is not a tag"),
        (["O", "B-A", "M-A"], {"scheme": "IOBES"}, "label 'M-A' is not a tag of IOBES"),
        (IOB2, {"constrained_decoding": "no"}, "constrained_decoding must be true or false, found 'no'"),
        (IOB2, {"scheme": "BIOLU"}, "did you mean|Did you mean|BILOU"),
    ],
)
@pytest.mark.parametrize("type_", TYPES)
def test_malformed_label_sets_are_refused(type_, labels, options, words):
    task = TaskConfig("ner", type_, labels=labels, options=options)
    with pytest.raises(ValueError, match=words) as error:
        head_class(task)
    assert "'ner'" in str(error.value)


def test_labels_that_look_like_tags_are_plain_if_so_said():
    task = TaskConfig("ner", "token-classification", labels=["O", "B-A", "X"], options={"scheme": "plain"})
    assert head_class(task).legal_tags(task) is None


def test_several_tags_of_one_word_are_refused():
    task = TaskConfig("ner", "token-classification", labels=IOB2)
    with pytest.raises(LabelError, match=r"several tags for one token.*its own column and task"):
        head_class(task).encode_labels(task, [["O", ["B-x", "B-y"]]], [words_of([0, 1])])


@given(st.lists(st.lists(st.sampled_from(["O", "x", "y"]), max_size=8), max_size=8))
def test_iob1_is_told_from_iob2_by_the_rows(rows):
    def written(kinds, scheme):
        tags = []
        for kind, run in itertools.groupby(kinds):
            count, opening = len(list(run)), "I" if scheme == "IOB1" else "B"
            tags += ["O"] * count if kind == "O" else [f"{opening}-{kind}", *[f"I-{kind}"] * (count - 1)]
        return tags

    has_entity = any(kind != "O" for kinds in rows for kind in kinds)
    for scheme in ("IOB1", "IOB2"):
        assert observed_scheme([written(kinds, scheme) for kinds in rows]) == (scheme if has_entity else "IOB2")


def test_rows_in_iob1_are_learned_and_their_entities_not_decoded_away(tmp_path, tokenizer):
    data = make_data()["snips"].remove_columns("intent")
    data = data.map(lambda row: {"slots": [tag.replace("B-", "I-") for tag in row["slots"]]})
    model = model_without_dropout([TASKS[1]])
    arguments = MultiTaskTrainingArguments(
        str(tmp_path), max_steps=1, use_cpu=True, disable_tqdm=True, report_to="none"
    )
    MultiTaskTrainer(model, arguments, {"snips": data}, processing_class=tokenizer).train()
    assert model.task_heads["slots"].task.options == {"scheme": "IOB1"}
    assert model.config.task("slots").options == {"scheme": "IOB1"}
    logits = torch.tensor([[[0.0, 0.0, 5.0]]])
    assert model.task_heads["slots"].predictions(logits, [words_of([0])]) == [["I-city"]]


def test_bilou_reads_as_iobes_in_entities_and_metrics():
    labels = ["O", "B-x", "I-x", "L-x", "U-x"]
    head = head_of(labels=labels)
    tags = ["U-x", "B-x", "I-x", "L-x", "U-x", "O"]
    logits = torch.nn.functional.one_hot(torch.tensor([[labels.index(t) for t in tags]]), 5) * 9.0
    words = [words_of([0, 1, 2, 3, 4, 5])]
    assert head.predictions(logits, words) == [["S-x", "B-x", "I-x", "E-x", "S-x", "O"]]
    assert head.predictions(logits, words) == [head.reference(head.task, tags)]
    assert [(e["start"], e["end"]) for e in answers_of(head, logits, words)[0]] == [(0, 1), (2, 7), (8, 9)]
    assert len(entities(words[0], tags, [1.0] * 6)) == 3


def test_every_sub_word_is_trained_with_the_inside_of_its_words_tag():
    labels = ["O", "B-x", "L-x", "I-x", "U-x", "B-y"]
    head = head_of(labels=labels, label_all_tokens=True)
    tags = ["B-x", "L-x", "U-x", "B-y", "O"]
    encoded = head.encode_labels(head.task, [tags], [words_of([None, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, None])])
    names = [labels[i] for i in encoded[0, 1:-1].tolist()]
    # B-y has no inside tag here, and keeps its own.
    assert names == ["B-x", "I-x", "L-x", "L-x", "U-x", "I-x", "I-x", "B-y", "B-y", "O", "O"]


# Answers


@st.composite
def batches(draw):
    """Return padded rows: for each token its word or none, some words without a token."""
    rows = []
    for length in draw(st.lists(st.integers(0, 6), min_size=1, max_size=4)):
        word_ids, word = [None], -1
        for _ in range(length):
            word += draw(st.integers(0 if word >= 0 else 1, 2))
            word_ids.append(word)
        rows.append([*word_ids, None])
    longest = max(map(len, rows))
    return [words_of([*row, *[None] * (longest - len(row))]) for row in rows]


@pytest.mark.parametrize("type_", TYPES)
@given(words=batches(), seed=st.integers(0, 99))
def test_predictions_are_legal_and_those_of_single_rows(type_, words, seed):
    head = head_of(type_, seed=seed)
    torch.manual_seed(seed)
    logits = 3 * torch.randn(len(words), len(words[0].word_ids), len(IOB2))
    tags = head.predictions(logits, words)
    for row, word_map in zip(tags, words, strict=True):
        assert len(row) == len(word_map.spans)
        for before, tag in itertools.pairwise(["O", *row]):
            assert tag[0] != "I" or before[1:] == tag[1:]
    assert tags == [head.predictions(logits[i : i + 1], [w])[0] for i, w in enumerate(words)]
    for row, answer, word_map in zip(tags, answers_of(head, logits, words), words, strict=True):
        assert answer == [
            {**found, "score": pytest.approx(given["score"])}
            for found, given in zip(entities(word_map, row, [1.0] * len(row)), answer, strict=True)
        ]
        assert all(0 <= found["score"] <= 1 for found in answer)


def test_switched_off_each_word_has_its_own_best_tag():
    logits = torch.tensor([[[0.0, 1.0, 2.0, 0, 0], [0.0, 0, 0, 0, 3.0]]])
    words = [words_of([0, 1])]
    assert head_of(constrained_decoding=False).predictions(logits, words) == [["I-x", "I-y"]]
    assert head_of().predictions(logits, words) == [["B-y", "I-y"]]
    (answer,) = answers_of(head_of(), logits, words)
    each = logits[0].softmax(-1)
    assert answer[0]["score"] == pytest.approx(float(each[0, 3] + each[1, 4]) / 2)


@pytest.mark.parametrize("type_", TYPES)
def test_rows_without_words_are_answered(type_):
    assert head_of(type_).predictions(torch.randn(2, 2, 5), [words_of([None, None])] * 2) == [[], []]
    assert answers_of(head_of(type_), torch.randn(1, 2, 5), [words_of([None, 0])])[0] is not None


@pytest.mark.parametrize("type_", TYPES)
def test_plain_tags_are_decoded_freely(type_):
    head = head_of(type_, labels=["NOUN", "VERB"])
    (answer,) = answers_of(head, torch.randn(1, 3, 2), [words_of([0, 1, 2])])
    assert [word["word"] for word in answer] == ["a"] * 3


@pytest.mark.parametrize("type_", TYPES)
@given(words=batches(), seed=st.integers(0, 99))
def test_rows_of_any_length_are_answered_as_padded_ones(type_, words, seed):
    head = head_of(type_, seed=seed)
    torch.manual_seed(seed)
    logits = 3 * torch.randn(len(words), len(words[0].word_ids), len(IOB2))
    lengths = [max([1, *(i + 1 for i, word in enumerate(w.word_ids) if word is not None)]) for w in words]
    flat = torch.cat([row[:length] for row, length in zip(logits, lengths, strict=True)]).numpy()
    cut = [dataclasses.replace(w, word_ids=w.word_ids[:length]) for w, length in zip(words, lengths, strict=True)]
    found = head.answering().answers(head.task, flat, cut)
    for one, two in zip(found, answers_of(head, logits, words), strict=True):
        assert one == [{**entity, "score": pytest.approx(entity["score"])} for entity in two]


def test_strategies_of_stock_pipelines_read_the_logits_alone():
    raw_tokens = RawTokens([0, 1], [(0, 1), (2, 3)], [False, False])
    words = [dataclasses.replace(words_of([0, 1]), raw_tokens=raw_tokens)]
    logits = torch.tensor([[[0.0, 1.0, 2.0, 0, 0], [0.0, 0, 0, 0, 3.0]]])
    options = AnswerOptions(aggregation_strategy="none")
    for type_ in TYPES:
        head = head_of(type_)
        (answer,) = head.answering().answers(head.task, logits[0].numpy(), words, options)
        assert [token["entity"] for token in answer] == ["I-x", "I-y"]


# The conditional random field


def test_answers_of_a_chain_need_its_weights_and_follow_them(tokenizer):
    task = TaskConfig("tags", "crf-tagging", labels=IOB2)
    model = MultiTaskModel.from_encoder(tiny_encoder(), [task])
    head = model.task_heads["tags"]
    pipe = pipeline("multi-task", model=model, tokenizer=tokenizer)
    before = pipe("a good film")["tags"]
    head.starts.data[3], head.transitions.data[3, 4], head.transitions.data[4, 4] = 50.0, 50.0, 50.0
    (entity,) = pipe("a good film")["tags"]
    assert (entity["entity_group"], entity["word"]) == ("y", "a good film")
    assert entity["score"] == pytest.approx(1.0)
    assert [entity] != before
    assert list(predict(model, tokenizer, ["a good film"])) == [{"tags": [entity]}]
    with pytest.raises(TypeError, match=r"'tags': answers of crf-tagging need its weights. Ask head\.answering"):
        type(head).answers(task, torch.zeros(2, 5).numpy(), [words_of([0, 1])])


def test_chain_leaves_for_neither_stock_models_nor_onnx(tokenizer, tmp_path):
    model = MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("tags", "crf-tagging", labels=IOB2)])
    with pytest.raises(ValueError, match=r"'tags': the transitions between tags of crf-tagging have no stock form"):
        model.to_transformers("tags")
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"'tags': answers of the type 'crf-tagging' need weights .*gives logits"):
        export_onnx(model, tokenizer, tmp_path / "out")


def test_transitions_keep_their_tags_when_labels_change():
    model = MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("tags", "crf-tagging", labels=IOB2)])
    head = model.task_heads["tags"]
    old = torch.nn.init.normal_(head.transitions).tolist()
    labels = ["O", "B-y", "I-y", "B-z", "B-x", "I-x"]
    change_labels(model, "tags", labels)
    new = model.task_heads["tags"].transitions.tolist()
    for i, before in enumerate(labels):
        for j, after in enumerate(labels):
            known = before in IOB2 and after in IOB2
            expected = old[IOB2.index(before)][IOB2.index(after)] if known else 0.0
            assert new[i][j] == expected


def by_hand(head, logits, word_ids, tags):
    """Return minus the log-likelihood of a row's tags, from all sequences written out; ``None`` is any tag."""
    positions, known = [], []
    for position, word in enumerate(word_ids):
        if word is not None and word_ids[position - 1] != word:
            positions.append(position)
            known.append(tags[word])
    scores, right = [], []
    starts, transitions, ends = (p.double() for p in (head.starts, head.transitions, head.ends))
    for sequence in itertools.product(range(len(starts)), repeat=len(positions)):
        score = starts[sequence[0]] + ends[sequence[-1]]
        score = score + sum(logits[p, tag].double() for p, tag in zip(positions, sequence, strict=True))
        score = score + sum(transitions[a, b] for a, b in itertools.pairwise(sequence))
        scores.append(score)
        if all(k is None or IOB2[tag] == k for k, tag in zip(known, sequence, strict=True)):
            right.append(score)
    return torch.stack(scores).logsumexp(0) - torch.stack(right).logsumexp(0)


ROWS = [
    ([None, 0, 0, 1, 2, None], ["B-x", "I-x", "O"]),
    ([None, 0, 1, 1, None, None], [None, "B-y"]),
    ([None, None, None, None, None, None], []),
    ([None, 0, 1, 2, 3, None], ["O", None, None, "I-y"]),
    ([None, 0, 1, None, None, None], [None, None]),
]


def encoded_rows(head, rows=ROWS):
    return head.encode_labels(head.task, [tags for _, tags in rows], [words_of(word_ids) for word_ids, _ in rows])


def test_crf_loss_is_that_of_all_sequences_and_sums_over_rows_however_they_are_cut():
    head, logits = head_of("crf-tagging"), torch.randn(5, 6, 5, requires_grad=True)
    labels = encoded_rows(head)
    expected = sum(by_hand(head, logits[i], *row) for i, row in enumerate(ROWS) if row[1])
    flat = FlatLayout.from_mask(torch.tensor([[1] * 6, [1] * 5 + [0], [1, 1, 0, 0, 0, 0], [1] * 6, [1] * 4 + [0] * 2]))
    losses = {
        "padded": head.loss_sum(logits.flatten(0, 1), labels.flatten()),
        "unpadded": head.loss_sum(flat.flatten(logits), flat.flatten(labels)),
        "row by row": sum(head.loss_sum(logits[i], labels[i]) for i in range(5)),
        "cut in two": sum(head.loss_sum(logits[c].flatten(0, 1), labels[c].flatten()) for c in (slice(2), slice(2, 5))),
    }
    assert head.count_items(labels) == 6 == sum(head.count_items(row) for row in labels)
    parameters = [logits, head.starts, head.transitions, head.ends]
    gradient = torch.autograd.grad(expected, parameters, retain_graph=True)
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected, msg=name)
        for mine, hand in zip(torch.autograd.grad(loss, parameters, retain_graph=True), gradient, strict=True):
            torch.testing.assert_close(mine, hand, rtol=1e-5, atol=1e-5, msg=name)


def test_words_without_a_token_part_a_chain():
    head = head_of("crf-tagging")
    labels = head.encode_labels(head.task, [["B-x", "O", "I-x"]], [words_of([None, 0, 2, None])])
    assert labels.tolist() == [[-100, FIRST + 1, FIRST + 2, -100]]


def test_crf_without_transitions_has_the_loss_and_the_answers_of_plain_tagging():
    crf, plain = head_of("crf-tagging"), head_of()
    crf.reset_parameters()
    logits = torch.randn(5, 6, 5)
    rows = [(word_ids, [tag or "O" for tag in tags]) for word_ids, tags in ROWS]
    words = [words_of(word_ids) for word_ids, _ in rows]
    losses = [h.loss_sum(logits.flatten(0, 1), encoded_rows(h, rows).flatten()).double() for h in (crf, plain)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)
    assert crf.predictions(logits, words) == plain.predictions(logits, words)


def test_crf_trains_in_float32_or_wider_under_autocast():
    head = head_of("crf-tagging")
    logits, labels = 30 * torch.randn(30, 5), encoded_rows(head).flatten()
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.loss_sum(logits, labels)
    assert torch.equal(loss, head.loss_sum(logits, labels))
    head.bfloat16()
    assert head.loss_sum(logits.bfloat16(), labels).dtype == torch.float64


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"class_weights": [1.0] * 5}, "takes no class_weights and no label_smoothing"),
        ({"label_smoothing": 0.1}, "takes no class_weights and no label_smoothing"),
        ({"options": {"label_all_tokens": True}}, "unknown option 'label_all_tokens' of type 'crf-tagging'"),
    ],
)
def test_what_a_crf_cannot_do_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        head_class(TaskConfig("tags", "crf-tagging", labels=IOB2, **fields))


def test_plain_tag_ids_are_refused_by_a_crf():
    with pytest.raises(ValueError, match=r"must come from CrfTaggingHead\.encode_labels"):
        head_of("crf-tagging").loss_sum(torch.randn(3, 5), torch.tensor([-100, 1, 2]))


def test_crf_learns_what_words_alone_do_not_tell(tmp_path, tokenizer):
    # Every second word is an entity, whichever words they are: transitions alone can tell.
    data = make_data()["snips"].remove_columns("intent")
    data = data.map(lambda row: {"slots": ["B-city" if i % 2 else "O" for i in range(len(row["tokens"]))]})
    model = model_without_dropout([TaskConfig("slots", "crf-tagging", labels=["O", "B-city", "I-city"])])
    head = model.task_heads["slots"]
    arguments = MultiTaskTrainingArguments(
        str(tmp_path), max_steps=30, head_learning_rate=0.2, use_cpu=True, disable_tqdm=True
    )
    trainer = MultiTaskTrainer(model, arguments, {"snips": data}, {"snips": data}, processing_class=tokenizer)
    trainer.train()
    assert trainer.evaluate()["eval_slots_f1"] == 1.0
    assert head.transitions[0, 1] > 1 > -1 > head.transitions[1, 1]
    model.save_pretrained(tmp_path / "saved")
    loaded = MultiTaskModel.from_pretrained(tmp_path / "saved")
    rows = [{"tokens": ["good", "film", "by", "anna"]}]
    (before,), (after,) = (list(predict(m, tokenizer, rows)) for m in (model, loaded))
    assert [e["word"] for e in before["slots"]] == [e["word"] for e in after["slots"]] == ["film", "anna"]
    assert before["slots"][0]["score"] == pytest.approx(after["slots"][0]["score"], rel=1e-6)


def test_transitions_that_a_checkpoint_lacks_begin_at_zero(tmp_path):
    model = MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("tags", "token-classification", labels=IOB2)])
    model.save_pretrained(tmp_path)
    config = model.config
    config.tasks = [TaskConfig("tags", "crf-tagging", labels=IOB2)]
    loaded, _ = MultiTaskModel.from_pretrained(tmp_path, config=config, output_loading_info=True)
    head = loaded.task_heads["tags"]
    assert not any(p.any() for p in (head.starts, head.transitions, head.ends))
    old = model.task_heads["tags"].classifier.stock.classifier.weight
    assert torch.equal(head.classifier.stock.classifier.weight, old)
