"""`link-down`: nobody listens where the link is entered, and its connections are cut. A canary is refused.

A disabled proxy bears no name, so a companion that does stands beside it: a toxic that touches no connection. It comes
first and goes last, so that there is never a disabled proxy of ours without it.
"""

from aftershock.adapters.canary import knock
from aftershock.adapters.threads import within
from aftershock.adapters.toxiproxy import Server, Toxic
from aftershock.core.lease import Lease
from aftershock.errors import TargetError
from aftershock.faults.fault import Evidence, Fault, Parameters, Site
from aftershock.faults.link import PATIENCE, LinkHold, clock, undo

NAME = "link-down"
COMPANION = "noop"
"""The toxic that stands beside a disabled proxy, and nowhere else. It touches no connection."""


class LinkDown(Parameters, frozen=True, kw_only=True):
    """A link that is down is down in both directions, for everybody: there is nothing to choose."""


class DownHold(LinkHold):
    """One link that is down for one lease. Its canary only knocks."""

    def __init__(self, site: Site, lease: Lease) -> None:
        super().__init__(site, lease, talks=False)

    async def inject(self) -> None:
        """Put the companion there, then disable the proxy."""
        await within(2 * PATIENCE, self._down, await self.proxy())
        await self.remember()

    async def observe(self) -> Evidence:
        """Try to connect, and look for the companion."""
        if self.line is None:
            raise TargetError("the canary doesn't know the link yet", "call prepare() first")
        seen = await knock(self.line)
        listed = self.lease.name in await within(PATIENCE, self.server.toxics, await self.proxy())
        saw = f"{self.line} {'was refused' if seen.end == 'refused' else 'was accepted'}"
        saw += f"; Toxiproxy {'lists' if listed else 'does not list'} {self.lease.name}"
        return Evidence(seen.end == "refused" and listed, f"canary at the link {self.link.name}", saw + self.aside)

    async def heal(self) -> None:
        """Enable the proxy, then take the companion away; without a companion the proxy is not ours to enable."""
        await within(2 * PATIENCE, revive, self.server, await self.proxy(), self.lease.name)

    async def left(self) -> list[str]:
        """Name the companion, if it is still there."""
        proxy = await self.proxy()
        listed = await within(PATIENCE, self.server.toxics, proxy)
        return [f"proxy {proxy} is disabled under {self.lease.name}"] if self.lease.name in listed else []

    def _down(self, proxy: str) -> None:
        self.server.add_toxic(proxy, Toxic(self.lease.name, COMPANION, toxicity=0.0))
        self.server.disable(proxy)


def revive(server: Server, proxy: str, companion: str) -> None:
    """Enable a proxy that has the companion, and remove that. Without it, nothing is done."""
    if companion in server.toxics(proxy):
        server.enable(proxy)
        server.remove_toxic(proxy, companion)


def being_up(link: str) -> str:
    """Return what one fault at a time can take from a link."""
    return f"whether the link {link} is up"


def _hold(site: Site, lease: Lease, _wanted: LinkDown) -> DownHold:
    return DownHold(site, lease)


LINK_DOWN = Fault(
    name=NAME,
    summary="Nobody listens where the link is entered, and its connections are cut.",
    target="link",
    parameters=LinkDown,
    hold=_hold,
    clock=clock,
    undo=undo,
    alone=lambda site, _: (being_up(site.target),),
)
