"""What an experiment's trial command says of how candidates are compared, for the tuner's arguments."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

import click

from .class_args import ClassArgsError
from .search_trial import SearchTrialSettings
from .search_trial import main as search_trial

MODULE = "nni_nasoa.plugin.search_trial"


def trial_settings(config: Mapping[str, Any], argument: str) -> SearchTrialSettings:
    """The settings of a search's trials.

    Parameters
    ----------
    config
        The experiment's, as NNI keeps it.
    argument
        Of the tuner's, that needs them: an error begins with it.

    Raises
    ------
    ClassArgsError
        The trials are not those of a search of ours, or have options that these do not take.
    """
    place = f"classArgs: {argument}"
    try:
        words = shlex.split(str(config.get("trialCommand") or ""))
    except ValueError as error:
        raise ClassArgsError(f"{place}: trialCommand: {error}") from None
    if MODULE not in words:
        raise ClassArgsError(f"{place}: needs trials of {MODULE}, and trialCommand does not run that")
    try:
        options = search_trial.make_context("search_trial", words[words.index(MODULE) + 1 :]).params
    except click.ClickException as error:
        raise ClassArgsError(f"{place}: trialCommand: {error.format_message()}") from None
    names = {field.name for field in dataclasses.fields(SearchTrialSettings)}
    return SearchTrialSettings(**{name: value for name, value in options.items() if name in names})
