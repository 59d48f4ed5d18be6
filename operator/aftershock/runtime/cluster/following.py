"""Looks on while Runs go: by asking for them again and again, so that neither a lost watch nor a restart hides anything."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aftershock.adapters.kubernetes import RUNS, Api, ApiAwayError, Tree
from aftershock.errors import InputError
from aftershock.runtime.cluster.asking import Place

Say = Callable[[str], object]
AGAIN = 0.5
"""Seconds between two looks."""

UNHEEDED = 15.0
"""Seconds after which a Run that nobody has taken notice of is worth a word."""


def looks(place: Place, say: Say) -> Iterator[list[Tree]]:
    """Yield all Runs of a place, again and again; while the API is away, say so once and go on asking."""
    away = False
    while True:
        try:
            found = place.all(RUNS)
            away = False
            yield found
        except ApiAwayError as error:
            if not away:
                say(f"note: {error.problem}; still asking, and runs go on meanwhile")
            away = True
        time.sleep(AGAIN)


def follow(api: Api, run: Mapping[str, Any], seen: Callable[[Tree], object], say: Say) -> Iterator[Tree]:
    """Yield one Run as it is, again and again, and hand each look to `seen`. InputError once it is gone."""
    meta = run["metadata"]
    begun = time.monotonic()
    warned = False
    for found in looks(Place(api, meta["namespace"]), say):
        mine = next((tree for tree in found if tree["metadata"]["uid"] == meta["uid"]), None)
        if mine is None:
            raise InputError(f"the Run {meta['name']} was deleted", "`kubectl get runs` lists those that are there")
        seen(mine)
        yield mine
        if not warned and _unheeded(mine) and time.monotonic() - begun > UNHEEDED:
            say("note: no operator has taken notice of it yet; does one run, and for this namespace?")
            warned = True


def _unheeded(run: Mapping[str, Any]) -> bool:
    return not (run.get("status") or {}).get("conditions")
