# Shorthands; each command also works by hand. `make` alone lists them.
.PHONY: help install format lint quick test docs serve build clean
export OMP_NUM_THREADS ?= 1

help:  ## list these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install:  ## install for development, with the gallery
	python -m pip install -e ".[dev]" -e gallery

format:  ## format, and mend what can be mended
	ruff format .
	ruff check --fix .

lint:  ## check format, style, types and the order of imports
	ruff format --check .
	ruff check .
	mypy
	lint-imports

quick:  ## tests that take less than two seconds each
	python -m pytest -n 2 -m "not slow"

test:  ## all tests
	python -m pytest -n 2

docs:  ## write the generated pages, and build the site without network
	python docs/build_pages.py
	python -m mkdocs build --strict

serve:  ## show the docs site at 127.0.0.1:8000 while you write
	python -m mkdocs serve

build:  ## build both wheels into dist/
	python -m build --outdir dist .
	python -m build --outdir dist gallery

clean:  ## remove what the commands above make
	python -c "import shutil; [shutil.rmtree(name, ignore_errors=True) for name in ('build', 'dist')]"
