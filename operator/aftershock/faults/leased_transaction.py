"""A transaction that is held open for one lease. The faults that are one differ in what it does first.

Its session bears the lease's name, and an `idle_in_transaction_session_timeout` that ends with the lease: the server itself
rolls it back, though we be frozen. The timeout is set before the transaction begins, and once more when it has done its work,
since it counts from the end of a statement.
"""

from aftershock.adapters import postgres
from aftershock.adapters.postgres import Session
from aftershock.faults.leased_sessions import SessionsHold

TIMEOUT = "idle_in_transaction_session_timeout"


class TransactionHold(SessionsHold):
    """The part of a Hold that every such fault has. `work` is done in the transaction, which then stays open."""

    async def work(self, opened: Session) -> None:
        """Do in the open transaction what the fault is. Raises TargetError."""
        raise NotImplementedError

    async def inject(self) -> None:
        """Begin, do the work, and let the server end it with the lease."""
        if self.held:
            return
        opened = await postgres.connect(self.login, self.lease.name, {TIMEOUT: f"{await self.left_ms()}"})
        self.held.append(opened)
        await postgres.perform(opened, "BEGIN")
        await self.work(opened)
        await postgres.query(opened, "SELECT set_config(%s, %s, false)", TIMEOUT, f"{await self.left_ms()}")
