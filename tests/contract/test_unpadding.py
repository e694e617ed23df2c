"""Laws of unpadding: the same logits, losses and gradients as the padded run, whatever the encoder and the batch."""

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.encoder.unpadding import FLAT_ATTENTION, LengthGroups
from tests.encoders import DECODERS, FAMILIES, PAIRS, tiny_encoder

UNPADDED = [
    "albert", "bert", "camembert", "data2vec-text", "distilbert", "electra", "ernie", "eurobert", "modernbert",
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "gpt2", "llama", "qwen3", *DECODERS,
]  # fmt: skip
PADDED = [family for family in FAMILIES if family not in UNPADDED] + ["roformer", *PAIRS]
TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("value", "regression", pooling="mean"),
]
LENGTHS = [9, 3, 14, 3, 4, 12]
NO_DROPOUT = {
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout": 0.0, "attention_dropout": 0.0,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "dropout_rate": 0.0,
    "embedding_dropout": 0.0, "mlp_dropout": 0.0, "classifier_dropout_prob": 0.0, "classifier_dropout": 0.0,
    "seq_classif_dropout": 0.0,
}  # fmt: skip


def batch(lengths=LENGTHS, side="right", pad=1):
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    mask = mask if side == "right" else mask.flip(1)
    ids = torch.randint(5, 100, mask.shape, generator=generator).masked_fill(~mask, pad)
    tags = torch.randint(0, 3, mask.shape, generator=generator).masked_fill(~mask, -100)
    rows = {"topic": torch.arange(len(lengths)), "tags": torch.arange(1, len(lengths)), "value": torch.tensor([0])}
    labels = {
        "topic": torch.randint(0, 3, (len(lengths),), generator=generator),
        "tags": tags[1:],
        "value": torch.tensor([0.5], dtype=torch.float64),
    }
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": labels, "rows": rows}


def model_of(family, **kwargs):
    encoder = tiny_encoder(family, **{"pad_token_id": 1, **NO_DROPOUT, **kwargs})
    torch.manual_seed(1)
    return MultiTaskModel.from_encoder(encoder, TASKS)


def outcome(model, inputs, **kwargs):
    model.zero_grad()
    output = model(**inputs, **kwargs)
    output.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return output, gradients


def assert_same(one, two, inputs, tolerance=1e-5):
    (output, gradients), (expected, expected_gradients) = one, two
    torch.testing.assert_close(output.loss, expected.loss, rtol=tolerance, atol=tolerance)
    real = inputs["attention_mask"].bool()
    for name, logits in output.logits.items():
        chosen = real[inputs["rows"][name]] if name == "tags" else slice(None)
        torch.testing.assert_close(logits[chosen], expected.logits[name][chosen], rtol=tolerance, atol=tolerance)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        difference = (gradient - expected_gradients[name]).norm()
        # A key's bias moves all scores of a query alike: its gradient is 0 but for rounding.
        assert difference <= tolerance * expected_gradients[name].norm() + 1e-7, name


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", UNPADDED)
def test_logits_and_gradients_equal_the_padded_run(family, side):
    model, inputs = model_of(family).train(), batch(side=side)
    if side == "left":
        # Stock heads read the first position, which is padding here; ours read the first token either way.
        inputs["rows"].pop("topic")
        inputs["labels"].pop("topic")
    unpadded = outcome(model, inputs)
    model.unpad = False
    assert model.encoder.config._attn_implementation == "sdpa"
    assert_same(unpadded, outcome(model, inputs), inputs)


def test_padding_is_not_computed():
    model, seen = model_of("bert"), []
    model.encoder.encoder.layer[0].output.dense.register_forward_hook(lambda m, args, out: seen.append(out.shape[:2]))
    model(**batch())
    # 45 tokens, and three more so that few different numbers of tokens are met.
    assert sum(LENGTHS) == 45
    assert seen == [(1, 48)]


@pytest.mark.parametrize("family", PADDED)
def test_other_families_run_padded_and_say_so(family, caplog):
    logging.getLogger("transformers").propagate = True
    with caplog.at_level(logging.INFO, "hf_mtl"):
        model = model_of(family)
    assert f"family {family!r}" in caplog.text
    assert model.encoder.config._attn_implementation != FLAT_ATTENTION
    with pytest.raises(ValueError, match="Leave unpad at 'auto'"):
        model.unpad = True


def test_unpad_takes_no_other_value():
    with pytest.raises(ValueError, match="found 'always'"):
        model_of("bert").unpad = "always"


def test_forced_unpadding_needs_attention_that_can(tmp_path):
    model_of("bert").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'eager' supports padded inputs only"):
        MultiTaskModel.from_pretrained(tmp_path, attn_implementation="eager", unpad=True)


def test_choice_survives_loading_and_another_attention_implementation(tmp_path):
    model = model_of("bert")
    model.save_pretrained(tmp_path)
    assert MultiTaskModel.from_pretrained(tmp_path).encoder.config._attn_implementation == FLAT_ATTENTION
    loaded = MultiTaskModel.from_pretrained(tmp_path, unpad=False)
    assert loaded.encoder.config._attn_implementation == "sdpa"
    eager = MultiTaskModel.from_pretrained(tmp_path, attn_implementation="eager")
    assert eager.encoder.config._attn_implementation == "eager"
    inputs = batch()
    assert_same(outcome(model, inputs), outcome(eager, inputs), inputs)
    eager.set_attn_implementation("sdpa")
    assert eager.encoder.config._attn_implementation == FLAT_ATTENTION
    assert_same(outcome(model, inputs), outcome(eager, inputs), inputs)


@pytest.mark.parametrize(
    ("family", "window"),
    [
        ("modernbert", {"local_attention": 6, "num_hidden_layers": 3, "global_attn_every_n_layers": 2}),
        ("mistral", {"sliding_window": 5}),
        ("qwen3", {"sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1}),
    ],
)
def test_sliding_windows_look_no_further_than_padded_ones(family, window):
    model = model_of(family, **window)
    inputs = batch([30, 2, 17, 5])
    unpadded = outcome(model, inputs)
    model.unpad = False
    assert_same(unpadded, outcome(model, inputs), inputs)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_tokens_of_decoders_see_what_they_should(family, bidirectional):
    encoder = tiny_encoder(family, **NO_DROPOUT)
    model = MultiTaskModel.from_encoder(encoder, TASKS, bidirectional=bidirectional)
    inputs = {name: batch()[name] for name in ("input_ids", "attention_mask")}
    for unpad in ("auto", False):
        model.unpad = unpad
        for lengths in (LENGTHS, [14]):  # without padding no mask is made
            inputs = {name: batch(lengths)[name] for name in ("input_ids", "attention_mask")}
            before = model(**inputs).last_hidden_state
            inputs["input_ids"][:, 2] = 5 + (inputs["input_ids"][:, 2] - 4) % 95
            after = model(**inputs).last_hidden_state
            assert torch.equal(before[:, :2], after[:, :2]) is not bidirectional
            assert not torch.equal(before[:, 2], after[:, 2])


@pytest.mark.parametrize("dropout", [False, True])
def test_dropout_of_causal_attention_looks_at_nothing_behind(dropout):
    model = model_of("llama", attention_dropout=0.5 * dropout).train()
    inputs = batch()
    states = model.get_input_embeddings()(inputs.pop("input_ids")).detach().requires_grad_()
    output = model(inputs_embeds=states, attention_mask=inputs["attention_mask"])
    output.last_hidden_state[:, 1].sum().backward()
    assert states.grad[:, :2].abs().sum() > 0
    assert not states.grad[:, 2:].any()


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_given_positions_token_types_and_embeddings_are_heeded(family):
    model, inputs = model_of(family), batch()
    shape = inputs["input_ids"].shape
    inputs["token_type_ids"] = (torch.arange(shape[1]) % 2 if family == "bert" else torch.zeros(shape[1])).long()
    inputs["token_type_ids"] = inputs["token_type_ids"].expand(shape)
    inputs["inputs_embeds"] = model.get_input_embeddings()(inputs.pop("input_ids")).detach()
    for positions in (None, torch.arange(40, 40 + shape[1])[None]):
        inputs["position_ids"] = positions
        model.unpad = "auto"
        unpadded = outcome(model, inputs)
        model.unpad = False
        assert_same(unpadded, outcome(model, inputs), inputs)


@pytest.mark.parametrize("unknown", [torch.ones(1), [torch.ones(1)], {"a": (torch.ones(1),)}, 1.0])
def test_a_batch_with_a_tensor_that_is_not_known_runs_padded(unknown):
    # It may need the padded shape: only who gave it knows.
    model, inputs, seen = model_of("bert"), batch(), []

    def take(module, args, kwargs):
        kwargs.pop("unknown")
        seen.append(kwargs["input_ids"].shape)
        return args, kwargs

    model.encoder.register_forward_pre_hook(take, with_kwargs=True)
    model(**inputs, unknown=unknown)
    padded = inputs["input_ids"].shape
    assert (seen[0] == padded) == (not isinstance(unknown, float))


@pytest.mark.parametrize("mixes", [False, True])
@pytest.mark.parametrize("unpad", ["auto", False])
def test_hidden_states_of_single_layers_can_be_asked_for(mixes, unpad):
    tasks = [TaskConfig("mix", "regression", pooling="mean", layers="mix")] if mixes else TASKS
    model = MultiTaskModel.from_encoder(tiny_encoder("bert", **NO_DROPOUT), tasks, unpad=unpad)
    inputs = {name: batch()[name] for name in ("input_ids", "attention_mask")}
    every = model(**inputs, output_hidden_states=True).hidden_states
    found = model(**inputs, output_hidden_states=[0, -1]).hidden_states
    assert len(found) == len(every) == 3
    assert found[1] is None
    assert torch.equal(found[0], every[0])
    assert torch.equal(found[2], every[2])


def test_hidden_states_come_back_padded():
    model, inputs = model_of("bert"), batch()
    unpadded = model(**inputs, output_hidden_states=True).hidden_states
    model.unpad = False
    real = inputs["attention_mask"].bool()
    expected = model(**inputs, output_hidden_states=True).hidden_states
    assert len(unpadded) == len(expected) == 3
    for one, two in zip(unpadded, expected, strict=True):
        assert one.shape == two.shape
        torch.testing.assert_close(one[real], two[real], rtol=1e-5, atol=1e-5)


def test_attention_weights_are_padded_as_ever():
    model = model_of("bert")
    model.set_attn_implementation("eager")
    length = max(LENGTHS)
    assert model(**batch(), output_attentions=True).attentions[0].shape == (len(LENGTHS), 4, length, length)


def test_activation_checkpointing_changes_nothing():
    model, inputs = model_of("bert").train(), batch()
    expected = outcome(model, inputs)
    model.activation_checkpointing_enable()
    assert_same(outcome(model, inputs), expected, inputs, tolerance=1e-6)


def test_bfloat16_autocast_stays_near():
    model, inputs = model_of("bert"), batch()
    expected = outcome(model, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**inputs)
    torch.testing.assert_close(output.loss.float(), expected[0].loss, rtol=0.02, atol=0.02)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch looks at them itself
def test_compiled_model_gives_the_same():
    model, inputs = model_of("bert", num_hidden_layers=1), batch()
    expected = outcome(model, inputs)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager")
    for lengths in ([4, 7], LENGTHS):  # for the size of the first, and then for any
        again = batch(lengths)
        model.zero_grad()
        output = compiled(**again)
        output.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert_same((output, gradients), expected, inputs)


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, and warns of every Python number it sees
def test_traced_model_knows_batches_of_other_lengths():
    model = model_of("bert").eval()
    one, other = (
        {name: batch(lengths)[name] for name in ("input_ids", "attention_mask")} for lengths in ([3, 5], [5, 2])
    )

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask, tasks=["topic"]).logits["topic"]

    traced = torch.jit.trace(Logits(), tuple(one.values()), check_trace=False)
    with torch.no_grad():
        torch.testing.assert_close(traced(*other.values()), model(**other).logits["topic"])


@pytest.mark.parametrize("fast", [True, False])
def test_attention_dropout_keeps_the_mean(fast):
    torch.manual_seed(0)
    model = model_of("bert", attention_probs_dropout_prob=0.3, num_hidden_layers=1)
    inputs = {name: batch()[name] for name in ("input_ids", "attention_mask")}
    layer = model.encoder.encoder.layer[0].attention.self
    seen = []
    layer.register_forward_hook(lambda m, args, out: seen.append(out[0].detach()))
    model.eval()(**inputs)
    expected = seen.pop()
    model.fast_dropout = fast
    model.train()
    for _ in range(600):
        model(**inputs)
    mean, spread = torch.stack(seen).mean(0), torch.stack(seen).std(0) / 600**0.5
    assert ((mean - expected).abs() <= 5 * spread + 1e-6).all()
    assert spread.mean() > 0


def test_fast_dropout_is_off_until_asked_for():
    model, inputs = model_of("bert", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1).train(), batch()
    torch.manual_seed(0)
    first = model(**inputs).loss
    model.fast_dropout = True
    torch.manual_seed(0)
    assert model(**inputs).loss != first
    model.fast_dropout = False
    torch.manual_seed(0)
    assert torch.equal(model(**inputs).loss, first)


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=70), cost=st.sampled_from([0.0, 150.0, 1e9]))
def test_groups_hold_every_token_once(lengths, cost):
    cut = LengthGroups.from_lengths(lengths, torch.device("cpu"), cost)
    tokens = sum(lengths)
    assert torch.equal(cut.gather[cut.scatter], torch.arange(tokens))
    assert sum(group.rows for group in cut.groups) == len(lengths)
    assert len(cut.gather) == sum(group.rows * group.length for group in cut.groups)
    real = sum(int(group.mask.sum()) if group.mask is not None else group.rows * group.length for group in cut.groups)
    assert real == tokens
    if cost == 1e9:
        assert len(cut.groups) == 1


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dropout", [False, True])
def test_gradients_of_grouped_attention_are_exact(dropout, fast):
    from hf_mtl.encoder.unpadding._attention import Sight, _attend_groups

    torch.manual_seed(0)
    cut = LengthGroups.from_lengths([2, 3, 1], torch.device("cpu"), 0.0 if dropout else 1e9)
    q, k, v = (torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))

    def attend(q, k, v):
        torch.manual_seed(1)
        return _attend_groups(q, k, v, cut, 0.5, 0.4 * dropout, fast, Sight())

    assert torch.autograd.gradcheck(attend, (q, k, v))
    if not dropout:
        rows = [slice(0, 2), slice(2, 5), slice(5, 6)]
        expected = [
            functional.scaled_dot_product_attention(*(x[row].transpose(0, 1) for x in (q, k, v)), scale=0.5)
            for row in rows
        ]
        found = attend(q, k, v)
        torch.testing.assert_close(found, torch.cat([x.transpose(0, 1) for x in expected]))
