"""The journal that a command line means: of a run of this machine, or of a Run of a cluster (`run/NAME`)."""

from pathlib import Path

IN_CLUSTER = "run/"


def journal(name: str, namespace: str | None) -> Path:
    """Return the journal's file; one that is kept in object storage is copied here first."""
    from aftershock.runtime import folders

    if not name.startswith(IN_CLUSTER) or Path(name).exists():
        return folders.find(name)
    from aftershock.adapters.kubernetes import Api
    from aftershock.runtime.cluster import journals

    api = Api.connect()
    return journals.find(api, namespace or api.namespace, name.removeprefix(IN_CLUSTER))
