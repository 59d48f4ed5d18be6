"""`kubectl aftershock plan`: what a run in the cluster would do. Touches nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aftershock.cli.kubectl.app import reaches

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place


@click.command(
    epilog="\b\nExamples:\n  kubectl aftershock plan db-connection-exhaustion\n  kubectl aftershock plan ./mine.yaml"
)
@click.argument("name", metavar="EXPERIMENT|FILE")
@click.option("--era", "eras", multiple=True, metavar="NAME", help="Judge by this Era of the cluster; may be repeated.")
@reaches()
def command(place: "Place", name: str, eras: tuple[str, ...]) -> None:
    """Show timeline, targets, leases, blast radius of a run and what judges it, without touching anything.

    The Experiment is one of the cluster, or a file that is not applied yet; Stack and Eras are the cluster's.
    """
    from aftershock.errors import InputError
    from aftershock.reports import outline
    from aftershock.runtime.cluster import inputs, objects

    experiment = _from_file(Path(name), place) if _is_file(name) else place.experiment(name)
    run = objects.run_tree(experiment, experiment["metadata"]["name"])
    if eras:
        run["spec"]["eras"] = list(eras)
    try:
        request = inputs.planned(place.api, run)
    except inputs.Lacking as lacking:
        raise InputError(
            f"{lacking.reason}: {lacking.message}", "apply what is missing, or mend what it says"
        ) from None
    click.echo(outline.text(request.plan, request.experiment.object, request.stack.object, request.eras))


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or Path(name).is_file()


def _from_file(path: Path, place: "Place") -> dict[str, Any]:
    from aftershock.runtime import loading

    tree = dict(loading.experiment_from(path).tree)
    meta = {**tree["metadata"], "namespace": place.namespace, "uid": "", "generation": 1}
    return {**tree, "metadata": meta}
