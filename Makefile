# `make` lists the targets. PYTHON=… names the Python to use, ARGS=… adds arguments: make up ARGS="--check --diff"
dev := tools/play -i inventories/dev

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

up: ## turn this machine into a running development stack
	@$(dev) site.yml $(ARGS)

down: ## stop the development stack, keep its data
	@$(dev) playbooks/stop.yml $(ARGS)

destroy: ## remove the development stack with its data, images and trust entry
	@$(dev) playbooks/teardown.yml $(ARGS)

test: ## run the tests; STEPS="unit docs" runs some, also those that run only by name; ARGS=--list lists them
	@tools/test $(ARGS) $(STEPS)

soak: ## run the tests with the whole fault matrix instead of a sample
	@tools/test --soak $(ARGS) $(STEPS)

lint: ## run the linters and the documentation checks
	@tools/test lint docs

unit: ## run the unit tests
	@tools/test unit

molecule: ## run one scenario: make molecule SCENARIO=postgres
	@tools/test molecule:$(SCENARIO)

bench: ## measure the main job and releases against the usual ways; ARGS="unchanged" measures one thing
	@tools/setup requirements.txt requirements-test.txt
	@.venv/bin/python benchmarks/run.py $(ARGS)

tools: ## install the development tools
	@tools/setup requirements.txt requirements-test.txt

clean: ## remove environments, caches and logs of this checkout
	@# Modules that ran as root have left compiled files in .venv.
	rm -rf .venv .cache .ansible .molecule 2>/dev/null || sudo rm -rf .venv .cache .ansible .molecule

.PHONY: help up down destroy test soak lint unit molecule bench tools clean
