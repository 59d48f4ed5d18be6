"""The way to an API server: connections that stay open, to one cluster as one user, with the credential that is good now.

pykube's client builds the address of each call and hands it to a session; this is that session. It speaks urllib3 itself:
what `requests` looks up anew for every call (proxies, ~/.netrc, certificates' files) is twice the cost of a whole call.
"""

import json as text
import ssl
import urllib.request
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import InsecureRequestWarning

from aftershock.adapters.credentials import Credential, Credentials, path
from aftershock.adapters.kubeconfig import Access, Tree

WIDTH = 64
"""Connections that may be kept open at once: as many as threads that call."""

Patience = float | tuple[float, float]


class Door:
    """Sends requests to one cluster as one user; threads may share it. A login that has run out is made anew, once."""

    def __init__(self, access: Access, credentials: Credentials) -> None:
        self._access, self._credentials = access, credentials
        self._pool = lru_cache(maxsize=2)(self._opened)  # one is enough, but while a certificate is replaced

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Patience,
    ) -> urllib3.BaseHTTPResponse:
        """Send it, once more if another login might help, and return the whole answer. urllib3's HTTPError, or OSError."""
        body = None if json is None else text.dumps(json, allow_nan=False).encode()
        told = {"Accept": "application/json", **({} if body is None else {"Content-Type": "application/json"})}
        told |= headers or {}
        if params:
            url = f"{url}?{urlencode(params)}"
        shown = self._credentials.now()
        answer = self._as(shown, method, url, body, told, timeout)
        if answer.status != 401 or not self._credentials.refused(shown):
            return answer
        return self._as(self._credentials.now(), method, url, body, told, timeout)

    def get(self, url: str, *, timeout: Patience) -> urllib3.BaseHTTPResponse:
        """Read."""
        return self.request("GET", url, timeout=timeout)

    def _as(
        self, shown: Credential, method: str, url: str, body: bytes | None, headers: Mapping[str, str], patience: Patience
    ) -> urllib3.BaseHTTPResponse:
        login = {"Authorization": shown.header} if shown.header else {}
        connect, read = patience if isinstance(patience, tuple) else (patience, patience)
        return self._pool(shown.certificate).urlopen(
            method,
            url,
            body=body,
            headers={**headers, **login},
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=connect, read=read),
        )

    def _opened(self, certificate: tuple[str, str] | None) -> urllib3.PoolManager:
        """Return what keeps the connections on which that certificate is shown. OSError where one can't be read."""
        how: dict[str, Any] = {"maxsize": WIDTH, "num_pools": 2, "ssl_context": _trust(self._access.cluster, certificate)}
        if name := self._access.cluster.get("tls-server-name"):
            how |= {"assert_hostname": name, "server_hostname": name}
        by = _proxy(self._access)
        return urllib3.ProxyManager(by, **how) if by else urllib3.PoolManager(**how)


def _trust(cluster: Tree, certificate: tuple[str, str] | None) -> ssl.SSLContext:
    """Return what a server's certificate is held against: a file, nothing, or what the machine trusts; and what is shown."""
    authority = path(cluster, "certificate-authority")
    for file in {authority, *(certificate or ())} - {None}:
        Path(str(file)).stat()  # the error of TLS does not name it
    context = ssl.create_default_context(cafile=authority)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        urllib3.disable_warnings(InsecureRequestWarning)  # whoever wrote that need not be told with every call
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def _proxy(access: Access) -> str | None:
    """Return the proxy on the way: what the kubeconfig says, or else the environment, as kubectl has it."""
    server = urlsplit(access.server)
    if access.cluster.get("proxy-url"):
        return str(access.cluster["proxy-url"])
    if urllib.request.proxy_bypass(server.hostname or ""):
        return None
    return urllib.request.getproxies().get(server.scheme)
