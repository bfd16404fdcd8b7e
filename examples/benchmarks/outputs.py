"""Where results go, looked at before anything is measured: types of arguments for argparse."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path


def output_file(text: str) -> Path:
    """A file that can be there: it is no folder, and its own folder is there."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{path} is a folder; this is the name of a file")
    return output_folder(path.parent) / path.name


def output_folder(text: str | Path) -> Path:
    """A folder that is there."""
    path = Path(text)
    if not path.is_dir():
        raise ArgumentTypeError(f"there is no folder {path}")
    return path
