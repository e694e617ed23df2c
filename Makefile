# Everything runs in a virtual environment of its own; a fresh clone needs Python, pip and make.

PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
# Rewritten whenever the environment was brought up to date: with torch, what the demo needs, what the tests need.
TORCH_INSTALLED := $(VENV)/installed-torch
DEMO_INSTALLED := $(VENV)/installed-demo
INSTALLED := $(VENV)/installed
# Not compiled: Python compiles what is imported, which is a small part, at the first import.
PIP_INSTALL := $(PYTHON) -m pip install --no-compile --constraint constraints.txt

# Arguments for pytest and for every benchmark: make test PYTEST_ARGS="-k samplers", make bench BENCH_ARGS=--quick
PYTEST_ARGS ?= --numprocesses auto --maxprocesses 4 --dist worksteal
BENCH_ARGS ?=
# Extras that make test-extras installs; none means all of them.
EXTRAS ?=

# Nothing here may depend on a model hub being reachable.
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Telling forked data loaders not to use the tokenizer's threads; without it every fork warns.
export TOKENIZERS_PARALLELISM := false

PURELIB := -c "import sysconfig; print(sysconfig.get_path('purelib'))"
# Lets an environment, its argument, import the packages of the tests' environment.
see_tests = $(PYTHON) $(PURELIB) > $(1)/purelib && cp $(1)/purelib $$($(1)/bin/python $(PURELIB))/zz_tests.pth

.PHONY: help demo test tests test-light test-demo test-trackers test-spark test-sharded test-deepspeed test-tensorflow test-extras docs examples fast lint style types upstream bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    fetch the demo's data, train one model for three tasks, evaluate it, answer sentences"
	@echo "make test    lint, then all tests and doctests"
	@echo "make fast    the tests of the inner loop, less than a minute"
	@echo "make lint    ruff check, ruff format --check, mypy --strict"
	@echo "make test-light the wheel of hf-mtl-light, installed alone: its size, no torch, the same answers; needs pip's index"
	@echo "make test-demo the page of hf-mtl demo and of a Space, with Gradio, in Chromium where it is installed; needs pip's index"
	@echo "make test-trackers TensorBoard, trackio, MLflow and W&B, read back; needs pip's index"
	@echo "make test-spark examples/spark.py on a local Spark; needs Java and pip's index"
	@echo "make test-sharded FSDP2 on two processes, which accelerate is made to shard on CPUs"
	@echo "make test-deepspeed DeepSpeed on two processes; needs a C++ compiler and pip's index"
	@echo "make test-tensorflow SavedModels, made and opened by TensorFlow; needs pip's index"
	@echo "make test-extras each extra of setup.cfg, or EXTRAS='ray peft', installed beside the core into a fresh environment"
	@echo "make docs    the documentation as a site, build/site/index.html; its tools come through pip's index, once"
	@echo "make examples the scripts of examples/, on the demo's model and on data that they make"
	@echo "make upstream Transformers' own test suites on our model; fetches them through pip; 10 to 20 minutes"
	@echo "make bench   every benchmark; BENCH_ARGS='--encoder FOLDER --data FOLDER', or --quick, which needs neither"
	@echo "make clean   remove the environment, caches and what the demo made"

# torch comes first and exactly: the newest build that a looser range allows may bring gigabytes of CUDA libraries.
$(TORCH_INSTALLED): setup.cfg pyproject.toml light/pyproject.toml constraints.txt
	$(PYTHON3) -m venv $(VENV)
	$(PIP_INSTALL) torch==2.13.0
	touch $@

$(DEMO_INSTALLED): $(TORCH_INSTALLED)
	$(PIP_INSTALL) --editable light --editable ".[demo]"
	touch $@

$(INSTALLED): $(TORCH_INSTALLED)
	$(PIP_INSTALL) --editable light --editable ".[dev,cleanlab,demo,gradients,peft,onnx,report,serve,sweep,vision]"
	touch $(DEMO_INSTALLED) $@

demo: $(DEMO_INSTALLED)
	$(PYTHON) examples/demo/prepare.py
	$(VENV)/bin/hf-mtl train examples/demo/recipe.yaml --overwrite
	$(VENV)/bin/hf-mtl evaluate runs/demo examples/demo/recipe.yaml
	$(VENV)/bin/hf-mtl predict runs/demo examples/demo/sentences.jsonl -o runs/demo/answers.jsonl
	$(PYTHON) examples/demo/show.py runs/demo/answers.jsonl

# Types are checked while the tests run: alone, the check would leave all cores but one idle for a minute.
test: style
	$(MAKE) --no-print-directory --jobs 2 types tests

# Several test processes share the cores, so each gets one thread: torch's own threads would only fight over them.
tests: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest $(PYTEST_ARGS)

# Not a part of make test: it needs pip's index.
test-light: $(INSTALLED)
	HF_MTL_TEST_LIGHT=1 OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/unit/light/test_distribution.py

# Other environments are brought up to date as the tests' own is: `installed` is written after pip. Their Python cannot be
# the target: it is a link to an older file, so pip would run each time, and it exists before pip has installed anything.

# An environment with Gradio that sees the packages of the tests: Gradio would move some of their versions.
build/gradio/installed: $(INSTALLED) setup.cfg
	$(PYTHON) -m venv build/gradio
	build/gradio/bin/python -m pip install --quiet "gradio>=6" playwright
	$(call see_tests,build/gradio)
	touch $@

# Not a part of make test: it needs pip's index. Gradio leaves event loops open, which is a warning there.
test-demo: build/gradio/installed
	PYTHONPATH=. OMP_NUM_THREADS=1 build/gradio/bin/python -m pytest tests/unit/demo -W default -p no:unraisableexception

# Trackers of experiments: none belongs to the tests' environment, which they would make 1 GB larger.
build/trackers/installed: $(INSTALLED) setup.cfg
	$(PYTHON) -m venv build/trackers
	build/trackers/bin/python -m pip install --quiet tensorboard trackio mlflow wandb
	$(call see_tests,build/trackers)
	touch $@

# Not a part of make test: it needs pip's index.
test-trackers: build/trackers/installed
	PYTHONPATH=. OMP_NUM_THREADS=1 build/trackers/bin/python -m pytest tests/unit/trackers -W default

# An environment with Spark that sees the packages of the tests.
build/spark/installed: $(INSTALLED) setup.cfg
	$(PYTHON) -m venv build/spark
	build/spark/bin/python -m pip install --quiet "pyspark>=4"
	$(call see_tests,build/spark)
	touch $@

# Not a part of make test: it needs Java and pip's index. PySpark 4 warns of pandas 3.
test-spark: build/spark/installed
	PYTHONPATH=. OMP_NUM_THREADS=1 build/spark/bin/python -m pytest tests/unit/inference/test_spark.py -W default

# Not a part of make test: it takes 20 seconds and overrides what is private to accelerate.
test-sharded: $(INSTALLED)
	HF_MTL_TEST_SHARDED=1 OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/unit/trainer/test_sharded.py

# An environment with DeepSpeed that sees the packages of the tests; it compiles an operator when it is first used.
build/deepspeed/installed: $(INSTALLED) setup.cfg
	$(PYTHON) -m venv build/deepspeed
	$(call see_tests,build/deepspeed)
	build/deepspeed/bin/python -m pip install --quiet setuptools wheel ninja
	build/deepspeed/bin/python -m pip install --quiet --no-build-isolation "deepspeed>=0.19"
	touch $@

# Not a part of make test: it needs a C++ compiler and pip's index.
test-deepspeed: build/deepspeed/installed
	PYTHONPATH=. OMP_NUM_THREADS=1 build/deepspeed/bin/python -m pytest tests/unit/trainer/test_deepspeed.py -W default

# TensorFlow alone: it would move versions of the tests' environment.
build/tensorflow/installed:
	$(PYTHON3) -m venv build/tensorflow
	build/tensorflow/bin/python -m pip install --quiet "tensorflow-cpu>=2.21" "onnx>=1.18"
	touch $@

# Not a part of make test: it needs pip's index, and takes minutes.
test-tensorflow: $(INSTALLED) build/tensorflow/installed
	HF_MTL_TEST_TENSORFLOW=$(CURDIR)/build/tensorflow/bin/python OMP_NUM_THREADS=1 \
		$(PYTHON) -m pytest tests/unit/export/test_tensorflow.py

# Not a part of make test: it needs pip's index, and takes minutes. The environments are made and removed by the script.
test-extras:
	$(PYTHON3) tests/extras.py $(EXTRAS)

# Only the first build asks pip's index; the site is built from files alone, and a link that leads nowhere fails it.
build/site-tools/installed:
	$(PYTHON3) -m venv build/site-tools
	build/site-tools/bin/python -m pip install --quiet "mkdocs-material>=9.6" "mkdocstrings[python]>=1.0"
	touch $@

docs: build/site-tools/installed
	build/site-tools/bin/python docs/make_site.py build
	NO_MKDOCS_2_WARNING=1 build/site-tools/bin/python -m mkdocs build --quiet --strict --config-file build/site.yml

examples: demo $(INSTALLED) build/notebooks/installed
	$(PYTHON) examples/train_in_python.py examples/demo/data/encoder build/examples/python
	$(PYTHON) examples/sentiment_and_entities.py examples/demo/data/encoder build/examples/entities
	$(PYTHON) examples/chinese.py build/examples/chinese
	$(PYTHON) examples/custom_head.py examples/demo/data/encoder build/examples/counts
	$(PYTHON) examples/lora_on_a_decoder.py build/examples/lora
	rm -rf build/examples/sweep
	$(PYTHON) examples/sweep_with_optuna.py examples/demo/data/encoder build/examples/sweep 4
	$(PYTHON) examples/distill_many_into_one.py build/examples/distilled
	$(PYTHON) examples/images.py build/examples/images
	rm -rf build/examples/onnx
	$(PYTHON) examples/production_with_onnx.py runs/demo build/examples/onnx
	set -e; for notebook in first_training errors_and_calibration; do \
		build/notebooks/bin/jupytext --quiet --to notebook --output build/examples/$$notebook.ipynb \
			examples/notebooks/$$notebook.py; \
		(cd build/examples && PYTHONPATH=$(CURDIR) ENCODER=../../examples/demo/data/encoder \
			../notebooks/bin/jupyter-execute --inplace $$notebook.ipynb); \
	done

# Jupyter, in an environment that sees the packages of the tests.
build/notebooks/installed: $(INSTALLED)
	$(PYTHON) -m venv build/notebooks
	build/notebooks/bin/python -m pip install --quiet ipykernel jupytext nbclient
	$(call see_tests,build/notebooks)
	touch $@


# The inner loop: less than a minute of one core; tests/fast.txt names its files.
fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m fast tests/unit hf_mtl hf_mtl_light

lint: style types

style: $(INSTALLED)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: $(INSTALLED)
	$(PYTHON) -m mypy --strict

# Not a part of make test: it needs pip's index. Nothing of what it fetches is kept in the repository.
upstream: $(INSTALLED)
	$(PYTHON) -m pip install --quiet --constraint constraints.txt --editable light --editable ".[upstream]"
	HF_MTL_UPSTREAM=$$($(PYTHON) tests/upstream/fetch.py build/upstream) OMP_NUM_THREADS=1 \
		$(PYTHON) -m pytest -c tests/upstream/pytest.ini tests/upstream $(PYTEST_ARGS)

# The other files of the folder are what benchmarks share, and tools.
bench: $(INSTALLED)
	set -e; for script in $$(grep -l 'parse(__doc__)' benchmarks/*.py); do \
		echo "== $$script"; $(PYTHON) $$script $(BENCH_ARGS); \
	done

# Of runs/ only the demo's model: the rest is somebody's work.
clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis examples/demo/data runs/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
