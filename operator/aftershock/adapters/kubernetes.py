"""The Kubernetes API, through pykube-ng, and the only importer of it: plain trees in and out, every call with a deadline.

Synchronous, as pykube-ng is: asynchronous callers use `threads.within`. Nothing is retried here, and nothing decided: each
state of the world that a caller may have to tell apart is an error of its own. pykube-ng is loaded when it is first used.
"""

import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from aftershock.adapters.credentials import Credentials
from aftershock.adapters.kubeconfig import Access, access
from aftershock.adapters.lazily import lazily
from aftershock.errors import AftershockError, InputError, TargetError

if TYPE_CHECKING:
    import pykube
    import requests

    from aftershock.adapters import door
else:
    pykube, requests, door = lazily("pykube"), lazily("requests"), lazily("aftershock.adapters.door")

Tree = dict[str, Any]
TIMEOUT = 5.0
"""Seconds that one call may take."""

Patience = float | tuple[float, float]
"""Seconds for a call; or those for connecting, and those for the answer."""

HURRIED = (0.7, 2.0)
"""For calls that come again soon: so short that who looks each second sees an API server within two of its answering."""

CLOSED = "it closed the connection"

MERGE = "application/merge-patch+json"


class ApiAwayError(TargetError):
    """The API server can't be reached, or can't answer now (429, 5xx). Whatever was asked may or may not have been done."""


class MissingError(TargetError):
    """There is no such object."""


class ConflictError(TargetError):
    """It is there already, or was changed since it was read."""


class ForbiddenError(TargetError):
    """A right is missing; the message names verb and resource."""


class RefusedError(InputError):
    """The API server finds the object invalid."""


class Resource(msgspec.Struct, frozen=True):
    """A kind of objects, as its URL names it. `group_version` like `apps/v1`, or `v1` for the core group."""

    group_version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.group_version.rpartition("/")[0]


OURS = "aftershock.dev/v1alpha1"
ERAS = Resource(OURS, "eras", namespaced=False)
STACKS = Resource(OURS, "stacks")
EXPERIMENTS = Resource(OURS, "experiments")
RUNS = Resource(OURS, "runs")
PODS = Resource("v1", "pods")
NODES = Resource("v1", "nodes", namespaced=False)
SECRETS = Resource("v1", "secrets")
SERVICES = Resource("v1", "services")
EVENTS = Resource("v1", "events")
NAMESPACES = Resource("v1", "namespaces", namespaced=False)
JOBS = Resource("batch/v1", "jobs")
DEPLOYMENTS = Resource("apps/v1", "deployments")
STATEFUL_SETS = Resource("apps/v1", "statefulsets")
LEASES = Resource("coordination.k8s.io/v1", "leases")
REVIEWS = Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
AUTOSCALERS = Resource("autoscaling/v2", "horizontalpodautoscalers")
NETWORK_POLICIES = Resource("networking.k8s.io/v1", "networkpolicies")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "endpointslices")


class Api:
    """One API server, as one user. Threads may share it: a call borrows a connection that is open already, if one is idle."""

    def __init__(self, access: Access, timeout: Patience = TIMEOUT) -> None:
        self._access, self._timeout = access, timeout
        self._credentials = Credentials(access)
        self._idle: list[pykube.HTTPClient] = []
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None, timeout: Patience = TIMEOUT) -> Self:
        """Read how to reach the cluster: the file, $KUBECONFIG, the pod's service account, or ~/.kube/config, in this order.

        InputError where there is none that can be read. Nothing is sent yet.
        """
        return cls(access(kubeconfig, context), timeout)

    @property
    def namespace(self) -> str:
        """The namespace of the context, or of the pod."""
        return self._access.namespace

    @property
    def server(self) -> str:
        """The API server's address."""
        return self._access.server

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Tree:
        """Return an object. MissingError if there is none."""
        return self.call("GET", resource, name, namespace)

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Tree | None:
        """Return an object, or None if there is none."""
        try:
            return self.get(resource, name, namespace)
        except MissingError:
            return None

    def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Tree]:
        """Return all objects, of one namespace or of all; `labels` and `fields` are selectors as kubectl has them."""
        wanted = {"labelSelector": labels, "fieldSelector": fields}
        answer = self.call("GET", resource, "", namespace, params={k: v for k, v in wanted.items() if v})
        return list(answer.get("items") or [])

    def create(self, resource: Resource, tree: Mapping[str, Any], namespace: str | None = None) -> Tree:
        """Create an object and return it as it is now. ConflictError if it is there already."""
        return self.call("POST", resource, "", namespace or tree.get("metadata", {}).get("namespace"), json=tree)

    def patch(
        self,
        resource: Resource,
        name: str,
        change: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str = "",
    ) -> Tree:
        """Merge a change (RFC 7386: null removes, lists are replaced) and return the object.

        With `metadata.resourceVersion` in the change it is made only to what was read: ConflictError otherwise.
        """
        way = f"{name}/{subresource}" if subresource else name
        return self.call("PATCH", resource, way, namespace, json=change, headers={"Content-Type": MERGE})

    def replace(
        self, resource: Resource, tree: Mapping[str, Any], namespace: str | None = None, *, subresource: str = ""
    ) -> Tree:
        """Put an object in the place of what was read (its `resourceVersion` says what that was), and return it."""
        meta = tree["metadata"]
        way = f"{meta['name']}/{subresource}" if subresource else meta["name"]
        return self.call("PUT", resource, way, namespace or meta.get("namespace"), json=tree)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str = "",
        grace: int | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete an object; none there is as good. With `uid` only that one: ConflictError if another bears its name."""
        options: Tree = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self.call("DELETE", resource, name, namespace, json=options)
        except MissingError:
            return

    def log(self, pod: str, namespace: str) -> bytes:
        """Return the log of a pod that has one container. MissingError if there is no such pod."""
        return self._answer("GET", PODS, f"{pod}/log", namespace).content

    def may(self, verb: str, resource: Resource, namespace: str | None = None, *, subresource: str = "") -> bool:
        """Tell whether this user may do it, in one namespace or in all. Everybody may ask that."""
        asked: Tree = {"verb": verb, "group": resource.group, "resource": resource.plural, "subresource": subresource}
        if namespace and resource.namespaced:
            asked["namespace"] = namespace
        tree = {
            "apiVersion": REVIEWS.group_version,
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        return bool(self.create(REVIEWS, tree)["status"]["allowed"])

    def now(self) -> float:
        """Return the API server's clock, seconds since the epoch. It tells whole seconds; ours fills in the rest."""
        try:
            with self._client() as client:
                answer = client.session.get(f"{client.url}/version", timeout=self._timeout)
        except requests.RequestException as error:
            raise self._away(error) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise _error(answer, "GET /version")
        try:
            told = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            raise TargetError(
                f"what answers at {self.server} tells no time", "see whether KUBECONFIG leads to an API server"
            ) from None
        return min(max(time.time(), told), told + 1)

    def _away(self, error: "requests.RequestException") -> ApiAwayError:
        return ApiAwayError(
            f"the API server {self.server} can't be reached: {_reason(error)}", "see whether it runs; KUBECONFIG"
        )

    def call(
        self,
        method: str,
        resource: Resource,
        way: str = "",
        namespace: str | None = None,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Tree:
        """Carry out one call and return the answer's tree; `way` is what follows the resource in the URL."""
        return dict(self._answer(method, resource, way, namespace, json=json, params=params, headers=headers).json())

    def _answer(
        self,
        method: str,
        resource: Resource,
        way: str,
        namespace: str | None,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "requests.Response":
        what = f"{method} {resource.plural}{f'/{way}' if way else ''}{f' in {namespace}' if namespace else ''}"
        within = {"namespace": namespace} if resource.namespaced and namespace else {}
        url = f"/{resource.plural}/{way}" if way else f"/{resource.plural}"
        try:
            with self._client() as client:
                answer: requests.Response = client.request(
                    method,
                    url=url,
                    version=resource.group_version,
                    json=json,
                    params=params,
                    headers=headers,
                    timeout=self._timeout,
                    **within,
                )
        except requests.RequestException as error:
            raise self._away(error) from None
        except OSError as error:  # requests finds a certificate's file missing before it sends anything
            raise InputError(f"can't log in to {self.server}: {error}", "see the kubeconfig's certificates") from None
        if answer.ok:
            return answer
        raise _error(answer, what)

    def hurried(self, timeout: Patience) -> "Api":
        """Return the same Api for calls that have so long: it borrows the same connections."""
        twin = Api(self._access, timeout)
        twin._credentials, twin._idle, twin._lock = self._credentials, self._idle, self._lock
        return twin

    @contextmanager
    def _client(self) -> "Iterator[pykube.HTTPClient]":
        """Lend a client that nobody else uses meanwhile, with a connection that may be open already."""
        with self._lock:
            client = self._idle.pop() if self._idle else None
        client = client or self._made()
        try:
            yield client
        finally:
            with self._lock:
                self._idle.append(client)

    def _made(self) -> "pykube.HTTPClient":
        client = pykube.HTTPClient(_config(self._access))
        client.session = door.session(self._access, self._credentials)
        return client


ANEW = 600.0
"""Seconds after which credentials are read again: a pod's token is replaced while it runs."""


def shared(timeout: Patience = TIMEOUT) -> Api:
    """Return the Api of this process's surroundings, the same for all who ask, for as long as its credentials are good."""
    return _shared(os.environ.get("KUBECONFIG", ""), int(time.monotonic() // ANEW), timeout)


@lru_cache(maxsize=8)
def _shared(kubeconfig: str, when: int, timeout: Patience) -> Api:
    return Api.connect() if timeout == TIMEOUT else _shared(kubeconfig, when, TIMEOUT).hurried(timeout)


def _config(found: Access) -> "pykube.KubeConfig":
    """Return the address for pykube. Who sends is the session's matter: pykube knows fewer logins than kubectl."""
    return pykube.KubeConfig.from_url(found.server)


def _reason(error: "requests.RequestException") -> str:
    """Say in a few words what requests and urllib3 wrap three times."""
    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError(verify_message=str(why)) if why:
                return f"its certificate is not trusted: {why}"
            case ssl.SSLEOFError():
                return CLOSED
            case ConnectionError() if not cause.strerror:  # http.client's RemoteDisconnected
                return CLOSED
            case ssl.SSLError(reason=str(why)):
                return f"TLS fails: {why.replace('_', ' ').lower()}"
            case OSError(strerror=str(why)):
                return why
    return str(error)[:200]


def _causes(error: BaseException) -> "Iterator[BaseException]":
    """Yield what an error was made of, the innermost first; urllib3 keeps it in `reason`, requests among its arguments."""
    inner = [getattr(error, "reason", None), error.__cause__, error.__context__, *error.args]
    for each in inner:
        if isinstance(each, BaseException):
            yield from _causes(each)
    yield error


GRANT = "grant that right: the chart's role has it; for Services with toxiproxy.enabled, for nodes with regionFaults.enabled"


def _error(answer: "requests.Response", what: str) -> AftershockError:
    said = _message(answer)
    match answer.status_code:
        case 404:
            return MissingError(f"{what}: {said}", _sought(what.split()[1].partition("/")[0]))
        case 409:
            return ConflictError(f"{what}: {said}", "it was changed meanwhile: read it again")
        case 401:
            return ForbiddenError(f"{what}: {said}", "log in anew: the API server doesn't know these credentials")
        case 403 if "because it is being terminated" in said:
            return ForbiddenError(f"{what}: {said}", "wait until the namespace is gone")
        case 403:
            return ForbiddenError(f"{what}: {said}", GRANT)
        case 400 | 413 | 415 | 422:
            return RefusedError(f"{what}: {said}", "mend the object; `aftershock validate` says the same with lines")
        case code:
            return ApiAwayError(f"{what}: the API server answered {code}: {said}", "try again in a moment")


def _sought(plural: str) -> str:
    """Say what to do about an object that isn't there, or whose kind isn't."""
    if plural in {resource.plural for resource in (ERAS, STACKS, EXPERIMENTS, RUNS)}:
        return f"see `kubectl get {plural}`, and whether Aftershock's CRDs are installed"
    return f"see `kubectl get {plural}`, and apply it"


def _message(answer: "requests.Response") -> str:
    try:
        return str(answer.json().get("message") or answer.reason)
    except (ValueError, AttributeError):
        return answer.text[:200].strip() or str(answer.reason)
