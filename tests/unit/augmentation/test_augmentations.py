"""Laws of augmentations: labels stay right, texts stay texts, and what cannot be applied is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl.augmentation import AUGMENTATIONS, Augmenter, make_augmentations
from hf_mtl.augmentation._units import units_of
from hf_mtl.augmentation.mention_replacement import _mentions
from hf_mtl.data import read_picture
from hf_mtl.heads import HEADS, Head, Objects
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

#: The options that change as much as they can.
STRONGEST = {
    "word-masking": {"rate": 1.0, "mask": "[MASK]"},
    "word-deletion": {"rate": 0.9},
    "punctuation-insertion": {"rate": 1.0},
    "segment-shuffling": {"rate": 1.0},
    "mention-replacement": {"rate": 1.0},
    "token-replacement": {"rate": 1.0},
    "pair-swapping": {"symmetric": ["similarity"]},
    "horizontal-flip": {},
    "vertical-flip": {},
    "resized-crop": {"scale": [0.05, 1.0], "ratio": [0.2, 5]},
    "color-jitter": {"brightness": 1, "contrast": 1, "saturation": 1},
}
OF_PICTURES = ["horizontal-flip", "vertical-flip", "resized-crop", "color-jitter"]
OF_TEXT = ["word-masking", "word-deletion", "punctuation-insertion", "segment-shuffling"]
OF_TAGS = [*OF_TEXT, "mention-replacement", "token-replacement"]


def made(name, **more):
    return make_augmentations({name: {"p": 1.0, **STRONGEST[name], **more}})[name]


@st.composite
def tagged_rows(draw):
    """Legal IOB2 rows: runs of outside words and entities."""
    words, tags = [], []
    for kind, length in draw(st.lists(st.tuples(st.sampled_from(["O", "a", "b"]), st.integers(1, 3)), min_size=1)):
        words += [f"{kind}{len(words) + i}" for i in range(length)]
        tags += ["O"] * length if kind == "O" else [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
    return Row("d", 0, words, labels={"ner": tags, "mood": "good"}, drawn=0)


def kinds_of(tags):
    return [key.partition("-")[2] for *_, key in _mentions(tags)]


def is_legal(tags):
    return all(not tag.startswith("I-") or (i and tags[i - 1] in (tag, f"B-{tag[2:]}")) for i, tag in enumerate(tags))


def test_the_laws_cover_the_table():
    assert STRONGEST.keys() == AUGMENTATIONS.keys() == {*OF_TAGS, "pair-swapping", *OF_PICTURES}


@pytest.mark.parametrize("name", OF_TAGS)
@given(row=tagged_rows(), donor=tagged_rows(), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_tags_move_with_words_and_entities_stay_whole(name, row, donor, seed):
    augmentation = made(name).learned([(row, "ner"), (donor, "ner")])
    before = ([*row.text], [*row.labels["ner"]])
    new = augmentation.augment(row, np.random.default_rng(seed), ["ner"])
    assert ([*row.text], [*row.labels["ner"]]) == before  # the row given is not changed
    words, tags = new.text, new.labels["ner"]
    assert words
    assert len(words) == len(tags)
    assert new.labels["mood"] == "good"
    tags = [tag or "O" for tag in tags]
    assert is_legal(tags)
    assert kinds_of(tags) == kinds_of(before[1])  # as many entities, of the same types, in the same order
    # A word's name begins with the type that it was tagged with.
    for word, tag in zip(words, tags, strict=True):
        assert word[0] in {tag[2:] or "O", "[", *".;?:!,"}


@pytest.mark.parametrize("name", OF_TEXT)
@given(text=st.text(alphabet="ab 我爱北京。, ก็", max_size=30), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_text_stays_a_text(name, text, seed):
    new = made(name).augment(Row("d", 0, text, labels={"mood": "good"}), np.random.default_rng(seed), [])
    assert isinstance(new.text, str)
    assert bool(new.text.strip()) == bool(text.strip())
    assert new.labels == {"mood": "good"}


@given(st.text())
def test_units_are_the_whole_text(text):
    assert "".join(units_of(text)) == text.strip()


def test_characters_are_the_units_where_words_have_no_spaces():
    row = Row("d", 0, "我爱北京天安门")
    new = made("word-deletion", rate=0.5).augment(row, np.random.default_rng(0), [])
    assert 0 < len(new.text) < len(row.text)


def test_pairs_are_exchanged():
    new = made("pair-swapping").augment(Row("d", 0, "a", "b"), np.random.default_rng(0), [])
    assert (new.text, new.text_pair) == ("b", "a")


@pytest.mark.parametrize(
    ("name", "inputs", "task", "kind"),
    [
        *((name, ["text", "text_pair"], "answer", "question-answering") for name in OF_TEXT),
        *((name, ["text"], "mlm", "masked-lm") for name in OF_TEXT),
        ("mention-replacement", ["text"], "mood", "sentiment"),
        ("pair-swapping", ["text", "text_pair"], "entails", "sentiment"),
        *((name, ["text"], "mood", "sentiment") for name in OF_PICTURES),
    ],
)
def test_what_cannot_be_applied_is_refused_by_both_names(name, inputs, task, kind):
    augmentation = made(name)
    with pytest.raises(UserError, match="Dataset 'd'") as caught:
        augmentation.check("d", inputs, {task: HEADS[kind]})
    assert augmentation.title in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"word-deletions": {}}, "Did you mean 'word-deletion'"),
        ({"word-deletion": {"rates": 1}}, "has no option 'rates'"),
        ({"word-deletion": {"p": 1.5}}, "p must be"),
        ({"word-deletion": {"rate": -1}}, "rate must be"),
        ({"word-deletion": {"schedule": "cosine"}}, "schedule must be one of"),
        ({"word-deletion": {"datasets": "d"}}, "datasets must be a list"),
        ({"pair-swapping": {}}, "symmetric must be"),
        ({"resized-crop": {"scale": 0.5}}, "scale must be two numbers"),
        ({"resized-crop": {"scale": [0, 1]}}, "scale must be two numbers"),
        ({"resized-crop": {"ratio": [2, 1]}}, "ratio must be two numbers"),
        ({"color-jitter": {"contrast": 2}}, "contrast must be"),
        ([1], "must be a mapping"),
    ],
)
def test_wrong_options_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        make_augmentations(given)


@pytest.mark.parametrize("name", OF_PICTURES)
@given(width=st.integers(1, 40), height=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_a_picture_stays_one_and_follows_from_the_seed(name, width, height, seed):
    pixels = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    row = Row("d", 0, "a text", image=read_picture(pixels), labels={"digit": "one"})
    new, again = (made(name).augment(row, np.random.default_rng(seed), []) for _ in range(2))
    found = np.asarray(new.image)
    assert np.array_equal(found, np.asarray(again.image))
    assert found.dtype == np.uint8
    assert found.shape[0] in range(1, height + 1)
    assert found.shape[1] in range(1, width + 1)
    assert (new.text, new.labels) == (row.text, row.labels)
    assert np.array_equal(np.asarray(row.image), pixels)  # the picture given is not changed
    if name == "horizontal-flip":
        assert np.array_equal(found, pixels[:, ::-1])
    if name == "vertical-flip":
        assert np.array_equal(found, pixels[::-1])
    if name == "color-jitter":
        assert found.shape == pixels.shape
    assert made(name).augment(Row("d", 0, "a text"), np.random.default_rng(0), []).image is None


@pytest.mark.parametrize("name", OF_PICTURES)
@given(
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    places=st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=4),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_boxes_stay_on_their_objects(name, size, places, seed):
    width, height = size
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    boxes = []
    # Object k has bit k of the red channel: objects may lie over one another.
    for number, (x, y, w, h) in enumerate(places):
        left, top = int(x * (width - 1)), int(y * (height - 1))
        right, bottom = left + 1 + int(w * (width - left - 1)), top + 1 + int(h * (height - top - 1))
        pixels[top:bottom, left:right, 0] |= 1 << number
        boxes.append((left, top, right, bottom))
    objects = Objects(tuple(boxes), tuple(map(str, range(len(boxes)))), width, height, clipped=1)
    row = Row("d", 0, "", image=read_picture(pixels), labels={"cells": objects, "digit": "one"}, picture_size=size)
    augmentation = made(name)
    augmentation.check("d", ["image"], {"cells": HEADS["object-detection"]})
    new = augmentation.augment(row, np.random.default_rng(seed), [])
    found = new.labels["cells"]
    assert new.labels["digit"] == "one"
    assert row.labels["cells"] is objects
    assert (found.width, found.height) == new.image.size == new.picture_size
    if not augmentation.moves_pixels:
        assert found.boxes == objects.boxes
        return
    red, kept = np.asarray(new.image)[..., 0], dict(zip(found.labels, found.boxes, strict=True))
    for number, (left, top, right, bottom) in enumerate(boxes):
        rows, columns = (red >> number & 1).nonzero()
        share = len(rows) / ((right - left) * (bottom - top))
        assert (str(number) in kept) == (share >= augmentation.least_visible)
        if str(number) in kept:
            seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert kept[str(number)] == tuple(map(float, seen))
    plain = augmentation.augment(replace(row, labels={}), np.random.default_rng(seed), [])
    assert np.array_equal(np.asarray(plain.image), np.asarray(new.image))


def test_labels_at_places_of_a_picture_refuse_what_moves_its_pixels():
    class Places(Head):
        reads = "image"

    for name in OF_PICTURES:
        if AUGMENTATIONS[name].moves_pixels:
            with pytest.raises(UserError, match=r"Dataset 'd', task 'cells': .* labels at places"):
                made(name).check("d", ["image"], {"cells": Places})
        else:
            made(name).check("d", ["image"], {"cells": Places})


def shortened(row, rng):
    return Row(row.dataset, row.index, row.text[:1], labels=row.labels)


@pytest.mark.parametrize(
    ("function", "message"),
    [(shortened, "1 words"), (lambda row, rng: "text", "returned str"), (lambda row, rng: Row("d", 0, []), "empty")],
)
def test_what_a_custom_function_returns_is_checked(function, message):
    augment = Augmenter(make_augmentations({"mine": function}), 0, {"d": ["ner"]})
    with pytest.raises(UserError, match=message) as caught:
        augment(Row("d", 3, ["a", "b"], labels={"ner": ["O", "O"]}, drawn=0), 0)
    assert "row 3" in str(caught.value)
    assert "'mine'" in str(caught.value)


def test_the_probability_follows_the_factor_of_the_step():
    factors = [0.0, 0.5, 1.0]
    augment = Augmenter(
        make_augmentations({"word-deletion": {"p": 1.0, "rate": 0.9, "schedule": "learning-rate"}}), 0, {}, factors
    )
    rows = [Row("d", i, "one two three four five six", drawn=0) for i in range(200)]
    changed = [sum(augment(row, step) != row for row in rows) / len(rows) for step in range(3)]
    assert changed[0] == 0
    assert 0.35 < changed[1] < 0.65
    assert changed[2] > 0.95


@pytest.mark.parametrize("name", OF_TAGS)
@pytest.mark.parametrize(
    "tags",
    ["I-a I-a B-a O I-a I-b", "B-a E-a S-a O B-a I-a E-a S-b", "B-a L-a U-a O U-b"],
    ids=["IOB1", "IOBES", "BILOU"],
)
def test_entities_stay_apart_in_other_schemes(name, tags):
    tags = tags.split()
    row = Row("d", 0, [f"w{i}" for i in range(len(tags))], labels={"ner": tags}, drawn=0)
    augmentation = made(name).learned([(row, "ner")])
    for seed in range(50):
        new = augmentation.augment(row, np.random.default_rng(seed), ["ner"])
        assert kinds_of(new.labels["ner"]) == kinds_of(tags)
        assert len(new.text) == len(new.labels["ner"])
