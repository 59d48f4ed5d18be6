"""The rules that no type can state: what the fields of one record must be to each other. Rules across documents: against.py."""

from aftershock.model import names
from aftershock.model.metadata import Metadata, Secret, SecretRef
from aftershock.model.rules import era, experiment, stack
from aftershock.model.rules.making import Findings, Rules, also, exactly_one, labels, texts


@also()
def _metadata_maps(metadata: Metadata) -> Findings:
    yield from labels(metadata.labels, "labels")
    for key in metadata.annotations:
        for message, advice in names.label_key(key):
            yield ("annotations", key), message, advice


RULES: Rules = {
    Metadata: (texts(name=names.name, namespace=names.label), _metadata_maps),
    Secret: (exactly_one("env", "file", "secret_ref"), texts(env=names.variable, file=names.something)),
    SecretRef: (texts(name=names.name, key=names.secret_key),),
    **era.RULES,
    **stack.RULES,
    **experiment.RULES,
}
"""The rules of each record, by its type."""
