"""The peer of bench/reconciling.py: as bare an operator as kopf allows. It writes the status of each Experiment so many times.

Run: KUBECONFIG=… python bench/bare_kopf.py NAMESPACE WRITES. The last write says `phase: Finished`, of a Run-like status in
the Experiment's own. `WRITES` 0 only watches, Experiments and Runs: for what it costs to know them.

No finalizer, no progress kept in annotations, no Events posted: each event leads to the next write, by kopf's own client.
"""

import asyncio
import logging
import sys
from typing import Any

import kopf

GROUP, VERSION = "aftershock.dev", "v1alpha1"


def main() -> None:
    namespace, writes = sys.argv[1], int(sys.argv[2])
    logging.getLogger("kopf").setLevel(logging.CRITICAL)
    asyncio.run(
        kopf.operator(registry=registry(writes), settings=settings(), namespaces=[namespace], standalone=True),
    )


def settings() -> kopf.OperatorSettings:
    """Return the same settings as ours."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    return chosen


def registry(writes: int) -> kopf.OperatorRegistry:
    kinds = kopf.OperatorRegistry()

    @kopf.on.login(registry=kinds)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**arguments)

    @kopf.on.event(GROUP, VERSION, "experiments", registry=kinds)
    async def experiment(status: kopf.Status, meta: kopf.Meta, patch: kopf.Patch, **_: Any) -> None:
        done = len(status.get("active") or [])
        if done < writes and not meta.get("deletionTimestamp"):
            patch.status["active"] = [f"write-{number}" for number in range(done + 1)]
            if done + 1 == writes:
                patch.status["lastVerdict"] = "Passed"

    @kopf.on.event(GROUP, VERSION, "runs", registry=kinds)
    async def run(**_: Any) -> None:
        return

    return kinds


if __name__ == "__main__":
    main()
