"""The chart `era-stack`: pods of the same file that the local renderer makes processes of.

`AFTERSHOCK_GOLDEN=write pytest tests/control_plane/test_era_stack.py` writes it anew; then read `git diff tests/golden`.
"""

import configparser
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from aftershock.adapters import kubernetes as k8s
from aftershock.model.load import load_text
from aftershock.model.stack import Stack, StackSpec
from aftershock.model.write import to_tree
from aftershock.stacks import (
    agreeing,
    haproxy,
    layout,
    member,
    nameserver,
    patroni,
    programs,
    redis,
    render,
    supervised,
    values,
)
from aftershock.stacks.parts import CLIENT, Values
from control_plane.conftest import Kubectl

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "charts" / "era-stack"
GOLDEN = ROOT / "tests" / "golden" / "era-stack"
WORDS = {
    **{
        f"{name}.{role}": word
        for name in ("primary", "db-us-east", "db-us-west")
        for role, word in (("meetings", "word"), ("postgres", "superword"), ("replication", "copyword"))
    },
    **{f"{name}.default": "cacheword" for name in ("cache", "cache-us-east", "cache-us-west", "cache-eu-west")},
}
FIXED = ("--set", ",".join(f"passwords.{whose}={word}" for whose, word in WORDS.items()))
ERAS = ("1k", "10k", "1m")
OPTIONS = ("--set", "region=us-west,storage.size=1Gi,eras.install=false,stack.name=shop,tolerations[0].operator=Exists")


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> "Helm":
    return Helm(programs.program("helm"), tmp_path_factory.mktemp("helm"))


class Helm:
    def __init__(self, program: Path, home: Path) -> None:
        self.program = program
        self.environment = {
            **os.environ,
            **{f"HELM_{what}_HOME": str(home / what) for what in ("CACHE", "CONFIG", "DATA")},
        }

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, text=True)

    def template(self, *arguments: str | Path) -> str:
        done = self.run("template", "stack", CHART, "-n", "shop", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


def one(text: str, kind: str) -> dict[str, Any]:
    return next(tree for tree in yaml.safe_load_all(text) if tree and tree["kind"] == kind)


@pytest.mark.parametrize(
    "options",
    [(), ("-f", CHART / "values-1k.yaml"), ("--set", "era=10k"), ("-f", CHART / "values-1m.yaml"), OPTIONS],
    ids=["as-is", "file", "10k", "1m", "options"],
)
def test_it_has_nothing_that_helm_would_complain_of(helm: Helm, options: tuple[str | Path, ...]) -> None:
    done = helm.run("lint", "--strict", CHART, *options)
    assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("era", ERAS)
def test_it_is_as_the_golden_file_has_it(helm: Helm, era: str) -> None:
    found, golden = helm.template(*FIXED, "--set", f"era={era}"), GOLDEN / f"{era}.yaml"
    if os.environ.get("AFTERSHOCK_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("era", ERAS)
def test_an_era_by_its_name_or_by_its_file_is_the_same(helm: Helm, era: str) -> None:
    by_name = helm.template(*FIXED, "--set", f"era={era}")
    assert helm.template(*FIXED, "-f", CHART / f"values-{era}.yaml") == by_name


def test_an_era_without_a_stack_is_refused_with_those_that_have_one(helm: Helm) -> None:
    done = helm.run("template", "stack", CHART, "--set", "era=9k")
    assert done.returncode != 0
    assert 'there is no stack for era "9k": choose one of 10k, 1k, 1m' in done.stderr


PROGRAMS = layout.Programs(
    "python",
    "toxiproxy",
    {name: ["postgres"] for name in ("db-us-east", "db-eu-west")},
    None,
    dict.fromkeys(("haproxy", "redis-server", "gdnsd", "etcd", "patroni"), "it"),
)


def decided(wanted: Values, passwords: Mapping[str, str] | None = None) -> layout.Layout:
    ports = dict.fromkeys(layout.wanted_ports(wanted), 1)
    return layout.Layout(f"meetings-{wanted.era}", Path("/f"), Path("/l"), "unix:///s", ports, passwords or {}, "i")


@pytest.mark.parametrize("era", ERAS)
def test_the_stack_has_the_parts_that_the_local_renderer_gives_it(helm: Helm, era: str) -> None:
    """Only how a part is reached differs: an address, a secret, a workload's selector."""
    wanted = values.load(era)
    rendered = helm.template(*FIXED, "--set", f"era={era}")
    local, pods = spec(render.stack(wanted, decided(wanted))), spec(yaml.safe_dump(one(rendered, "Stack")))
    assert (pods.era, pods.environment, pods.links) == (local.era, local.environment, local.links)
    # As pods, what servers that fail over go by is no variable of a workload: it lies in a ConfigMap that each of them is told.
    failing_over = {database.name for database, _ in wanted.failing_over()}
    assert pods.settings == [each for each in local.settings if each.workload not in failing_over]
    addressed = json.dumps([to_tree(each) for each in pods.indicators])
    for entry in (link.name for link in wanted.links if link.from_ == CLIENT):
        addressed = addressed.replace(f"meetings-{era}-{entry}.shop.svc", "127.0.0.1:1")
    if wanted.resolver is not None:
        addressed = addressed.replace(wanted.resolver.zone, f"{wanted.resolver.zone}:1")
    assert json.loads(addressed) == [to_tree(each) for each in local.indicators]
    assert (pods.resolver and pods.resolver.name) == (local.resolver and local.resolver.name)
    assert (pods.resolver and pods.resolver.host) == (local.resolver and local.resolver.host)
    for parts in ("databases", "caches", "workloads", "toxiproxies"):
        assert [each.name for each in getattr(pods, parts)] == [each.name for each in getattr(local, parts)]
    for parts in ("databases", "caches", "workloads"):
        assert [each.region for each in getattr(pods, parts)] == [each.region for each in getattr(local, parts)]
    failing = [
        [each.failover and [one.name for one in each.failover.members] for each in at.databases] for at in (pods, local)
    ]
    assert failing[0] == failing[1]
    assert [(each.role, each.of) for each in pods.databases] == [(each.role, each.of) for each in local.databases]


@pytest.mark.parametrize("era", ["10k", "1m"])
def test_gateways_and_caches_are_told_what_those_on_a_machine_are(helm: Helm, era: str) -> None:
    wanted = values.load(era)
    trees = [tree for tree in yaml.safe_load_all(helm.template(*FIXED, "--set", f"era={era}")) if tree]
    said = [tree["data"]["haproxy.cfg"] for tree in trees if "haproxy.cfg" in (tree.get("data") or {})]
    for database, failover in wanted.failing_over():
        ends = {
            name: (f"meetings-{era}-{wanted.way(database.name, name)}:5432", f"meetings-{era}-{name}:8008")
            for name in failover.members
        }
        assert lines(said.pop(0)) == lines(patroni.door(":5432", ends))
    for gateway, text in zip(wanted.gateways, said, strict=True):
        doors = {wanted.link(link).to: f"meetings-{era}-{link}:80" for link in gateway.to}
        assert lines(text) == lines(haproxy.configuration(gateway, ":8080", doors))
    said = [each for tree in trees if (each := (tree.get("stringData") or {}).get("redis.conf"))]
    for cache, text in zip(wanted.caches, said, strict=True):
        here = redis.configuration(cache, 6379, "cacheword", "/tmp").replace("bind 127.0.0.1", "bind * -::*")
        assert sorted(lines(text)) == sorted(lines(here))


def pod(rendered: str, name: str) -> dict[str, Any]:
    """Return the pod of a part, as its Deployment or StatefulSet has it."""
    trees = [tree for tree in yaml.safe_load_all(rendered) if tree and tree["kind"] in {"Deployment", "StatefulSet"}]
    return dict(next(tree for tree in trees if tree["metadata"]["name"] == name)["spec"]["template"]["spec"])


def told(rendered: str, name: str) -> dict[str, str]:
    """Return the environment of a part's container, with what it reads from Secrets."""
    trees = [tree for tree in yaml.safe_load_all(rendered) if tree and tree["kind"] == "Secret"]
    secrets = {tree["metadata"]["name"]: tree["stringData"] for tree in trees}
    found = {}
    for each in pod(rendered, name)["containers"][0]["env"]:
        where = each.get("valueFrom", {}).get("secretKeyRef")
        found[each["name"]] = secrets[where["name"]][where["key"]] if where else each.get("value", "")
    return found


def test_each_region_is_told_of_the_other_as_on_a_machine(helm: Helm) -> None:
    """Which region a service is in, and how its database logs in to the one whose writes it takes over."""
    wanted, rendered = values.load("1m"), helm.template(*FIXED, "--set", "era=1m")
    here = decided(wanted, dict.fromkeys(layout.wanted_passwords(wanted), "copyword"))
    supervisord = configparser.RawConfigParser()
    supervisord.read_string(supervised.supervisord(wanted, here, PROGRAMS, "root"))
    for service in wanted.services:
        environment, said = told(rendered, f"meetings-1m-{service.name}"), supervisord[f"program:{service.name}"]
        for name in ("REGION", "REGION_NUMBER", "REGIONS"):
            assert f'{name}="{environment[name]}"' in said["environment"]
        assert ("PEER_DSN" in environment) == ("PEER_DSN_FILE" in said["environment"]) == wanted.joins(service)
        if wanted.joins(service):
            through = wanted.behind(service.database).through
            local = render.secret_files(wanted, here)[f"{service.name}.peer.dsn"]
            assert environment["PEER_DSN"] == local.replace(
                "host=127.0.0.1 port=1 ", f"host=meetings-1m-{through} port=5432 "
            )
        local = render.secret_files(wanted, replace(here, passwords=dict.fromkeys(here.passwords, "cacheword")))
        ways = "\n".join(
            line.replace("127.0.0.1:1/", f"meetings-1m-{link}:6379/")
            for line, link in zip(local[f"{service.name}.caches"].splitlines(), service.follows, strict=True)
        )
        assert environment["CACHES_ELSEWHERE"].splitlines() == ways.splitlines()
    for name in ("db-us-east", "db-us-west-a", "db-us-west-b"):
        environment = told(rendered, f"meetings-1m-{name}")
        assert (environment["REPLICATION_PASSWORD"], environment["MERGES"][:6]) == ("copyword", "db-us-")
    assert "MERGES" not in told(rendered, "meetings-1m-db-eu-west")


def test_the_dns_server_is_told_what_the_one_on_a_machine_is(
    helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, rendered = values.load("1m"), helm.template(*FIXED, "--set", "era=1m")
    assert wanted.resolver is not None
    listening = {**dict.fromkeys(layout.wanted_ports(wanted), 80), "dns": 5353}
    here = replace(decided(wanted), ports=listening, hosts=layout.hosts(wanted))
    services = {f"meetings-1m-{link}": address for link, address in here.hosts.items()}
    monkeypatch.setattr(nameserver, "_address", services.get)
    monkeypatch.setattr(os, "execv", lambda *_: None)
    said = {**told(rendered, "meetings-1m-dns"), "LISTEN": "127.0.0.1", "FOLDER": str(tmp_path)}
    nameserver.main(pod(rendered, "meetings-1m-dns")["containers"][0]["args"], said)
    for path, text in render.resolver(wanted, here).items():
        assert (tmp_path / path).read_text() == text.replace("/f/dns/dns", str(tmp_path))


def test_a_server_of_a_database_that_fails_over_is_told_what_one_on_a_machine_is(
    helm: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, rendered = values.load("1m"), helm.template(*FIXED, "--set", "era=1m")
    ((database, failover),) = wanted.failing_over()
    monkeypatch.setattr(os, "execv", lambda *_: None)
    monkeypatch.setattr("aftershock.stacks.postgres.programs", lambda: Path("/bin/pg"))
    words = {"meetings": "word", "postgres": "superword", "replication": "copyword"}
    for name, other in zip(failover.members, reversed(failover.members), strict=True):
        ways = {"through": wanted.way(other, name), "store": wanted.way(name, failover.store)}
        ends = {
            name: "10.0.0.1",
            layout.manager(name): "10.0.0.1",
            **{way: f"meetings-1m-{way}" for way in ways.values()},
        }
        ports = {name: 5432, layout.manager(name): 8008, ways["through"]: 5432, ways["store"]: 2379}
        here = replace(
            decided(wanted, {f"{database.name}/{role}": word for role, word in words.items()}), ports=ports, hosts=ends
        )
        (tmp_path / name).mkdir()
        data = tmp_path / name / "cluster"
        data.mkdir()  # it is there, so that nothing is to be made
        said = {**told(rendered, f"meetings-1m-{name}"), "LISTEN": "10.0.0.1", "DATA": str(data)}
        member.main(said | {"AGREED": agreed(rendered, name, tmp_path)})
        written = yaml.safe_load(data.with_name(patroni.CONFIG).read_text())
        assert written == yaml.safe_load(patroni.member(wanted, database, name, here, str(data)))


def agreed(rendered: str, name: str, folder: Path) -> str:
    """Return a file with what both containers of a server find under AGREED."""
    found = pod(rendered, f"meetings-1m-{name}")
    for each in found["containers"]:
        (mount,) = [one["mountPath"] for one in each["volumeMounts"] if one["name"] == "agreed"]
        assert {"name": "AGREED", "value": f"{mount}/agreed.json"} in each["env"]
    (where,) = [each["configMap"]["name"] for each in found["volumes"] if each["name"] == "agreed"]
    trees = [tree for tree in yaml.safe_load_all(rendered) if tree and tree["kind"] == "ConfigMap"]
    (text,) = [tree["data"]["agreed.json"] for tree in trees if tree["metadata"]["name"] == where]
    (folder / "agreed.json").write_text(text)
    return str(folder / "agreed.json")


def test_what_a_pair_goes_by_changes_without_a_pod_that_is_made_anew(helm: Helm, tmp_path: Path) -> None:
    """Both would be, at once, and where their data go with them, with the database."""
    wanted, before = values.load("1m"), helm.template(*FIXED, "--set", "era=1m")
    ((database, failover),) = wanted.failing_over()
    place = wanted.databases.index(database)
    changed = tmp_path / "changed.yaml"
    tree = yaml.safe_load((CHART / "values-1m.yaml").read_text())
    tree["databases"][place]["failover"]["env"]["SYNCHRONOUS"] = "on"
    tree["databases"][place]["settings"] = {**database.settings, "max_connections": "120"}
    changed.write_text(yaml.safe_dump(tree))
    after = helm.template(*FIXED, "-f", changed)
    for name in (database.name, *failover.members):
        assert pod_template(after, name) == pod_template(before, name)
    for name in failover.members:
        (said,) = [each for each in pod(after, f"meetings-1m-{name}")["containers"] if each["name"] == "agreeing"]
        environment = {each["name"]: each.get("value", "10.0.0.1") for each in said["env"]}
        for text, on in ((before, False), (after, True)):
            told_now = agreeing.wanted(environment | {"AGREED": agreed(text, name, tmp_path)})
            meant = values.switch(wanted, {"SYNCHRONOUS": "on"}) if on else wanted
            ((one, how),) = meant.failing_over()
            more = {"max_connections": "120"} if on else {}
            one = structs.replace(one, settings={**one.settings, **more})
            assert told_now == patroni.agreed(one, how, merging=meant.merging(one))


def pod_template(rendered: str, name: str) -> dict[str, Any]:
    """Return all that makes a part's pod anew when it changes."""
    trees = [tree for tree in yaml.safe_load_all(rendered) if tree and tree["kind"] in {"Deployment", "StatefulSet"}]
    return dict(next(tree for tree in trees if tree["metadata"]["name"] == f"meetings-1m-{name}")["spec"]["template"])


def test_a_region_is_held_on_its_nodes_where_that_is_said_and_nowhere_else(helm: Helm) -> None:
    label = "topology.kubernetes.io/region"
    chosen = ("--set-json", f'regionNodes={{"us-east": {{"{label}": "us-east"}}}}')
    free, held = helm.template(*FIXED, "--set", "era=1m"), helm.template(*FIXED, "--set", "era=1m", *chosen)
    for name in ("app-us-east", "db-us-east", "cache-us-east", "gateway-us-east"):
        assert pod(held, f"meetings-1m-{name}")["nodeSelector"] == {label: "us-east"}
        assert "nodeSelector" not in pod(free, f"meetings-1m-{name}")
    for name in ("app-us-west", "db-eu-west", "main", "dns"):
        assert "nodeSelector" not in pod(held, f"meetings-1m-{name}")
    (region,) = spec(yaml.safe_dump(one(held, "Stack"))).regions
    assert (region.name, region.nodes) == ("us-east", {label: "us-east"})
    assert spec(yaml.safe_dump(one(free, "Stack"))).regions == []


def lines(text: str) -> list[str]:
    """Return what is said, without comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def spec(text: str) -> StackSpec:
    stack = load_text(text, "stack.yaml").documents[0].object
    assert isinstance(stack, Stack)
    return stack.spec


@pytest.mark.usefixtures("applied_crds")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("options", [FIXED, OPTIONS], ids=["as-is", "options"])
def test_what_it_renders_is_taken_by_our_own_reader_and_by_the_api_server(
    helm: Helm, era: str, options: tuple[str, ...], api: k8s.Api, kubectl: Kubectl
) -> None:
    """In a namespace that warns of every pod which isn't restricted."""
    text = helm.template("--set", f"era={era}", *options)
    assert spec(yaml.safe_dump(one(text, "Stack"))).era == era
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}}
    api.patch(k8s.NAMESPACES, kubectl.namespace, label)
    own = text.replace(".shop.svc", f".{kubectl.namespace}.svc")
    said = kubectl.run("apply", "--dry-run=server", "--validate=strict", "-f", "-", feed=own)
    assert said.returncode == 0, said.stderr
    assert "would violate PodSecurity" not in said.stderr
