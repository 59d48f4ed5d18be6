"""The stack of era 1m as pods: three regions, of which two are nodes, and DNS that leads clients to one that is well."""

import base64
import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

import aftershock
from aftershock.core.history import Ledgered
from aftershock.probes.names import resolve_at
from cluster import ground, images
from cluster.conftest import CHARTS
from cluster.doors import Namespace, Told
from cluster.journals import history, kept
from cluster.programs import until

RELEASE = "meetings-1m"
SHIPPED = images.ROOT / "experiments"
SERVERS = ("db-us-west-a", "db-us-west-b")
"""Of us-west's database: the one that is named first makes it, and takes the writes until something happens to it."""
EAST, WEST, EUROPE = "us-east", "us-west", "eu-west"
NODES = {"regionNodes": {each: {"topology.kubernetes.io/region": each} for each in (EAST, WEST)}}
"""The third region has no node of its own here: its pods are wherever there is room."""

PASSED = Told("Passed", {
    "FaultLanded": ("True", "Landed"), "ObjectivesHeld": ("True", "WithinBudget"),
    "Recovered": ("True", "Held"), "CleanedUp": ("True", "Clean"),
})  # fmt: skip


@pytest.fixture(scope="module")
def wide(stack: Namespace) -> Iterator[Namespace]:
    """The stack is up beside Aftershock; nothing of it stays when it is uninstalled."""
    with kept(stack):
        install(stack)
        yield stack
        stack.cluster.helm("uninstall", RELEASE, "-n", stack.name, "--wait")
        until("nothing of it is left", lambda: not left(stack), ground.FOLDER)


def install(stack: Namespace, *more: str) -> None:
    """Install the stack, or make it as it is to be now, and wait until all of it is ready."""
    repository, tag = images.STACK.split(":")
    image = {"image": {"repository": repository, "tag": tag, "pullPolicy": "Never"}}
    words = [
        word for name, value in {**image, **NODES}.items() for word in ("--set-json", f"{name}={json.dumps(value)}")
    ]
    where = ["-n", stack.name, "-f", CHARTS / "era-stack" / "values-1m.yaml", "--wait", "--timeout", "240s"]
    line = ["upgrade", "--install", RELEASE, CHARTS / "era-stack", *where, *words, *more]
    stack.cluster.helm(*line, patience=300)


def left(wide: Namespace) -> list[str]:
    kinds = "pods,services,configmaps,secrets,deployments,statefulsets,stacks"
    found = wide.tree(kinds, "-l", f"app.kubernetes.io/part-of={RELEASE}")["items"]
    return [f"{each['kind']} {each['metadata']['name']}" for each in found]


def pod(wide: Namespace, part: str) -> dict[str, Any]:
    labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/name={part}"
    (found,) = wide.tree("pods", "-l", labels)["items"]
    return dict(found)


def ask(wide: Namespace, part: str, port: int, path: str, body: dict[str, str] | None = None) -> Any:
    """Ask a pod itself, past every link."""
    url = f"http://{pod(wide, part)['status']['podIP']}:{port}{path}"
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Names:
    """The DNS server, and the Services that clients come in by: regions, by address."""

    server: str
    ways: dict[str, str]

    @classmethod
    def of(cls, wide: Namespace) -> "Names":
        """Find them: with what this says DNS can be asked without asking the cluster."""
        services = wide.tree("services", "-l", f"app.kubernetes.io/part-of={RELEASE}")["items"]
        named = {each["spec"]["clusterIP"]: each["metadata"]["name"] for each in services}
        ways = {address: name.removeprefix(f"{RELEASE}-client-to-") for address, name in named.items()}
        return cls(f"{pod(wide, 'dns')['status']['podIP']}:5353", ways)

    def lead_to(self) -> str:
        """Ask the DNS server where clients are led, and return the region whose Service that is."""
        ((_, address),), lives = resolve_at(self.server, "meetings.test", 80)
        assert lives == 1
        return self.ways[str(address[0])]


def led_to(wide: Namespace) -> str:
    """Return the region that clients are led to."""
    return Names.of(wide).lead_to()


@pytest.fixture(autouse=True)
def _whole(wide: Namespace) -> None:
    """Clients are led to the first region, as they are where all are well."""
    until("clients are led to us-east", lambda: led_to(wide) == EAST, ground.FOLDER)


def test_each_region_is_on_its_node_and_the_dns_server_is_named_by_its_service(wide: Namespace) -> None:
    for region in (EAST, WEST):
        for part in ("gateway", "app", "db", "cache"):
            assert pod(wide, f"{part}-{region}")["spec"]["nodeName"] == region
    for part in (*SERVERS, "etcd-us-west"):
        assert pod(wide, part)["spec"]["nodeName"] == WEST
    spec = wide.tree("stack", RELEASE)["spec"]
    assert spec["resolver"]["address"] == f"{RELEASE}-dns.{wide.name}.svc:53"
    assert {each["name"] for each in spec["regions"]} == {EAST, WEST}
    assert {each["region"] for each in spec["workloads"] if each["name"] != "dns"} == {EAST, WEST, EUROPE}


def test_what_is_written_in_one_region_is_in_all(wide: Namespace) -> None:
    for region in (EAST, WEST):
        ask(wide, f"gateway-{region}", 8080, "/notes", {"id": f"of-{region}", "text": region})
    for region in (EAST, WEST, EUROPE):
        until(
            f"{region} has both notes",
            lambda at=region: (
                {f"of-{EAST}", f"of-{WEST}"}  # type: ignore[misc]
                <= set(ask(wide, f"gateway-{at}", 8080, "/notes?prefix=of-"))
            ),
            ground.FOLDER,
        )


@pytest.fixture
def applied(wide: Namespace) -> Iterator["Applied"]:
    """Applies an experiment, which is gone at the end, with its runs."""
    made = Applied(wide)
    yield made
    wide.kubectl("delete", "experiment", made.name, "--timeout=120s", patience=130)


@dataclass
class Applied:
    wide: Namespace
    name: str = ""

    def run(self, what: str | Path) -> str:
        self.name = Path(what).stem
        run = self.wide.apply(what)
        self.wide.reaches(run, "{.status.phase}=Active")
        return run

    def ledgers(self, run: str) -> dict[str, Ledgered]:
        found = {each.indicator: each for each in history(self.wide, run).all(Ledgered)}
        told = {name: f"{each.lost_count} of {each.acknowledged} lost" for name, each in found.items()}
        print(run, told)  # for whoever reads a failure
        return found


def untouched(wide: Namespace) -> bool:
    """Tell whether every link is as it was rendered: up, and without a toxic."""
    proxies = ask(wide, "main", 8474, "/proxies")
    links = wide.tree("stack", RELEASE)["spec"]["links"]
    return set(proxies) == {each["name"] for each in links} and all(
        each["enabled"] and not each["toxics"] for each in proxies.values()
    )


def test_clients_of_a_lost_region_are_led_to_another_and_back(wide: Namespace, applied: Applied) -> None:
    run = applied.run("region-lost")
    until("clients are led to us-west", lambda: led_to(wide) == WEST, ground.FOLDER, 30)
    assert wide.told(run) == PASSED
    until("clients are led to us-east again", lambda: led_to(wide) == EAST, ground.FOLDER)
    writes = applied.ledgers(run)["acknowledged-writes"]
    assert writes.read and writes.acknowledged > 100 and writes.lost_count == 0
    (judged,) = aftershock.judge(history(wide, run))
    (outage,) = [each for each in judged.recovery if each.indicator == "meeting-success"]
    print(judged.because, outage)
    assert outage.rto is not None and 0 < outage.rto.high < 12, "before the fault was healed"
    assert untouched(wide)


def roles(wide: Namespace) -> dict[str, str]:
    """Ask the second server's manager which servers there are, and what each of them does."""
    return {each["name"]: each["role"] for each in ask(wide, SERVERS[1], 8008, "/cluster")["members"]}


def test_another_server_takes_over_from_one_whose_pod_is_killed(wide: Namespace, applied: Applied) -> None:
    """The pod that comes in its place has lost its data, and copies them from the one that has taken over."""
    first, second = SERVERS
    until("both servers are there", lambda: roles(wide) == {first: "leader", second: "replica"}, ground.FOLDER)
    until("the other one has what us-east goes by", lambda: carried(wide, first, second), ground.FOLDER)
    before = pod(wide, first)["metadata"]["uid"]
    run = applied.run("server-lost")
    assert wide.told(run) == PASSED
    assert pod(wide, first)["metadata"]["uid"] != before
    until(
        "the killed one follows the other", lambda: roles(wide) == {first: "replica", second: "leader"}, ground.FOLDER
    )
    writes = applied.ledgers(run)["us-west-writes"]
    assert writes.read and writes.acknowledged > 100
    (judged,) = aftershock.judge(history(wide, run))
    (outage,) = [each for each in judged.recovery if each.indicator == "us-west-writes"]
    print(judged.because, outage)
    assert outage.rto is not None and 0 < outage.rto.high < 30, "before the fault is over"


def database(wide: Namespace, server: str) -> tuple[str, str | None]:
    """Ask a server's manager which database that has, and since when its pod is there."""
    said = ask(wide, server, 8008, "/patroni")
    return pod(wide, server)["metadata"]["uid"], said.get("database_system_identifier")


def test_the_database_outlives_a_server_that_is_lost_together_with_what_etcd_held(wide: Namespace) -> None:
    """Of the two that make it, or keep it, the first is lost: what it must not do then is to make another one."""
    first, second = SERVERS
    until("both servers are there", lambda: set(roles(wide)) == {first, second}, ground.FOLDER)
    (lost, kept_), (there, same) = database(wide, first), database(wide, second)
    assert kept_ == same is not None
    ask(wide, f"gateway-{WEST}", 8080, "/notes", {"id": "outlives", "text": "etcd"})
    both = [pod(wide, part)["metadata"]["name"] for part in ("etcd-us-west", first)]
    wide.kubectl("delete", "pod", *both, "--grace-period=0", "--force")
    until(
        "the lost one has copied the other",
        lambda: again(wide) == ({first: "replica", second: "leader"}, same, (there, same)) and gone(wide, lost),
        ground.FOLDER,
    )
    until("us-west serves", lambda: serves(wide, WEST), ground.FOLDER)
    assert "outlives" in ask(wide, f"gateway-{WEST}", 8080, "/notes?prefix=outlives")


def again(wide: Namespace) -> object:
    """Return who does what, which database the first has, and pod and database of the second; None where nobody answers."""
    try:
        return roles(wide), database(wide, SERVERS[0])[1], database(wide, SERVERS[1])
    except (OSError, KeyError, ValueError):
        return None


def gone(wide: Namespace, uid: str) -> bool:
    return all(each["metadata"]["uid"] != uid for each in wide.tree("pods")["items"])


def serves(wide: Namespace, region: str) -> bool:
    """Tell whether a region serves its clients, with its database."""
    try:
        ask(wide, f"gateway-{region}", 8080, "/serves")
    except (OSError, KeyError, ValueError):
        return False
    return True


def test_regions_that_are_cut_from_each_other_both_go_on(wide: Namespace, applied: Applied) -> None:
    """As it ships. Each of the four rows that both wrote costs one side's last write, and where one was on its way when they
    were cut, another; nothing else is gone.
    """
    run = applied.run(SHIPPED / "split-brain.yaml")
    assert wide.told(run) == PASSED
    found = applied.ledgers(run)
    assert found["conflicting-writes"].lost_count >= 4 and found["conflicting-writes"].disputed == []
    assert found["acknowledged-writes"].read and found["acknowledged-writes"].lost_count == 0
    assert untouched(wide)


def carried(wide: Namespace, leader: str, other: str) -> bool:
    """Tell whether the other server has its own copy of the slot that us-east follows, and would go on with it."""
    queried(wide, leader, "SELECT pg_log_standby_snapshot()")  # so that it gets there soon
    return queried(wide, other, "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary") == "1"


@pytest.fixture
def apart(wide: Namespace) -> Iterator[None]:
    """What belongs to no region, and what a run needs, is not on us-east's node."""
    cluster = wide.cluster
    cluster.plane.kubectl("cordon", EAST)
    try:
        for part in ("main", "dns"):
            if pod(wide, part)["spec"]["nodeName"] == EAST:
                wide.kubectl("delete", "pod", pod(wide, part)["metadata"]["name"], "--wait")
            until(f"{part} is on us-west's node", lambda of=part: moved(wide, of), ground.FOLDER)  # type: ignore[misc]
        until("both serve", lambda: serves(wide, EAST) and serves(wide, WEST), ground.FOLDER)
        until("clients are led to us-east", lambda: led_to(wide) == EAST, ground.FOLDER)
        yield
    finally:
        cluster.plane.kubectl("uncordon", EAST)


def moved(wide: Namespace, part: str) -> bool:
    labels = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/name={part}"
    found = wide.tree("pods", "-l", labels)["items"]
    return [(each["spec"].get("nodeName"), ready(each)) for each in found] == [(WEST, True)]


def ready(pod_: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod_["status"].get("conditions", []))


@pytest.mark.usefixtures("apart")
def test_a_region_whose_node_is_cut_off_is_out_until_that_is_noticed(wide: Namespace, applied: Applied) -> None:
    """Its cable is pulled: nothing says so, and who asks there hears nothing. How long it takes DNS to notice is in the RTO."""
    run, names = applied.run("node-cut"), Names.of(wide)
    looks = [time.monotonic()]

    def led_elsewhere() -> bool:
        looked = time.monotonic()
        if names.lead_to() == WEST:
            return True
        looks.append(looked)
        return False

    wide.cluster.cut(EAST)
    try:
        until("clients are led to us-west", led_elsewhere, ground.FOLDER, 30)
        unnoticed = looks[-1] - looks[0]
        wide.reaches(run, "{.status.phase}=Recovery")
    finally:
        wide.cluster.mend(EAST)
    assert wide.told(run) == PASSED
    until("us-east is back", lambda: wide.cluster.ready(EAST), ground.FOLDER)
    writes = applied.ledgers(run)["acknowledged-writes"]
    assert writes.read and writes.acknowledged > 100 and writes.lost_count == 0
    (judged,) = aftershock.judge(history(wide, run))
    (outage,) = [each for each in judged.recovery if each.indicator == "meeting-success"]
    print(judged.because, outage, f"not noticed for {unnoticed:.1f} s")
    assert unnoticed > 0.5, "it takes DNS a second of silence"
    assert outage.rto is not None and unnoticed < outage.rto.high < 20, (
        "longer than nobody noticed, shorter than the cut"
    )


def test_what_the_pair_goes_by_changes_with_the_release_and_no_pod_is_made_anew(wide: Namespace) -> None:
    """The last: the release is not as it was afterwards."""
    before = {name: pod(wide, name)["metadata"]["uid"] for name in SERVERS}
    assert not ask(wide, SERVERS[1], 8008, "/config")["synchronous_mode"]
    install(
        wide,
        "--set",
        "databases[1].failover.env.SYNCHRONOUS=on",
        "--set-string",
        "databases[1].settings.max_connections=110",
    )
    until(
        "writes wait for both, and both have the setting",
        lambda: (
            [queried(wide, name, "SHOW max_connections") for name in SERVERS] == ["110", "110"]
            and sorted(roles(wide).values()) == ["leader", "sync_standby"]
        ),
        ground.FOLDER,
        180,
    )
    assert {name: pod(wide, name)["metadata"]["uid"] for name in SERVERS} == before


def queried(wide: Namespace, server: str, query: str) -> str:
    """Ask a server itself; empty where it can't be asked just now."""
    held = wide.tree("secret", f"{RELEASE}-{server}")["data"]["observer"]
    login = f"{base64.b64decode(held).decode()} connect_timeout=2 hostaddr={pod(wide, server)['status']['podIP']}"
    try:
        with psycopg.connect(login) as one:
            (found,) = one.execute(query.encode()).fetchone() or ("",)
    except psycopg.Error:
        return ""
    return str(found)
