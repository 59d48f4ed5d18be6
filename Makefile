# `make demo`, `make demo-operator` and `make test` work on a fresh machine with Python >= 3.11; nothing is installed
# outside .venv, the cache of built programs and (as root, for tests) some of Debian's packages.

VENV    ?= .venv
PYTHON  ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN      = $(VENV)/bin
STAMP    = $(VENV)/.installed
STAMPDEV = $(VENV)/.installed-dev

.PHONY: demo demo-operator test test-cluster soak bench bench-cluster evidence setup lint clean

demo: $(STAMP)  ## a real PostgreSQL runs out of connections, recovers, and gets its verdict
	@$(BIN)/python -m aftershock demo

demo-operator: $(STAMP)  ## the same by `kubectl apply`, on a control plane made for it, or on the cluster of your KUBECONFIG
	@$(BIN)/python -m aftershock demo --operator

test: setup  ## every test, slow layers last
	$(BIN)/python -m pytest

test-cluster: setup  ## on real nodes: root on Linux, a quarter of an hour; not a part of `make test`, for its time
	$(BIN)/python -m pytest tests/cluster

soak: setup  ## the storm tests, in full
	AFTERSHOCK_SOAK=1 $(BIN)/python -m pytest tests/component tests/control_plane tests/cluster

bench-cluster: setup  ## beside Chaos Mesh, on real nodes: root on Linux; writes bench/RESULTS-cluster.md
	$(BIN)/python bench/beside_chaos_mesh.py

bench: setup  ## side by side with peers; prints what stands in bench/RESULTS.md
	$(BIN)/python bench

evidence: setup  ## every experiment on every era's stack, three quarters of an hour: journals into docs/evidence, tables into docs/eras.md
	$(BIN)/python tests/evidence.py

lint: $(STAMPDEV)
	$(BIN)/python -m pytest tests/test_house.py

# program:package, for root on a Debian: the browser tests, and a real cluster with nodes. Besides, the servers of stacks
# that no wheel has brought: HAProxy, Redis and gdnsd. None of them is started: that they are on the disk is enough
NEEDED = chromium:chromium containerd:containerd buildah:buildah debootstrap:debootstrap conntrack:conntrack \
	iptables:iptables nft:nftables ip:iproute2 openssl:openssl /usr/lib/cni/ptp:containernetworking-plugins

setup: $(STAMPDEV)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		missing=$$(for each in $(NEEDED); do command -v "$${each%%:*}" >/dev/null 2>&1 || printf '%s ' "$${each##*:}"; done; \
			$(BIN)/python -m aftershock.stacks.installed); \
		[ -z "$${missing% }" ] || { echo "Installing from Debian, for the tests: $$missing"; apt-get update -q >/dev/null; }; \
		quiet=/usr/sbin/policy-rc.d; [ -z "$${missing% }" ] || [ -e $$quiet ] || { printf '#!/bin/sh\nexit 101\n' >$$quiet; chmod +x $$quiet; trap "rm -f $$quiet" EXIT; }; \
		for each in $$missing; do DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$each >/dev/null \
			|| echo "no $$each: the tests that need it will say that they are skipped"; done; fi

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Aftershock needs Python 3.11 or newer, and found none. Install it (Debian: apt-get install python3 python3-venv) and run make again."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
			apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qy python3-venv >/dev/null && $(PYTHON) -m venv $(VENV); \
		else echo "Python can't make a virtual environment here. Install python3-venv (Debian: apt-get install python3-venv) and run make again."; exit 1; fi; }

$(STAMP): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Aftershock into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(STAMPDEV): $(STAMP)
	@echo "Installing what the tests need into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
