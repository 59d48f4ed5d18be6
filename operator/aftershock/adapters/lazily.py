"""Modules that are only loaded when they are used: a run that touches no database pays nothing for the driver."""

import importlib
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    """Stands in for a module until the first name is asked of it."""

    def __getattr__(self, name: str) -> Any:
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


def lazily(name: str) -> ModuleType:
    """Return a stand-in for the module `name`."""
    return _Lazy(name)
