import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.recipe import RecipeError
from hf_mtl.recipe._yaml import apply_overrides, dump_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("5.0e-5", 5e-5),
        ("2E3", 2000.0),
        ("-3", -3),
        (".5", 0.5),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"),
        ("~", None),
        ("", None),
        ("'3'", "3"),
        ("1e", "1e"),
    ],
)
def test_plain_values_are_read_as_people_mean_them(text, value):
    found = parse_yaml(text)
    assert found == value
    assert type(found) is type(value)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1),
        st.one_of(st.text(st.characters(codec="utf-8")), st.booleans(), st.integers(), st.floats(allow_nan=False)),
    )
)
def test_writing_and_reading_is_the_identity(values):
    assert parse_yaml(dump_yaml(values)) == values


@pytest.mark.parametrize("label", ["1e5", "no", "010", "1:30", "null", "true", "3", "2024-01-31", "=", "<<"])
def test_written_strings_stay_strings_in_both_dialects(label):
    text = dump_yaml({"labels": [label]})
    assert parse_yaml(text) == {"labels": [label]}
    assert yaml.safe_load(text) == {"labels": [label]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' occurs twice. Keep one of them."),
        ("a: {b: 1, b: 2}", "line 1: the key 'b' occurs twice. Keep one of them."),
        ("1: a", "line 1: the key 1 is not text. Put it in quotes."),
        ("a: [1, 2", "line 1, column 9: not valid YAML: expected ',' or ']', but got '<stream end>'."),
        ("!!python/object/apply:os.getcwd []", "line 1, column 1: not valid YAML: could not determine a constructor"),
    ],
)
def test_mistakes_name_their_line(text, message):
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text)
    assert str(caught.value).startswith(message)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "its aliases (*name) expand to more than 200,000 values"),
        (BOMB.replace("[", "{k: ").replace(", ", ", k"), "not valid YAML"),
        ("a: &a [*a]", "line 1: an alias (*name) lies in what it stands for"),
        ("a: &a\n  b: {<<: *a}", "line 1: an alias (*name) lies in what it stands for"),
        ("[" * 5000 + "]" * 5000, "not valid YAML: it is nested too deeply."),
        ("a: " + "x" * 1_100_000, "more than 1,000,000 characters, which no recipe has. Is it the right file?"),
    ],
)
def test_what_would_fill_memory_is_one_line(text, message):
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_values_of_a_column_may_be_numbers_where_they_are_given_names():
    assert parse_yaml("t: {labels: {0: no, 1.5: yes, true: x}}") == {"t": {"labels": {0: "no", 1.5: "yes", True: "x"}}}


def test_anchors_and_merges_work():
    assert parse_yaml("a: &x {p: 1, q: 2}\nb: {<<: *x, p: 3}") == {"a": {"p": 1, "q": 2}, "b": {"p": 3, "q": 2}}


def test_overrides_leave_the_given_values_as_they_were():
    values = {"training": {"seed": 1}}
    assert apply_overrides(values, ["training.seed=2", "sampling.strategy=x"]) == {
        "training": {"seed": 2},
        "sampling": {"strategy": "x"},
    }
    assert values == {"training": {"seed": 1}}


def test_an_override_may_hold_equals_signs_and_lists():
    assert apply_overrides({}, ["a.b='x=y'", "c=[no, 1e-1]"]) == {"a": {"b": "x=y"}, "c": ["no", 0.1]}


@pytest.mark.parametrize("override", ["training", "=1", "training.=1", ".x=1", "encoder.x=1", "a=[1"])
def test_a_wrong_override_is_named(override):
    with pytest.raises(RecipeError, match=r"^override ") as caught:
        apply_overrides({"encoder": "bert"}, [override])
    assert repr(override) in str(caught.value)
