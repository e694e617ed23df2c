"""Texts that are amounts, dates or times are known by their form."""

import pytest

from hf_mtl.data._quantities import number_advice, quantity_remark

EITHER = "with decimal: ',' or thousands: ',', as they are meant,"


@pytest.mark.parametrize(
    ("texts", "advice"),
    [
        (["1,5", "2,5", "3"], "with decimal: ','"),
        (["0,125", "1,250"], "with decimal: ','"),
        (["1,000", "25"], EITHER),
        (["1,000,000", "3"], "with thousands: ','"),
        (["1,234.5", "2"], "with thousands: ','"),
        (["1.234,5", "2"], "with decimal: ',' and thousands: '.'"),
        (["1'000", "20"], 'with thousands: "\'"'),
        (["1\u202f000", "2"], "with thousands: '\\u202f'"),
        (["12", "1,5", "1,000,000"], "as numbers of one form"),
        (["1.000", "2.500"], "as numbers, or with thousands: '.', as they are meant,"),
        (["1e-3", "2"], "as numbers"),
        ([".5", "1."], "as numbers"),
        (["\u22121.5", "2"], "as numbers"),
        (["-1", "0", "1"], None),
        (["a", "1.5"], None),
        (["1.2.3", "1.2.4"], None),
        ([], None),
    ],
)
def test_numbers_in_texts_are_known_with_their_signs(texts, advice):
    assert number_advice(texts) == advice


@pytest.mark.parametrize(
    ("what", "texts"),
    [
        ("percentages", ["10%", "20 %", "12,5%"]),
        ("sums of money", ["$5", "$1,000.50", "$3"]),
        ("sums of money", ["5 \u20ac", "7\u20ac", "USD 9"]),
        ("dates or times", ["2024-01-05", "2024-02-01T12:30:00Z", "2023-01-01 07:15"]),
        ("dates or times", ["1/5/2024", "2/6/2023", "3/1/22"]),
        ("dates or times", ["5 Jan 2024", "6. M\u00e4rz 2024", "March 7, 2023"]),
        ("dates or times", ["12:30", "1:45 pm", "03:10:07"]),
        ("fractions", ["1/2", "3/4", "1/4"]),
        ("several spellings of yes and no", ["true", "No", "yes"]),
        ("whole numbers", [str(i) for i in range(21)]),
        ("numbers with a unit", [f"{i} kg" for i in range(21)]),
    ],
)
def test_amounts_dates_and_times_are_remarked_on(what, texts):
    assert quantity_remark(texts).startswith(what)


@pytest.mark.parametrize(
    "texts",
    [
        ["low", "mid", "high"],
        ["True", "False"],
        ["true", "false", "True"],
        ["1", "2", "3"],
        ["2020", "2021", "2022"],
        ["1-5", "6-10", "11-20"],
        ["18-25", "26-35", "36+"],
        ["5 stars", "4 stars", "3 stars"],
        ["1st", "2nd", "3rd"],
        ["A1", "B2", "C3"],
        ["UK", "US", "DE"],
        ["v1.0", "v1.1", "v2.0"],
        ["10%", "20%", "many"],
        [],
    ],
)
def test_names_of_classes_are_not(texts):
    assert quantity_remark(texts) is None
