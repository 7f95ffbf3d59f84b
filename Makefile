# `make up` and `make test` are all that a new user needs; both set everything up first.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# Seconds after which a unit test hangs: it says where, and the run ends.
HANGS := 300
SOURCES := provisioner swarmd tests bench playbooks
PACKAGES := lxc mmdebstrap btrfs-progs dnsmasq-base slirp4netns nftables iproute2 openssh-client netcat-openbsd gnupg dpkg-dev \
	procps kmod python3-venv shellcheck
VAGRANT_PACKAGES := vagrant vagrant-libvirt libvirt-daemon libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils \
	ipxe-qemu busybox-static e2fsprogs zstd

.PHONY: help setup setup-vagrant up test unit lab test-interruptions test-vagrant test-boxes test-cgroup2 test-walkthrough test-swarmd test-swarmd-vagrant test-kills check format bench bench-vagrant bench-swarmd bench-scale clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 28

setup: $(VENV)/.complete ## Debian packages and .venv/ with `provision` in it

$(VENV)/.complete: pyproject.toml scripts/setup scripts/install
	scripts/setup $(PYTHON) $(VENV) $(PACKAGES)
	touch $@

setup-vagrant: setup ## What virtual machines need besides: Vagrant, libvirt, QEMU
	scripts/install $(VAGRANT_PACKAGES)

up: setup ## A verified three-manager lab, its status, and how to use it
	$(BIN)/provision up --managers 3

test: setup check unit lab ## All tests: static checks, unit tests (no root), lab tests on real hosts (root)

unit: setup ## Unit tests: seconds, no root
	$(BIN)/pytest tests/unit -m "not slow" -o faulthandler_timeout=$(HANGS) -o faulthandler_exit_on_timeout=true

lab: setup ## Tests on real hosts: root, minutes
	$(BIN)/pytest tests/lab -m "not slow"

test-interruptions: setup ## Kill `up` after each step and at random moments in each; about half an hour
	$(BIN)/pytest tests/lab/test_interruptions.py -m slow

test-vagrant: setup-vagrant ## Three real virtual machines, emulated where KVM does not work: a quarter of an hour
	$(BIN)/pytest tests/lab/test_vagrant.py -m slow

test-boxes: setup-vagrant ## Boxes of all formats: the same input gives the same digests, and they boot
	$(BIN)/pytest tests/lab/test_boxes.py -m slow

test-cgroup2: setup-vagrant ## The lxc provider inside a virtual machine that has cgroup v2 only
	$(BIN)/pytest tests/lab/test_cgroup2.py -m slow

test-walkthrough: setup ## Chapters 2 to 4 of the course on both engines, by the same checks
	$(BIN)/pytest tests/lab/test_walkthrough.py -m slow

test-swarmd-vagrant: setup-vagrant ## swarmd on three virtual machines, which are pulled while a writer runs
	$(BIN)/pytest tests/lab/swarmd/test_on_virtual_machines.py -m slow

test-swarmd: setup ## swarmd on real hosts, what takes longer: taken away and put back, lent machines, chaos
	$(BIN)/pytest tests/lab/swarmd -m slow --ignore tests/lab/swarmd/test_on_virtual_machines.py

test-kills: setup ## kill -9 of swarmd's managers at random moments of join, promote, demote and leave
	SWARMD_KILLS=100 $(BIN)/pytest tests/unit/swarmd/node/test_kills.py tests/unit/swarmd/member -m slow

check: setup ## Types, lint, format, playbooks, shell scripts, direction of imports
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd playbooks && ANSIBLE_HOME=../.ansible PATH="$(CURDIR)/$(BIN):$$PATH" ansible-lint --offline
	shellcheck scripts/* .ci/run provisioner/machines/lxc/base-setup.sh provisioner/machines/vagrant/box/setup.sh

format: setup
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: setup ## The figures that the README and docs/ name
	$(BIN)/python -m bench

bench-vagrant: setup-vagrant ## The figures of virtual machines
	$(BIN)/python -m bench.vagrant

bench-swarmd: setup ## swarmd beside Docker's swarm mode: half an hour; by hand, python -m bench.swarmd --long
	$(BIN)/python -m bench.swarmd

bench-scale: setup ## The leader's loops with 100,000 tasks on 1,000 nodes, and a real etcd
	$(BIN)/python -m bench.scale

clean: ## Take the labs away and remove .venv/
	-$(BIN)/provision down --all
	rm -rf $(VENV)
