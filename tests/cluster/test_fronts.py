"""A Toxiproxy in front of a Service, on real nodes: its clients feel the fault, but for those that were connected before."""

import json
from concurrent.futures import ThreadPoolExecutor

from cluster.doors import Namespace

SERVICE = "meetings-1k-app"
CLIENT = """
import http.client, json, time

def asked(line):
    begun = time.monotonic()
    line.request("GET", "/healthz")
    line.getresponse().read()
    return time.monotonic() - begun

def anew():
    line = http.client.HTTPConnection("meetings-1k-app", 80, timeout=10)
    try:
        return asked(line)
    finally:
        line.close()

before = http.client.HTTPConnection("meetings-1k-app", 80, timeout=10)
address = before.connect() or before.sock.getsockname()
old, slow, end = [], 0, time.monotonic() + 150
print("connected", flush=True)
while time.monotonic() < end:
    try:
        took = anew()
    except OSError:
        took = 0.0
    slow += took >= 0.8
    old.append(asked(before))
    if slow >= 3 and took < 0.4:
        break
    time.sleep(0.2)
print(json.dumps({"slow": slow, "old": max(old), "same": before.sock.getsockname() == address}))
"""
"""A client of the Service, in a pod: one connection from before, and again and again a new one, until the fault is over."""


def test_new_connections_feel_it_and_those_from_before_do_not(meetings: Namespace) -> None:
    before = meetings.tree("service", SERVICE)
    with ThreadPoolExecutor(1) as beside:
        client = beside.submit(
            meetings.kubectl, "exec", "deploy/meetings-1k-main", "--", "python3", "-c", CLIENT, patience=200
        )
        told = meetings.told(meetings.apply("service-slow"))
        seen = json.loads(client.result().splitlines()[-1])
    assert told.conditions["FaultLanded"] == ("True", "Landed"), told
    assert told.conditions["Recovered"] == ("True", "Held"), told
    assert told.conditions["CleanedUp"] == ("True", "Clean"), told
    assert seen["slow"] >= 3 and seen["same"] and seen["old"] < 0.8, seen
    after = meetings.tree("service", SERVICE)
    assert after["spec"] == before["spec"]
    assert not any("aftershock.dev" in key for key in after["metadata"].get("annotations") or {})
    assert meetings.pods("app.kubernetes.io/part-of=aftershock,app.kubernetes.io/name=toxiproxy") == []
