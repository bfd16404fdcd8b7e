"""timm and torchvision, imported without what compiles networks, and what draws their curves.

While they are imported, both ask torch._dynamo for one small thing, and timm asks whether wandb is there. To
import these two takes longer than all the rest of both (2.1 of 3.1 s on two cores, where PyTorch takes 1.5 to
2). Seconds count where the budget is fifteen. So something else stands in their places meanwhile, which knows
the small things, and imports what it stands for where it is asked for another one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_DYNAMO, _UTILS, _WANDB = "torch._dynamo", "torch._dynamo.utils", "wandb"


def imported(name: str) -> ModuleType:
    """Import timm or torchvision, or a module of theirs, without what they hardly need of others."""
    if name.partition(".")[0] in sys.modules:
        return importlib.import_module(name)
    with _others_aside():
        return importlib.import_module(name)


@contextmanager
def _others_aside() -> Iterator[None]:
    """Something stands in the places of what is not imported yet, and is installed, in this context."""
    import torch

    aside = []
    if _DYNAMO not in sys.modules:
        utils = _Aside(_UTILS, is_compile_supported=_is_compile_supported)
        dynamo = _Aside(_DYNAMO, disable=_disable, utils=utils)
        dynamo.together = utils.together = [dynamo, utils]
        aside += dynamo.together
        torch._dynamo = dynamo  # as the import of a submodule does
    if _WANDB not in sys.modules and find_spec(_WANDB) is not None:
        aside.append(_Aside(_WANDB))
    sys.modules.update({module.__name__: module for module in aside})
    try:
        yield
    finally:
        for module in aside:
            module.make_way()


class _Aside(ModuleType):
    """Stands in the place of a module, which is imported where something is asked that this one lacks.

    Parameters
    ----------
    name
        The module's.
    known
        What it is not imported for.

    Attributes
    ----------
    together
        Those that make way when this one does.
    """

    def __init__(self, name: str, **known: Any) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.together = [self]
        self.__dict__.update(known)

    def make_way(self) -> None:
        """Leave the place to the module."""
        import torch

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        if torch.__dict__.get("_dynamo") is self:
            del torch._dynamo

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system asks
            raise AttributeError(name)
        for module in self.together:
            module.make_way()
        return getattr(importlib.import_module(self.__name__), name)


def _is_compile_supported(device_type: Any) -> Any:
    """torch._dynamo's, which torchvision keeps under this name: asked of it when it is called."""
    return importlib.import_module(_UTILS).is_compile_supported(device_type)


def _disable(fn: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
    """Mark a function as one that is not compiled, as torch._dynamo's decorator does."""
    if fn is None:
        return _disable
    fn._torchdynamo_disable = True  # type: ignore[attr-defined]
    return fn
