"""Every fault, one line each."""

from collections.abc import Mapping

from aftershock.faults.bandwidth import BANDWIDTH
from aftershock.faults.db_connection_exhaustion import DB_CONNECTION_EXHAUSTION
from aftershock.faults.fault import Fault
from aftershock.faults.latency import LATENCY
from aftershock.faults.limit_data import LIMIT_DATA
from aftershock.faults.link_down import LINK_DOWN
from aftershock.faults.node_drain import NODE_DRAIN
from aftershock.faults.pod_kill import POD_KILL
from aftershock.faults.process_hold_down import PROCESS_HOLD_DOWN
from aftershock.faults.process_kill import PROCESS_KILL
from aftershock.faults.process_pause import PROCESS_PAUSE
from aftershock.faults.region_loss import REGION_LOSS
from aftershock.faults.reset_peer import RESET_PEER
from aftershock.faults.slicer import SLICER
from aftershock.faults.slow_close import SLOW_CLOSE
from aftershock.faults.timeout import TIMEOUT
from aftershock.faults.traffic_spike import TRAFFIC_SPIKE
from aftershock.faults.workload_hold_down import WORKLOAD_HOLD_DOWN

_ALL = (
    DB_CONNECTION_EXHAUSTION,
    LATENCY,
    BANDWIDTH,
    SLOW_CLOSE,
    TIMEOUT,
    RESET_PEER,
    SLICER,
    LIMIT_DATA,
    LINK_DOWN,
    PROCESS_KILL,
    PROCESS_PAUSE,
    PROCESS_HOLD_DOWN,
    POD_KILL,
    WORKLOAD_HOLD_DOWN,
    NODE_DRAIN,
    REGION_LOSS,
    TRAFFIC_SPIKE,
)

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _ALL}
