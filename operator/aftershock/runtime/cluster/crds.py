"""The CustomResourceDefinitions: `crds()` for whoever applies them, and `python -m aftershock.runtime.cluster.crds` to write
them into the chart. A test sees if the chart's are not what the types say.
"""

import time
from pathlib import Path

from aftershock.adapters.kubernetes import ERAS, Api, ApiAwayError, ForbiddenError, MissingError
from aftershock.faults.registry import FAULTS
from aftershock.model.schema.crd import KINDS, crd
from aftershock.model.schema.types import Tree
from aftershock.model.write import dump_yaml

FOLDER = Path("charts") / "aftershock" / "templates" / "crds"
NOTE = "# Generated: python -m aftershock.runtime.cluster.crds\n"
HEAD = "{{- if .Values.crds.install }}\n"
KEEP = """  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep  # without its definition, every object of a kind would go
  {{- end }}
"""


def crds() -> list[Tree]:
    """Return every definition, as plain trees."""
    return [crd(kind, FAULTS) for kind in KINDS]


def text() -> str:
    """Return all definitions as YAML for `kubectl apply`."""
    return dump_yaml(*crds())


def templates() -> dict[Path, str]:
    """Return the chart's templates: each definition as the chart installs it, and keeps it when it is uninstalled."""
    return {FOLDER / f"{tree['spec']['names']['plural']}.yaml": _template(tree) for tree in crds()}


def await_served(api: Api, patience: float = 120.0) -> None:
    """Return once an Era can be asked for, and so can the others: a definition is there a moment before its objects can be.

    The last error of the API after `patience` seconds. A right that was granted just now is learned of a moment later, too.
    """
    end = time.monotonic() + patience
    while True:
        try:
            api.list(ERAS)
        except (ApiAwayError, MissingError, ForbiddenError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


def _template(tree: Tree) -> str:
    """Helm reads `{{` wherever it stands: what stands in the definition itself is written so that it is none."""
    head, name, rest = dump_yaml(tree).replace("{{", '{{ "{{" }}').partition(f"  name: {tree['metadata']['name']}\n")
    return NOTE + HEAD + head + name + KEEP + rest + "{{- end }}\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in templates().items():
        path.write_text(content, encoding="utf-8")
