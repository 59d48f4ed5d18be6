"""toxiproxy-python, and the only importer of it: its object model, spoken through a transport of ours.

The package keeps host and port in class state and opens a connection a call. `Consumer` takes the place of its APIConsumer
and sends each call to the server that `speaking` names in the calling context, so that several can be used at once.
"""

from contextvars import ContextVar
from typing import Any, Protocol

import toxiproxy.proxy
import toxiproxy.server
from toxiproxy.api import validate_response
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists
from toxiproxy.proxy import Proxy
from toxiproxy.server import Toxiproxy


class Spoken(Protocol):
    """A server that can be called: returns what the package takes for a response of requests'."""

    def call(self, method: str, path: str, json: Any = None) -> Any:
        """Carry out one call."""


speaking: ContextVar[Spoken] = ContextVar("the Toxiproxy spoken to")


class Consumer:
    """Stands in for toxiproxy-python's APIConsumer: the same calls, to the server of the calling context."""

    @staticmethod
    def get(url: str) -> Any:
        """GET a path."""
        return validate_response(speaking.get().call("GET", url))

    @staticmethod
    def delete(url: str) -> Any:
        """DELETE a path."""
        return validate_response(speaking.get().call("DELETE", url))

    @staticmethod
    def post(url: str, json: Any = None) -> Any:
        """POST a JSON body to a path."""
        return validate_response(speaking.get().call("POST", url, json))


toxiproxy.proxy.APIConsumer = toxiproxy.server.APIConsumer = Consumer

__all__ = ["Consumer", "InvalidToxic", "NotFound", "Proxy", "ProxyExists", "Toxiproxy", "speaking"]
