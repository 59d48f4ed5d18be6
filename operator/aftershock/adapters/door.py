"""The way to an API server: a session that goes to one cluster as one user, and shows the credential that is good now."""

import os
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import InsecureRequestWarning

from aftershock.adapters.credentials import Credential, Credentials, path
from aftershock.adapters.kubeconfig import Access, Tree


class Door(HTTPAdapter):
    """Sends requests to one cluster as one user. A login that has run out is made anew, once."""

    def __init__(self, access: Access, credentials: Credentials) -> None:
        self._credentials = credentials
        self._verify = _verify(access.cluster)
        self._name = access.cluster.get("tls-server-name")
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Expect the server under the name that the kubeconfig gives it."""
        named = {"assert_hostname": self._name, "server_hostname": self._name} if self._name else {}
        super().init_poolmanager(*args, **{**kwargs, **named})

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send it, and once more if another login might help."""
        shown = self._credentials.now()
        answer = self._as(shown, request, *args, **kwargs)
        if answer.status_code != 401 or not self._credentials.refused(shown):
            return answer
        answer.close()
        return self._as(self._credentials.now(), request, *args, **kwargs)

    def _as(self, shown: Credential, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if shown.header:
            request.headers["Authorization"] = shown.header
        kwargs["cert"] = shown.certificate
        if self._verify is not None:
            kwargs["verify"] = self._verify
        return super().send(request, *args, **kwargs)


def session(access: Access, credentials: Credentials) -> requests.Session:
    """Return a session that speaks to the cluster. What ~/.netrc says of its host is not for it.

    The environment is read once, and not for every call; what the kubeconfig says comes before it, as kubectl has it.
    """
    made = requests.Session()
    made.trust_env = False
    made.proxies = _proxies(access)
    made.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    for scheme in ("https://", "http://"):
        made.mount(scheme, Door(access, credentials))
    return made


def _proxies(access: Access) -> dict[str, str]:
    """Return the proxy on the way to the cluster, by scheme: that of the kubeconfig, or else of the environment."""
    if proxy := access.cluster.get("proxy-url"):
        return {"http": str(proxy), "https": str(proxy)}
    return dict(get_environ_proxies(access.server, no_proxy=None))


def _verify(cluster: Tree) -> str | bool | None:
    """Return what a server's certificate is held against: a file, nothing (False), or what the machine trusts (None)."""
    if cluster.get("insecure-skip-tls-verify"):
        urllib3.disable_warnings(InsecureRequestWarning)  # whoever wrote that need not be told with every call
        return False
    return path(cluster, "certificate-authority")
