"""The suite is as large as it claims."""

from tests.hostile import (
    test_data_files,
    test_folders,
    test_inputs,
    test_names,
    test_recipes,
    test_rows,
    test_spellings,
)


def test_there_are_more_than_seven_hundred_and_fifty_cases():
    folders = len(test_folders.DAMAGED) + len(test_folders.CHANGES) + len(test_folders.MATRIX)
    rows = len(test_rows.CASES) + 2 * len(test_rows.INPUTS) + 3 * len(test_rows.FILES)
    recipes = len(test_recipes.CASES) + 2 * len(test_recipes.TEXTS) + len(test_recipes.SLIPS)
    inputs = len(test_inputs.INPUTS) + len(test_inputs.PLACES) + len(test_inputs.ARGUMENTS)
    names, files = 4 * len(test_names.NAMES), len(test_data_files.FILES)
    files += len(test_spellings.SPELLINGS) + len(test_spellings.FORMS)
    assert min(folders, rows, recipes, inputs, names, files) >= 50
    assert folders + rows + recipes + inputs + names + files >= 750
