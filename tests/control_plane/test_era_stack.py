"""The chart `era-stack`: pods of the same file that the local renderer makes processes of.

`AFTERSHOCK_GOLDEN=write pytest tests/control_plane/test_era_stack.py` writes it anew; then read `git diff tests/golden`.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aftershock.adapters import kubernetes as k8s
from aftershock.model.load import load_text
from aftershock.model.stack import Stack, StackSpec
from aftershock.model.write import to_tree
from aftershock.stacks import haproxy, layout, programs, redis, render, values
from aftershock.stacks.parts import Values
from control_plane.conftest import Kubectl

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "charts" / "era-stack"
GOLDEN = ROOT / "tests" / "golden" / "era-stack"
WORDS = "passwords.primary.meetings=word,passwords.primary.postgres=superword,passwords.primary.replication=copyword"
FIXED = ("--set", f"{WORDS},passwords.cache.default=cacheword")
ERAS = ("1k", "10k")
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
    [(), ("-f", CHART / "values-1k.yaml"), ("--set", "era=10k"), OPTIONS],
    ids=["as-is", "file", "10k", "options"],
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


def test_an_era_by_its_name_or_by_its_file_is_the_same(helm: Helm) -> None:
    assert helm.template(*FIXED, "-f", CHART / "values-1k.yaml") == helm.template(*FIXED, "--set", "era=1k")


def test_an_era_without_a_stack_is_refused_with_those_that_have_one(helm: Helm) -> None:
    done = helm.run("template", "stack", CHART, "--set", "era=9k")
    assert done.returncode != 0
    assert 'there is no stack for era "9k": choose one of 10k, 1k' in done.stderr


def test_a_stack_of_several_regions_is_refused_with_what_would_do(helm: Helm) -> None:
    done = helm.run("template", "stack", CHART, "--set", "era=1m")
    assert done.returncode != 0
    assert "there are no pods of it yet: `aftershock stack up 1m` makes processes of it" in done.stderr


def decided(wanted: Values) -> layout.Layout:
    ports = dict.fromkeys(layout.wanted_ports(wanted), 1)
    return layout.Layout(f"meetings-{wanted.era}", Path("/f"), Path("/l"), "unix:///s", ports, {}, "i")


@pytest.mark.parametrize("era", ERAS)
def test_the_stack_has_the_parts_that_the_local_renderer_gives_it(helm: Helm, era: str) -> None:
    """Only how a part is reached differs: an address, a secret, a workload's selector."""
    wanted = values.load(era)
    rendered = helm.template(*FIXED, "--set", f"era={era}")
    local, pods = spec(render.stack(wanted, decided(wanted))), spec(yaml.safe_dump(one(rendered, "Stack")))
    assert (pods.era, pods.environment, pods.settings, pods.links) == (
        local.era,
        local.environment,
        local.settings,
        local.links,
    )
    entry = wanted.entry()
    assert entry is not None
    addressed = json.dumps([to_tree(each) for each in pods.indicators]).replace(
        f"meetings-{era}-{entry.name}.shop.svc", "127.0.0.1:1"
    )
    assert json.loads(addressed) == [to_tree(each) for each in local.indicators]
    for parts in ("databases", "caches", "workloads", "toxiproxies"):
        assert [each.name for each in getattr(pods, parts)] == [each.name for each in getattr(local, parts)]
    assert [(each.role, each.of) for each in pods.databases] == [(each.role, each.of) for each in local.databases]


def test_a_gateway_and_a_cache_are_told_what_those_on_a_machine_are(helm: Helm) -> None:
    wanted = values.load("10k")
    trees = [tree for tree in yaml.safe_load_all(helm.template(*FIXED, "--set", "era=10k")) if tree]
    (gateway,), (cache,) = wanted.gateways, wanted.caches
    doors = {wanted.link(link).to: f"meetings-10k-{link}:80" for link in gateway.to}
    (told,) = [tree["data"]["haproxy.cfg"] for tree in trees if "haproxy.cfg" in (tree.get("data") or {})]
    assert lines(told) == lines(haproxy.configuration(gateway, ":8080", doors))
    (told,) = [each for tree in trees if (each := (tree.get("stringData") or {}).get("redis.conf"))]
    here = redis.configuration(cache, 6379, "cacheword", "/tmp").replace("bind 127.0.0.1", "bind * -::*")
    assert sorted(lines(told)) == sorted(lines(here))


def lines(text: str) -> list[str]:
    """Return what is said, without comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def spec(text: str) -> StackSpec:
    stack = load_text(text, "stack.yaml").documents[0].object
    assert isinstance(stack, Stack)
    return stack.spec


@pytest.mark.parametrize("options", [FIXED, OPTIONS, (*FIXED, "--set", "era=10k")], ids=["1k", "options", "10k"])
def test_what_it_renders_is_taken_by_our_own_reader_and_by_the_api_server(
    helm: Helm, options: tuple[str, ...], applied_crds: None, api: k8s.Api, kubectl: Kubectl
) -> None:
    """In a namespace that warns of every pod which isn't restricted."""
    text = helm.template(*options)
    assert spec(yaml.safe_dump(one(text, "Stack"))).era == ("10k" if "era=10k" in options else "1k")
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}}
    api.patch(k8s.NAMESPACES, kubectl.namespace, label)
    own = text.replace(".shop.svc", f".{kubectl.namespace}.svc")
    said = kubectl.run("apply", "--dry-run=server", "--validate=strict", "-f", "-", feed=own)
    assert said.returncode == 0, said.stderr
    assert "would violate PodSecurity" not in said.stderr
