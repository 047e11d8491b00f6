# CONTRIBUTING.md says what each command does.
#   make test PYTHON=python3.13   another Python, with a virtual environment of its own
#   make test T=tests/sync        a part of the suite
#   make test PROCESSES=1         one test at a time (tests/helpers/parallel.py)

PYTHON  ?=
VERSION := $(if $(PYTHON),$(shell $(PYTHON) -c \
    'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
VENV    ?= .venv$(VERSION:%=-%)
PY       = $(VENV)/bin/python
T       ?= tests
PROCESSES ?= 2
CC      ?= cc

WARN     = -Wall -Wextra -Wno-unused-parameter -Werror
DEBUG    = -O2 -g -UNDEBUG $(WARN)
SAN      = -O1 -g -UNDEBUG -fno-omit-frame-pointer
# greenlet copies C stacks with memcpy, so redzones on the stack would be false alarms.
ASAN     = $(SAN) -fsanitize=address,undefined -fno-sanitize-recover=undefined \
           --param asan-stack=0
LIBSAN   = $(foreach lib,asan ubsan,$(shell $(CC) -print-file-name=lib$(lib).so))
PLAIN    = $(wildcard csrc/base/*.c)
OURS     = csrc/*/*.[ch] tests/c/*.[ch] benchmarks/*.c tasklets/include/*.h
RACES    = $(patsubst tests/c/%.c,race-%,$(wildcard tests/c/test_*.c))

# Every kind of build has its own folder; build/debug is also copied into the checkout.
folder   = build/$(1)$(VERSION:%=-%)
compile  = $(PY) setup.py -qq build --build-base $(call folder,$(1)) \
           --build-lib $(call folder,$(1))/lib
# Run the rest of the line with one kind of build.
with     = PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/$(call folder,$(1))/lib"

.PHONY: build ready ready-lint ready-docs ready-wheel ready-coverage release demo test \
        stress asan coverage race lint format docs stubs compile_commands bench matrix \
        patches wheel wheels clean distclean
.DEFAULT_GOAL = build

build: ready    # assertions on, warnings are errors
	CFLAGS="$(DEBUG)" $(call compile,debug) build_ext --inplace

ready:    # the virtual environment with everything for building and testing
	@tools/setup $(VENV) test $(PYTHON)

ready-lint ready-docs ready-wheel ready-coverage: ready-%: ready
	@tools/setup $(VENV) $* $(PYTHON)

test: build    # make test T=tests/sync/test_channel.py
	$(PY) -m pytest --processes=$(PROCESSES) $(T)

release: ready
	CFLAGS="-O2 -DNDEBUG" $(call compile,release)

demo: release
	PYTHONPATH="$(CURDIR)/$(call folder,release)/lib" \
	    $(PY) examples/demo.py $(DEMO_ARGS)

stress: ready    # the same tests with a yield wherever one is legal
	CFLAGS="$(DEBUG) -DTL_STRESS" $(call compile,stress)
	$(call with,stress) $(PY) -m pytest --processes=$(PROCESSES) $(T)

# Without intercept_tls_get_addr=0 the leak check itself crashes on the C++ thread
# locals of greenlet if a second thread is alive at exit.
# Tests of the text of files, and of programs in Python alone, are left out.
asan: ready    # bad memory, undefined behaviour and leaks, in C and through Python
	CFLAGS="$(ASAN)" $(call compile,asan)
	$(call with,asan) PYTHONMALLOC=malloc \
	    ASAN_OPTIONS=detect_leaks=1:intercept_tls_get_addr=0 \
	    LSAN_OPTIONS="suppressions='$(CURDIR)/tools/lsan.supp':print_suppressions=0" \
	    LD_PRELOAD="$(LIBSAN)" $(PY) -m pytest -m "not slow" $(T) $(addprefix \
	    --ignore=tests/,$(foreach name,docs examples free_threading effects habits internals \
	    layers matrix packaging parallel prose symbols types,repo/test_$(name).py) \
	    $(foreach name,model interrupt check,model/test_$(name)_mutants.py) \
	    compat/test_pytest_plugin.py)

# The counts of all processes are added up; build/coverage/report.html shows the lines.
COUNTS   = $(CURDIR)/$(call folder,coverage)
coverage: ready-coverage    # which lines of the C sources the tests run
	mkdir -p $(COUNTS)
	$(CC) $(WARN) -fPIC -c tests/c/coverage.c -o $(COUNTS)/writer.o
	$(CC) $(WARN) -fPIC -shared -DPRELOADED tests/c/coverage.c -o $(COUNTS)/exit.so
	CFLAGS="-O0 -g -UNDEBUG $(WARN) --coverage -fprofile-update=atomic" \
	    LDFLAGS="--coverage $(COUNTS)/writer.o" $(call compile,coverage)
	find $(COUNTS) -name '*.gcda' -delete
	$(call with,coverage) LD_PRELOAD=$(COUNTS)/exit.so \
	    $(PY) -m pytest --processes=$(PROCESSES) $(T); status=$$?; \
	$(VENV)/bin/gcovr --filter csrc/ --exclude csrc/core/stress_points.c \
	    --html-details $(COUNTS)/report.html --txt - $(COUNTS) && exit $$status

race: $(RACES)    # data races in the layer without Python

# The thread sanitizer does not work with the wide address randomisation of newer
# kernels.
race-%: tests/c/%.c
	mkdir -p build/race
	$(CC) -std=gnu11 -D_GNU_SOURCE $(SAN) $(WARN) -fsanitize=thread -iquote csrc \
	    $< $(PLAIN) -pthread -o build/race/$*
	$$(setarch -R true 2>/dev/null && echo setarch -R) build/race/$*

lint: build ready-lint
	$(VENV)/bin/clang-format --dry-run -Werror \
	    $(wildcard $(OURS))
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows \
	    .github/workflows/*.yml
	$(PY) -m mypy.stubtest tasklets._core
	for package in tasklets stacklesslib_compat; do \
	    PYTHONPATH="$(CURDIR)" $(VENV)/bin/basedpyright --pythonpath $(PY) \
	        --ignoreexternal --verifytypes $$package || exit 1; done

format: ready-lint
	$(VENV)/bin/clang-format -i \
	    $(wildcard $(OURS))
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: build ready-docs    # a site in build/site; a warning is an error
	rm -rf build/site
	$(PY) -m sphinx -q -W --keep-going -b html -d build/site.trees docs build/site
	@echo "docs: build/site/index.html"

stubs: build ready-lint    # copy the docstrings of the C sources into the stub
	$(PY) tools/stubdocs.py
	$(VENV)/bin/ruff format tasklets/_core.pyi

compile_commands: ready    # compile_commands.json, for editors and clang's tools
	CFLAGS="$(DEBUG)" $(PY) setup.py -qq compile_commands \
	    --build-temp $(call folder,commands) --build-lib $(call folder,commands)/lib

bench: release    # make bench OLD=before.json compares with an earlier run
	PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/$(call folder,release)/lib:$(CURDIR)" \
	    $(PY) -m benchmarks.run build/bench.json $(BENCH_ARGS)
	$(PY) -m benchmarks.chart build/bench.json build/bench.svg
	$(if $(OLD),$(PY) -m benchmarks.compare $(OLD) build/bench.json)

# The whole suite on every Python; a missing Python is fetched if possible.
matrix: matrix-3.11 matrix-3.12 matrix-3.13 matrix-3.14 matrix-3.15
matrix-%:
	+@tools/matrix $*

# Tests of what depends on the interpreter's internals, between two patch releases.
patches: ready
	tools/patches -m "not slow" $(addprefix tests/,$(addprefix atomic/test_atomic,\
	    .py _process.py _threads.py _gil.py) $(addprefix budgets/test_seconds,.py \
	    _threads.py) $(addprefix core/test_,gc.py refcounts.py gc_frames.py recursion.py \
	    threads.py threads_channels.py threads_tasklets.py tracing.py))

# The wheel is built from the source archive, and tried in an empty environment.
wheel: ready-wheel    # dist/: a manylinux wheel with libuv in it, and the archive
	rm -rf $(call folder,wheel)
	mkdir -p build
	flock build/sdist.lock $(PY) setup.py -qq sdist -d $(call folder,wheel)
	CFLAGS="-O2 -g -DNDEBUG" $(PY) -m pip --disable-pip-version-check -q wheel \
	    --no-deps --no-build-isolation -w $(call folder,wheel) \
	    $(call folder,wheel)/*.tar.gz
	PYTHON=$(PY) tools/repair $(call folder,wheel)/*.whl $(call folder,wheel)/dist
	tools/empty $(PY) $(call folder,wheel)/dist/*.whl $(TRY)
	mkdir -p dist
	cp -r $(call folder,wheel)/dist/. $(call folder,wheel)/*.tar.gz dist

# For every Python, with the tests that touch libuv, the interpreter and its frames.
wheels: wheels-3.11 wheels-3.12 wheels-3.13 wheels-3.14 wheels-3.15
wheels-%:
	+found=$$(tools/pythons $*) || { echo "$$found"; exit 0; }; \
	    $(MAKE) wheel PYTHON="$${found#* }" TRY="$(addprefix tests/,sync/test_channel.py \
	    sync/test_groups.py sync/test_select.py io/test_fs.py io/test_net_dns.py \
	    core/test_tasklet.py budgets/test_ticks.py workers/test_workers.py)"

clean:
	rm -rf build dist tasklets/*.so *.egg-info compile_commands.json

distclean: clean
	rm -rf .venv .venv-*
