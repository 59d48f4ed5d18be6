"""The plugin's commands by name, each imported when it is called, and the options by which all of them reach a cluster."""

from collections.abc import Callable, Set
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from aftershock.cli.app import Commands

if TYPE_CHECKING:
    from aftershock.runtime.cluster.asking import Place

PROGRAM = "kubectl aftershock"
COMMANDS = {
    "run": "Run an Experiment again.",
    "plan": "Show timeline, targets and blast radius; touch nothing.",
    "watch": "Follow a run, or all of a namespace.",
    "report": "Write a run's report.",
    "judge": "Judge a run again, against any eras.",
    "abort": "End a run, and wait until it is clean.",
    "halt": "End every run of a namespace, or of the cluster.",
}

EPILOG = """\b
Start here:
  kubectl apply -f experiment.yaml
  kubectl aftershock run db-connection-exhaustion --wait

\b
Exit codes: 0 Passed, 1 Failed, 2 Inconclusive or Aborted, 3 and up the tool
failed (each says why and what to do), 64 wrong usage. --debug shows tracebacks.
"""


class Plugin(Commands):
    """Finds `kubectl aftershock NAME` in the module of that name here."""

    room = "aftershock.cli.kubectl"
    listed = COMMANDS
    unlisted: ClassVar[Set[str]] = frozenset()


@click.command(cls=Plugin, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aftershock", message="aftershock %(version)s")
def group() -> None:
    """Run failure experiments in a cluster, and read their verdicts.

    As you, in the namespace of your context: kubeconfig and rights are those that kubectl has.
    """


def reaches(*, everywhere: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command kubectl's options, and call it with the `place` that they mean. `everywhere`: it knows -A too."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def called(
            *,
            namespace: str | None,
            context: str | None,
            kubeconfig: Path | None,
            all_namespaces: bool = False,
            **rest: Any,
        ) -> Any:
            if namespace and all_namespaces:
                raise click.UsageError("Give --namespace or --all-namespaces, not both.")
            return command(place=_place(namespace, context, kubeconfig, everywhere=all_namespaces), **rest)

        options = [
            click.option("-n", "--namespace", metavar="NS", help="The namespace; that of the context if left out."),
            click.option("--context", metavar="NAME", help="A context of the kubeconfig other than the current one."),
            click.option("--kubeconfig", metavar="FILE", type=click.Path(path_type=Path), help="Instead of $KUBECONFIG."),
        ]  # fmt: skip
        if everywhere:
            options.append(click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace."))
        for option in reversed(options):
            called = option(called)
        return called

    return decorate


def _place(namespace: str | None, context: str | None, kubeconfig: Path | None, *, everywhere: bool) -> "Place":
    from aftershock.adapters.kubernetes import Api
    from aftershock.runtime.cluster.asking import Place

    api = Api.connect(kubeconfig, context)
    return Place(api, None if everywhere else namespace or api.namespace)
