# make run    a node with the demonstration data          make test   lint, types and all tests
# make bench  the figures of loadtests/RESULTS.md          make lock   renew the lock files
# make pictures  the pictures of the guides
#
# pip's own configuration (mirrors, proxies, certificates) is honoured. `make` itself ends with status 2 whenever
# one of its commands fails; the commands below, such as `.venv/bin/idnode up`, end with 1.

PYTHON ?= python3
UV ?= uv
PACKAGES := node resolver registry schemas

# The types are judged on one core while the tests begin on the other.
ifeq ($(MAKECMDGOALS),test)
MAKEFLAGS += --jobs=2
endif

.PHONY: run test pytest pictures bench lint types chromium font lock clean
.DELETE_ON_ERROR:

run: .venv/ready-to-run
	@.venv/bin/idnode up --demo

# A third of the time tests wait for processes they started: one more at a time than cores. Those go first, since
# they take longest.
TEST_PROCESSES = $(shell expr $$(nproc) + 1)

# The tests start hundreds of processes: compiled modules are kept, whatever the caller's environment says.
test: lint types pytest

pytest: lint chromium font
	PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder tests/system tests/browser tests

# The browser of tests/browser: without windows it takes a third of the CPU; the whole one does as well. Root installs
# it; anyone else who has neither is told how.
chromium:
	@command -v chromium-headless-shell >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium-headless-shell; } || \
	command -v chromium >/dev/null || { \
	  echo "测试需要 chromium，请先安装：sudo apt-get install chromium-headless-shell /" \
	    "the tests need chromium, install it first: sudo apt-get install chromium-headless-shell" >&2; exit 1; \
	}

# The font that PDFs embed. A node without it names this package, too.
font: | chromium  # one installation at a time
	@[ -n "$$IDNODE_PDF_FONT" ] || ls /usr/share/fonts/*/wqy/wqy-*.ttc /usr/share/fonts/wqy-*/wqy-*.ttc 2>/dev/null | grep -q . || \
	if [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends fonts-wqy-microhei; \
	else \
	  echo "测试需要中文字体，请先安装：sudo apt-get install fonts-wqy-microhei /" \
	    "the tests need a Chinese font, install it first: sudo apt-get install fonts-wqy-microhei" >&2; exit 1; \
	fi

# The pictures of the guides in docs/, in both languages, made by walking through the console. Chromium's own words
# (on buttons for files, in dates) are Chinese with its package chromium-l10n alone.
pictures: .venv/ready-to-test chromium font
	WRITE_PICTURES=yes .venv/bin/python -m pytest tests/browser/test_walks.py -k "not axe"
	.venv/bin/python -m pytest tests/browser/test_guides.py

bench: .venv/ready-to-test
	.venv/bin/python -m loadtests.bench

lint: .venv/ready-to-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/ready-to-test
	.venv/bin/mypy --strict $(PACKAGES)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Names, versions and hashes only: no address of anyone's mirror. Takes the newest versions pyproject.toml allows;
# uv.lock would record addresses and is therefore not kept.
EXPORT := export --quiet --no-emit-project --no-header --no-annotate --format requirements-txt
lock:
	$(UV) $(EXPORT) --no-dev --group build -o requirements.lock
	$(UV) $(EXPORT) --group dev --group build -o requirements-dev.lock
	rm -f uv.lock

# The stamps are as old as the lock file they were installed from: a second `make` takes no time.
INSTALL := .venv/bin/python -m pip install --quiet

.venv/ready-to-run: requirements.lock pyproject.toml | .venv/bin/pip
	@echo "安装依赖 / installing dependencies: requirements.lock"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/ready-to-test: requirements-dev.lock pyproject.toml | .venv/bin/pip
	@echo "安装依赖 / installing dependencies: requirements-dev.lock"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# What is missing is said in one sentence, with $(error), so that it is the last line printed.
HAS_PYTHON = $(shell $(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)
HAS_VENV = $(shell $(PYTHON) -c 'import ensurepip, venv; print(True)' 2>/dev/null)

.venv/bin/pip:
	@$(if $(filter True,$(HAS_PYTHON)),,$(error \
	  需要 Python 3.11 或更高版本，请安装（如 apt install python3）或用 make PYTHON=/path/to/python3 指定 / \
	  Python 3.11 or later is needed: install it (apt install python3) or name it by make PYTHON=/path/to/python3))
	@$(if $(filter True,$(HAS_VENV)),,$(error \
	  $(PYTHON) 缺少 venv 模块，请安装：apt install python3-venv / \
	  $(PYTHON) has no venv module, install it: apt install python3-venv))
	@echo "建立虚拟环境 / creating the environment: .venv"
	@$(PYTHON) -m venv .venv
