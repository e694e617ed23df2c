"""``hf-mtl distill``: one model that learns from several."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hf_mtl.cli.train import train
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.training_methods import Lesson

__all__ = ["distill"]

#: The file of the teachers' answers in the run folder.
_ANSWERS = "teachers.parquet"


def distill(
    recipe: Path = typer.Argument(help="The recipe of the one model, a YAML file.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.learning_rate=1e-4", show_default=False
    ),
    teachers: list[str] = typer.Option(
        ...,
        "--teachers",
        help="The teachers: models' folders or Hub ids, one after another; task=FOLDER for a task by name.",
        show_default=False,
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The run folder; by default the recipe's.", show_default=False
    ),
    annealing: str = typer.Option("linear", help="How the teachers' share changes: linear (to 0) or constant."),
    temperature: float = typer.Option(1.0, help="What the logits of classes are divided by."),
    alpha: float = typer.Option(1.0, help="The teachers' share of the loss when training begins, from 0 to 1."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, say who teaches what, and stop."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the model that the run folder holds."),
    resume: bool = typer.Option(False, "--resume", help="Continue from the run folder's last checkpoint."),
) -> None:
    """Let the teachers answer all training rows once, then train one model as a recipe says, with their answers.

    The answers are kept in the run folder as teachers.parquet; a second run, or one after a kill, uses what is there.
    """
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.cli.train import check_run_folder
    from hf_mtl.training_methods import Distillation

    given = _by_task(teachers)
    # Wrong options are found before teachers run for hours.
    Distillation(teachers=given, annealing=annealing, temperature=temperature, alpha=alpha)

    from hf_mtl.distillation import store_predictions
    from hf_mtl.recipe import Recipe
    from hf_mtl.training_methods import match_teachers

    asked = [*(overrides or ()), *([] if output is None else [f"training.output_dir={json.dumps(str(output))}"])]
    with quiet_libraries():
        read = Recipe.load(recipe, asked)
        folder = Path(read.training_arguments().output_dir or "")
        if not dry_run:
            check_run_folder(folder, overwrite, resume)
        prepared = read.prepare()
        prepared.refuse_streams("hf-mtl distill")
        console = stdout_console()
        if dry_run:
            console.print(_text(match_teachers(given, prepared.tasks)), markup=False, soft_wrap=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            lessons = store_predictions(
                given, prepared.train, prepared.tasks, folder / _ANSWERS, max_length=prepared.args.max_length
            )
            console.print(_text(lessons), markup=False, soft_wrap=True)
    options: dict[str, Any] = {"annealing": annealing, "temperature": temperature, "alpha": alpha}
    options["teachers"] = given if dry_run else str(folder / _ANSWERS)
    method = f"methods.distillation={json.dumps(options, ensure_ascii=False)}"
    train(recipe, [*asked, method], dry_run, overwrite, resume)


def _by_task(teachers: list[str]) -> list[str] | dict[str, str]:
    """Return folders, or folders by task where they are named.

    Raises:
        UserError: If only some are named.
    """
    # A folder's name may hold the sign, too.
    pairs = [name.partition("=") for name in teachers if not Path(name).is_dir()]
    named = [(task, folder) for task, equals, folder in pairs if equals]
    if not named:
        return teachers
    if len(named) < len(teachers):
        raise UserError("--teachers: some are named task=FOLDER and some are not. Name all of them or none.")
    if len(dict(named)) < len(named):
        raise UserError("--teachers: a task is named twice. A task has one teacher.")
    return dict(named)


def _text(lessons: Mapping[str, Lesson]) -> str:
    return "\n".join(f"{name}: taught by {lesson.task!r} of {lesson.folder}" for name, lesson in lessons.items())
