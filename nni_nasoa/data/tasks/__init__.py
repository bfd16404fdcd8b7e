"""Small image classification tasks, drawn here: letters, shapes, textures, signs of random hands, ...

    list_tasks(held_out=False)                           # names
    get_task("signs-20").classes
    open_dataset("task:signs-20", input_size=48)

An image follows from the task's name, so a task is the same everywhere. Kinds that are held out are for
evaluation alone.
"""

from __future__ import annotations

from nni_nasoa.data.arrays import DatasetError, ImageSplit
from nni_nasoa.values import shown, suggestion

from .task import Drawing, Task

__all__ = ["Task", "get_task", "list_tasks", "open_task"]

PREFIX = "task:"


def list_tasks(held_out: bool | None = None) -> list[str]:
    """Names of the tasks; of those that are held out, or are not, or of all."""
    return [
        name for name, drawing in drawings().items() if held_out is None or drawing.task.held_out == held_out
    ]


def get_task(name: str) -> Task:
    """A task by its name.

    Raises
    ------
    DatasetError
        There is none of that name. The message is one line.
    """
    return _drawing(name).task


def open_task(name: str, input_size: int) -> ImageSplit:
    """The images of a task, named "task:NAME"; see `Dataset.open`."""
    from .drawn_cache import open_drawing

    return open_drawing(_drawing(name), input_size)


def _drawing(name: str) -> Drawing:
    known = drawings()
    if name in known:
        return known[name]
    raise DatasetError(f"task: there is none of the name {shown(name)}; {suggestion(name, known)}")


def drawings() -> dict[str, Drawing]:
    """How each task is drawn, by its name."""
    from . import (
        arrangements,
        colours,
        creatures,
        glyphs,
        held_out,
        held_out_figures,
        instruments,
        made_things,
        printed,
        road_signs,
        shapes,
        sketches,
        structures,
        textures,
        views,
    )

    rooms = (
        glyphs,
        shapes,
        textures,
        colours,
        sketches,
        instruments,
        structures,
        road_signs,
        made_things,
        creatures,
        arrangements,
        views,
        printed,
        held_out,
        held_out_figures,
    )
    return {drawing.task.name: drawing for room in rooms for drawing in room.DRAWINGS}
