"""What may have a Toxiproxy put in front of it, by what, and how it is given back: decisions alone."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from aftershock.core import front
from aftershock.core.front import SELECTOR, Wanted, check, given_back, moved, passages
from aftershock.core.plan import Step
from aftershock.errors import InputError, TargetError
from aftershock.faults import front_pod, fronts
from aftershock.faults.cluster import UNMARKED
from aftershock.faults.front_pod import Pod, PodSettings, manifest, settings
from aftershock.model.metadata import Metadata
from aftershock.model.stack import Database, Failover, Link, LinkedService, Member, Secret, Stack, StackSpec

MARKS = {
    "annotations": {"aftershock.dev/lease": "aftershock.link_users.k3f9a2x1.1790000000"},
    "labels": {"aftershock.dev/held": "k3f9a2x1"},
}
MARK = "k3f9a2x1.users"


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    wanted = [{"protocol": "TCP", **port} for port in ports] or [{"protocol": "TCP", "port": 5432}]
    whole = {"type": "ClusterIP", "clusterIP": "10.96.0.7", "selector": {"app": "users"}, "ports": wanted, **spec}
    return {"metadata": {"name": "users", "resourceVersion": "7"}, "spec": whole}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (service(type="ExternalName"), "ExternalName"),
    (service(clusterIP="None"), "headless"),
    (service(selector=None), "no selector"),
    (service(sessionAffinity="ClientIP"), "sessionAffinity: ClientIP"),
    (service(internalTrafficPolicy="Local"), "internalTrafficPolicy: Local"),
    (service(externalTrafficPolicy="Local"), "externalTrafficPolicy: Local"),
    (service({"port": 5432}, {"port": 53, "protocol": "UDP"}), "53/UDP would lead nowhere"),
    (service({"port": 80}), "no port 5432; it has: 80"),
    (service({"port": 5432, "targetPort": 8474}), "8474, where Toxiproxy's own API"),
    (
        service({"port": 5432, "targetPort": "sql"}, {"port": 1, "targetPort": "sql"}),
        "5432 and 1 lead to the same port",
    ),
    ({**service(), "metadata": {"name": "u" * 57}}, "too long a name"),
]


@pytest.mark.parametrize(("tree", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_can_not_be_done_right_is_refused_with_what_would_do(tree: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError) as refused:
        check(tree, [Wanted("to-users", 5432)])
    assert why in refused.value.problem and "to-users" in refused.value.problem and refused.value.advice


def test_only_what_a_run_may_hit_is_led_through_a_toxiproxy() -> None:
    links = [
        Link(name="sql", service=LinkedService(name="users", port=5432), to="users"),
        Link(name="wal", service=LinkedService(name="log", port=5432), from_="copy", to="users"),
        Link(name="admin", service=LinkedService(name="users", port=1)),
        Link(name="web", service=LinkedService(name="web", port=80)),
        Link(name="old", toxiproxy="main", proxy="old"),
    ]
    one = Secret(env="X")
    members = [Member(name=name, observer=one, url=f"http://{name}:8008") for name in ("copy", "copy-2")]
    databases = [
        Database(name="users", role="primary", engine="postgresql", dsn=one, region="west"),
        Database(name="pair", dsn=one, region="east", failover=Failover(manager="patroni", members=members)),
    ]
    spec = StackSpec(era="1k", environment="test", links=links, databases=databases)
    stack = Stack(api_version="aftershock.dev/v1alpha1", metadata=Metadata(name="shop"), spec=spec)

    def hit(fault: str, target: str, **given: str) -> set[str]:
        return set(front.concerned(stack, [Step(1, fault, target, 0.0, 1.0, None, given)]))

    assert hit("latency", "web", latency="1s") == {"web"}
    assert hit("latency", "old") == hit("pod-kill", "shop") == hit("region-loss", "west", by="evacuation") == set()
    assert hit("region-loss", "west", by="links") == {"users", "log"}
    assert hit("db-primary-loss", "users", by="partition") == hit("dependency-slow", "users") == {"users", "log"}
    assert hit("dependency-slow", "copy", latency="1s") == set()
    assert hit("db-primary-loss", "pair", by="partition") == {"log"}, "links of the servers that it can have"
    assert hit("region-loss", "east", by="links") == {"log"}
    assert hit("replica-lag", "copy", by="link") == {"log"}
    assert hit("db-primary-loss", "users", by="kill") == hit("replica-lag", "copy", by="replay") == set()
    assert front.concerned(stack, [Step(1, "latency", "admin", 0.0, 1.0, None, {})]) == {
        "users": [Wanted("sql", 5432), Wanted("admin", 1)]
    }


def test_ports_that_lead_to_the_same_place_are_collateral() -> None:
    tree = service({"port": 5432, "targetPort": "sql"}, {"port": 1, "targetPort": "sql"})
    check(tree, [Wanted("to-users", 5432)], collateral=True)


def test_any_number_will_do_for_a_named_port_but_those_that_are_taken() -> None:
    made = passages(
        {"ports": [{"port": 1, "targetPort": "a"}, {"port": 2, "targetPort": 20000}, {"port": 3, "targetPort": "b"}]}
    )
    assert [(one.listen, one.named) for one in made] == [(20001, "a"), (20000, ""), (20002, "b")]
    assert len({one.proxy for one in made}) == 3


def merged(tree: Any, change: Any) -> Any:
    """RFC 7386, as the API server does it."""
    if not isinstance(change, dict):
        return change
    found = dict(tree) if isinstance(tree, dict) else {}
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


BEFORE: dict[str, Any] = service()


def there() -> dict[str, Any]:
    return dict(merged(BEFORE, moved(BEFORE, MARK, MARKS)))


def test_moved_and_given_back_it_is_what_it_was() -> None:
    moving = there()
    assert moving["spec"]["selector"] == {front.FRONT: MARK}
    assert json.loads(moving["metadata"]["annotations"][SELECTOR]) == {"app": "users"}
    back = merged(moving, given_back(moving, UNMARKED, None))
    assert back["spec"] == BEFORE["spec"]
    assert back["metadata"] == {**BEFORE["metadata"], "annotations": {}, "labels": {}}


@pytest.mark.parametrize("spoilt", ["", "nonsense", "[]", '{"app": 3}', "{}"])
def test_a_spoilt_annotation_is_made_good_by_the_service_that_leads_around(spoilt: str) -> None:
    moving = merged(there(), {"metadata": {"annotations": {SELECTOR: spoilt}}})
    back = merged(moving, given_back(moving, UNMARKED, {"app": "users"}))
    assert back["spec"]["selector"] == {"app": "users"}
    with pytest.raises(TargetError, match="there is no users-direct"):
        given_back(moving, UNMARKED, None)


def test_a_selector_that_somebody_has_set_meanwhile_stands() -> None:
    """`kubectl apply` of the Service as it was adds what it says and leaves ours: that leads nowhere until it is over."""
    for somebody in ({"app": "new"}, {"app": "new", front.FRONT: None}):
        moving = merged(there(), {"spec": {"selector": somebody}})
        back = merged(moving, given_back(moving, UNMARKED, {"app": "users"}))
        assert back["spec"]["selector"] == {"app": "new"}
        assert not back["metadata"]["annotations"] and not back["metadata"]["labels"]


def test_the_service_that_leads_around_has_no_door_to_the_outside() -> None:
    tree = service({"port": 5432, "targetPort": "sql", "nodePort": 30001, "name": "sql"}, type="LoadBalancer")
    made = front.around(tree, {"labels": {}})
    assert made["metadata"]["name"] == "users-direct"
    assert made["spec"] == {
        "type": "ClusterIP",
        "selector": {"app": "users"},
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP", "targetPort": "sql"}],
    }


def pod(*ports: dict[str, Any]) -> Any:
    return manifest(service(*ports), "fd00::7", "in-front", MARKS, PodSettings())


def test_its_pod_needs_no_right_and_no_root() -> None:
    spec = pod({"port": 80})["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]
    assert "sysctls" not in pod({"port": 5432})["spec"]["securityContext"]
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_its_pod_is_told_what_to_carry_by_its_own_annotation() -> None:
    tree = pod({"port": 5432}, {"port": 80, "targetPort": "http"})
    (told, named) = json.loads(tree["metadata"]["annotations"][front_pod.PROXIES])
    assert told == {"name": "port-5432", "listen": ":5432", "upstream": "[fd00::7]:5432", "enabled": True}
    assert {"containerPort": 20000, "name": "http"} in tree["spec"]["containers"][0]["ports"]
    assert named["listen"] == ":20000" and named["upstream"] == "[fd00::7]:80"
    tree["metadata"]["uid"] = "u"
    assert front_pod.pod_of(tree) is None
    tree["status"] = {"podIP": "fd00::8"}
    there = front_pod.pod_of(tree)
    assert there == Pod("in-front", "u", "fd00::8", 8474, {"port-5432": "[fd00::7]:5432", "port-80": "[fd00::7]:80"})
    assert there.url == "http://[fd00::8]:8474"
    tree["metadata"]["annotations"][front_pod.PROXIES] = "spoilt"
    assert front_pod.pod_of(tree) is None


def test_settings_that_can_not_be_read_say_how_to_write_them() -> None:
    assert settings({}).image.endswith("toxiproxy:2.12.0")
    assert settings({front_pod.SETTINGS: '{"image": "x", "pullPolicy": "Never"}'}).pull_policy == "Never"
    for wrong in ("nonsense", '{"picture": "x"}'):
        with pytest.raises(InputError, match="AFTERSHOCK_TOXIPROXY"):
            settings({front_pod.SETTINGS: wrong})


NOW = 1_790_000_000.0
READY = {"type": "Ready", "status": "True"}


def unready(since: float) -> dict[str, Any]:
    when = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "Ready", "status": "False", "lastTransitionTime": when}


LOST: list[tuple[dict[str, Any], bool]] = [
    ({"phase": "Running", "conditions": [READY]}, False),
    ({"phase": "Running", "conditions": [unready(NOW - 2)]}, False),
    ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "spoilt"}]}, False),
    ({"phase": "Running", "conditions": [unready(NOW - 11)]}, True),
    ({"phase": "Failed", "reason": "Evicted"}, True),
    ({}, False),
]


@pytest.mark.parametrize(("status", "lost"), LOST)
def test_a_service_goes_astray_when_its_pod_is_lost_and_not_before(status: dict[str, Any], lost: bool) -> None:
    moving = merged(there(), {"metadata": {"uid": "service"}})
    meta = {"uid": "pod", "labels": {front.FRONT: MARK}}
    around = {"metadata": {"uid": "direct", "labels": {front.FRONT: MARK}}, "spec": {"selector": {"app": "users"}}}
    held = [moving, around, {"metadata": meta, "spec": {"containers": []}, "status": status}]
    assert fronts.astray(held, NOW) == ({"service"} if lost else set())
    assert fronts.astray(held[:2], NOW) == {"service"}, "nobody starts it again"
    both = merged(moving, {"spec": {"selector": {"app": "users"}}})
    assert fronts.astray([both, *held[1:]], NOW) == {"service"}, "no pod has both"
    assert fronts.astray(held[1:], NOW) == set(), "what was never moved is not astray"


def test_links_before_services_are_links_through_what_stands_there_now() -> None:
    links = [
        Link(name="sql", service=LinkedService(name="users", port=5432)),
        Link(name="web", service=LinkedService(name="web", port=80)),
        Link(name="old", toxiproxy="main", proxy="old"),
    ]
    spec = StackSpec(era="1k", environment="test", links=links)
    stack = Stack(api_version="aftershock.dev/v1alpha1", metadata=Metadata(name="shop"), spec=spec)
    pod = Pod("in-front", "u", "10.0.0.9", 8474)
    found = fronts.resolved(stack, [fronts.Entrance("users", pod, {5432: ("port-5432", "10.96.0.7:5432")})])
    first = replace(
        links[0], service=None, toxiproxy="before the Service users", proxy="port-5432", listen="10.96.0.7:5432"
    )
    assert found.spec.links == [first, *links[1:]]
    assert [(one.name, one.url) for one in found.spec.toxiproxies] == [
        ("before the Service users", "http://10.0.0.9:8474")
    ]
