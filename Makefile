# Two commands do everything on a fresh machine: `make play` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SCENE ?= studio

.PHONY: setup play test check lint types tests bench clean

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

play: setup  ## a window where there is a display, else a scripted walk saved to out/walk
	$(PY) play.py --scene $(SCENE)

check: lint types  ## lint, format, types

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: setup
	$(PY) -m pyright

test: lint  ## everything CI runs; the types are checked beside the tests
	$(MAKE) --jobs=2 types tests

tests: setup
	$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

bench: setup
	$(PY) -m bagel bench --config tiny

clean:
	rm -rf $(VENV) out runs .pytest_cache .ruff_cache
