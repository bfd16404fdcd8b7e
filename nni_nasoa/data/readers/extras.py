"""Packages that a form of datasets needs and that come as extras of this one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nni_nasoa.data.arrays import DatasetError


def imported(module: str, extra: str, place: str) -> Any:
    """A module of a package that may not be installed.

    Parameters
    ----------
    module
        Its whole name.
    extra
        Of this package, that installs it.
    place
        The dataset, as messages call it.

    Raises
    ------
    DatasetError
        It is not installed. One line that says what installs it.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise DatasetError(f"{place}: needs {package}: pip install 'nni-nasoa[{extra}]'") from None
