"""What every kind has in common: strict frozen records, and `metadata`."""

from typing import Literal

import msgspec

API_VERSION = "aftershock.dev/v1alpha1"
ApiVersion = Literal["aftershock.dev/v1alpha1"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Base of everything that stands in YAML: frozen, camelCase outside, unknown fields are errors."""


class Metadata(Record, frozen=True, kw_only=True):
    """A document's name and labels. `name` follows the Kubernetes rules for object names."""

    name: str
    namespace: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


KEPT_BY_SERVER = frozenset(
    {
        "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName", "generation",
        "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
    }
)  # fmt: skip
"""What an API server keeps in `metadata`: no part of a definition, nor a slip of whoever exported it."""


class Secret(Record, frozen=True, kw_only=True):
    """Where a secret value comes from. Exactly one source is set; the value itself never stands in a document."""

    env: str | None = None
    file: str | None = None
    secret_ref: "SecretRef | None" = None


class SecretRef(Record, frozen=True, kw_only=True):
    """A key of a Kubernetes Secret in the document's own namespace."""

    name: str
    key: str
