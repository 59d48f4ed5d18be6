"""The journal that a command line means: of a run of this machine, or of a Run of a cluster (`run/NAME`)."""

from pathlib import Path

KINDS = ("run", "runs", "arun", "run.aftershock.dev", "runs.aftershock.dev")
"""What may stand before the name of a Run of a cluster: whatever kubectl takes, and what `-o name` prints."""


def in_cluster(name: str) -> str | None:
    """Return the name of the Run of a cluster that is meant; None for one of this machine. InputError where it is no name.

    >>> in_cluster("run/slow-1"), in_cluster("run.aftershock.dev/slow-1"), in_cluster("slow-1")
    ('slow-1', 'slow-1', None)
    """
    kind, slash, run = name.partition("/")
    if not slash or kind not in KINDS or Path(name).exists():
        return None
    from aftershock.errors import InputError
    from aftershock.model import names

    for problem, advice in names.name(run):
        raise InputError(problem, f"write it like run/slow-1, as `kubectl get runs` has it: {advice}")
    return run


def journal(name: str, namespace: str | None) -> Path:
    """Return the journal's file; one that is kept in object storage is copied here first."""
    from aftershock.runtime import folders

    run = in_cluster(name)
    if run is None:
        return folders.find(name)
    from aftershock.adapters.kubernetes import Api
    from aftershock.runtime.cluster import journals

    api = Api.connect()
    return journals.find(api, namespace or api.namespace, run)
