# Every target does its own set-up. Options are passed on: make demo ARGS="--for 60s"
ARGS ?=
ONLY ?=
FULL ?=
BIN := .venv/bin
# All tests on two workers (one that dies is begun again once, not eight times); what somebody names runs as ever, in one process, for -x, -s and --pdb.
WORKERS := -n 2 --dist loadfile --max-worker-restart 1 --durations 10

.PHONY: help setup demo test check always bench performance chaos chaos-kills chaos-alerts lock clean

help:
	@echo 'make demo    a whole network on this machine       make demo ARGS="--for 60s"'
	@echo 'make test    all tests                             make test ARGS="tests/unit -x"'
	@echo 'make check   lint, types, architecture'
	@echo 'make always  the eight lines that are always true, in depth   make always ARGS="-k test_3"'
	@echo 'make bench   measurements                          make bench ONLY=name, FULL=1 for all that was asked'
	@echo 'make performance   what was measured as docs/performance.md'
	@echo 'make chaos   an hour of everything going wrong     make chaos ARGS="--for 10m --seed 7"'
	@echo 'make chaos-kills   500 kills, everything heard once   make chaos-kills ARGS="--kills 50"'
	@echo 'make chaos-alerts  1,000 kills, everybody told once    make chaos-alerts ARGS="--kills 50"'
	@echo 'make setup   only prepare .venv/bin/loa'
	@echo 'make lock    pin dependencies anew                 make lock ARGS=--upgrade'
	@echo 'make clean   remove what was built'

setup:
	@scripts/setup

demo: setup
	@$(BIN)/loa demo $(ARGS) || [ $$? = 130 ]  # ended early with Ctrl-C: nothing failed

test:
	@scripts/setup test
	@$(BIN)/pytest $(or $(strip $(ARGS)),$(WORKERS))

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py

always:
	@scripts/setup test
	@LOA_TIMES=$${LOA_TIMES:-25} $(BIN)/pytest -q --timeout=0 tests/property/test_always_true.py tests/property/test_outbox.py $(ARGS)

bench: setup
	@LOA_BENCH_FULL=$(FULL) $(BIN)/python -m benchmarks $(ONLY)

performance: setup
	@$(BIN)/python -m benchmarks plots

chaos:
	@scripts/setup test
	@$(BIN)/python -m benchmarks.chaos --for 1h $(ARGS)

chaos-kills:
	@scripts/setup test
	@$(BIN)/python -m benchmarks.kills --kills 500 $(ARGS)

chaos-alerts:
	@scripts/setup test
	@$(BIN)/python -m benchmarks.alert_kills --kills 1000 $(ARGS)

lock:
	uv pip compile pyproject.toml --universal --generate-hashes --all-extras --group dev \
		--no-header --no-annotate --no-emit-index-url --quiet -o requirements.lock $(ARGS)

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
