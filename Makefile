# make study: the demo study on phantom patients, in a virtual environment of its own.
# make test:  every test, in the same environment; make test-fast: all but those of over ten seconds.
# make docs:  the documentation as a site, in build/site, its notebooks run; a broken link or reference is an error.
# make audit: known vulnerabilities of what is installed there; needs pypi.org, so CI does not run it.
# All install what they need the first time, and again when pyproject.toml changes.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: study test test-fast lint docs audit clean

study: $(VENV)/.installed
	$(BIN)/python -m study.run $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(ARGS)

test-fast: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 NOTEBOOKS=run $(BIN)/python -m mkdocs build --strict $(ARGS)

# From outside the environment, and strict: a library that cannot be looked up is no library without vulnerabilities.
audit: $(VENV)/.installed-test
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > $(VENV)-audit/installed.txt
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement $(VENV)-audit/installed.txt

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) $(VENV)-audit build *.egg-info
