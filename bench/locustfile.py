"""Locust's fastest client against the small server; its own process time is printed at the end. Run by bench/load.py."""

import sys
import time

from locust import FastHttpUser, constant, events, task

_begun = {}


@events.test_start.add_listener
def begin(**_):
    _begun["cpu"], _begun["wall"] = time.process_time(), time.monotonic()


@events.test_stopping.add_listener
def end(environment, **_):
    cpu, wall = time.process_time() - _begun["cpu"], time.monotonic() - _begun["wall"]
    print(f"BENCH {environment.stats.total.num_requests} {wall} {cpu}", file=sys.stderr, flush=True)


class Caller(FastHttpUser):
    """Asks again as soon as it was answered."""

    wait_time = constant(0)

    @task
    def call(self):
        """Ask once."""
        self.client.get("/")
