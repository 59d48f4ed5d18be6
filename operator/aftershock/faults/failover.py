"""`db-primary-loss` of a database that fails over: the server that takes the writes is lost, whichever that is when it begins.

What follows is its failover manager's business, and what the run is about. Before, the manager is asked whether anybody would
take over: a loss without that would be another experiment.
"""

from collections.abc import Sequence

from aftershock.adapters import patroni, postgres, processes, secrets
from aftershock.adapters.patroni import Agreed, Cluster
from aftershock.adapters.postgres import Login
from aftershock.adapters.threads import within
from aftershock.core.lease import Lease
from aftershock.errors import InputError, TargetError
from aftershock.faults import lost_part
from aftershock.faults.fault import Site
from aftershock.faults.lost_part import Answer, By, LostPartHold
from aftershock.faults.process import workload_of
from aftershock.model.stack import Failover, Member

PATIENCE = 2 * patroni.DEADLINE + 0.5
_LEADING = frozenset({"leader", "standby_leader"})
_SYNCHRONOUS = frozenset({"sync_standby", "quorum_standby"})
"""Roles, in Patroni's words."""


class LostMemberHold(LostPartHold):
    """The server of a database that takes the writes, lost for one lease. Which one it is, is found in `prepare`."""

    client = "a login"

    def __init__(self, site: Site, lease: Lease, by: By, failover: Failover) -> None:
        super().__init__(site, lease, by, parts=[])
        self.site, self.lease, self.failover = site, lease, failover
        self.member: Member | None = None

    async def prepare(self) -> None:
        """Find who takes the writes, and see that somebody else could."""
        await doubt(self.site, self.failover)
        self.member = await self._primary()
        self.parts = lost_part.holds(self.site.at(self.member.name), self.lease, self.by)
        await super().prepare()

    async def inject(self) -> None:
        """Take it away, if it is still the one."""
        if not await self._is_primary(self._found()):
            raise TargetError(
                f"{self._found().name} does not take the writes any more",
                "something else made it fail over: run it again",
            )
        await super().inject()

    async def ask(self) -> Answer:
        """Ask the server itself what it is. One that is cut off steps down, for which it is stopped and started: its manager
        runs all the while.
        """
        name = self._found().name
        try:
            kind = "takes the writes" if await self._is_primary(self._found()) else "is a replica"
        except TargetError as error:
            if self.by != "partition" or not await within(PATIENCE, self._runs):
                raise
            return Answer(alive=True, sound=True, saw=f"{name} runs, and starts its server anew: {error.problem}")
        return Answer(alive=True, sound=True, saw=f"past the links {name} answers, and {kind}")

    def _runs(self) -> bool:
        """Ask the kernel, or, of one that is no process of this machine, its manager."""
        try:
            workload = workload_of(self.site.at(self._found().name))
            return processes.state(processes.root_of(workload, self.site.folder)) is not None
        except InputError:
            return self._manager_answers()
        except TargetError:
            return False

    def _manager_answers(self) -> bool:
        try:
            return bool(patroni.cluster(self._found().url).members)
        except TargetError:
            return False

    def _found(self) -> Member:
        if self.member is None:
            raise TargetError("it is not known yet which server takes the writes", "call prepare() first")
        return self.member

    async def _primary(self) -> Member:
        said = []
        for each in self.failover.members:
            try:
                if await self._is_primary(each):
                    return each
                said.append(f"{each.name} is a replica")
            except TargetError as error:
                said.append(error.problem)
        raise TargetError(
            f"no server of {self.site.target} takes the writes: {'; '.join(said)}",
            "see whether its manager has a leader",
        )

    async def _is_primary(self, member: Member) -> bool:
        login = Login(member.name, secrets.read(member.observer, self.site.folder))
        async with postgres.session(login, "aftershock-canary") as opened:
            ((recovers,),) = await postgres.query(opened, "SELECT pg_is_in_recovery()")
        return not recovers


def refuse(site: Site, failover: Failover, by: By) -> None:
    """Refuse servers that could not be taken away and brought back, by what the Stack says: it may be any of them."""
    for each in failover.members:
        lost_part.refuse(site.at(each.name), by)


async def doubt(site: Site, failover: Failover) -> None:
    """Ask the manager whether somebody would take over: InputError where it would not."""
    cluster, agreed = await within(PATIENCE, _asked, failover.members)
    if why := unwilling(cluster, agreed):
        raise InputError(f"the failover manager of {site.target} would do nothing: {why[0]}", why[1])


def unwilling(cluster: Cluster, agreed: Agreed) -> tuple[str, str] | None:
    """Return why nobody would take over from the leader, and what to do; None where somebody would."""
    if cluster.pause:
        return "it is paused, so nobody would take over", "`patronictl resume` ends that; or take `process-hold-down`"
    others = [each for each in cluster.members if each.role not in _LEADING]
    if len(others) == len(cluster.members):
        return "nobody takes the writes now", "see `patronictl list`, and mend that first"
    refusals = []
    for each in others:
        if not each.up:
            refusals.append(f"{each.name} is {each.state}")
        elif each.tags.get("nofailover"):
            refusals.append(f"{each.name} may not (its tag `nofailover`)")
        elif agreed.synchronous and each.role not in _SYNCHRONOUS:
            refusals.append(f"{each.name} is not synchronous, and only such a one may")
        elif not agreed.synchronous and (not isinstance(each.lag, int) or each.lag > agreed.maximum_lag_on_failover):
            refusals.append(f"{each.name} lags by {each.lag} bytes, of at most {agreed.maximum_lag_on_failover}")
        else:
            return None
    return "; ".join(refusals) or "there is no other server", "see `patronictl list`, and mend that first"


def _asked(members: Sequence[Member]) -> tuple[Cluster, Agreed]:
    """Ask the first manager that answers."""
    *rest, last = members
    for each in rest:
        try:
            return patroni.cluster(each.url), patroni.agreed(each.url)
        except TargetError:
            continue
    return patroni.cluster(last.url), patroni.agreed(last.url)
