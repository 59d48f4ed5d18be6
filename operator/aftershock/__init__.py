"""Aftershock: chaos engineering and incident replay, with evidence.

>>> import aftershock
>>> outcome = aftershock.run("experiments/db-connection-exhaustion.yaml")    # doctest: +SKIP
>>> outcome.judgements[0].verdict                                            # doctest: +SKIP
<Verdict.PASSED: 'Passed'>

Importing it costs nothing; what is used is imported when it is first asked for.
"""

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aftershock.api import judge, plan, read, run, validate

__version__ = "0.1.0"
__all__ = ["__version__", "judge", "plan", "read", "run", "validate"]


def __getattr__(name: str) -> object:
    """Find the public functions in `aftershock.api`, the first time that one is used."""
    if name in __all__:
        return getattr(importlib.import_module("aftershock.api"), name)
    raise AttributeError(f"module 'aftershock' has no attribute {name!r}")
