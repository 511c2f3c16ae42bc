# objtunnel: `make` makes everything ready, `make help` lists the rest.
#
# BUILD=folder    where everything goes; one folder for one interpreter        (build)
# PYTHON=program  the CPython >= 3.13 to build for      (the newest found, then the one found before)
# CC=compiler     gcc or clang                                                  (cc)

BUILD ?= build
WERROR ?= -Werror

.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Two objects at once unless told otherwise by -j.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
  MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

# ---- configuration --------------------------------------------------------------------------------

# config.mk is remade, by a bootstrap that is quick when all is there, before every target that
# needs an interpreter; make reads it again only if it changed.
NEEDS_NO_PYTHON := help clean distclean format lint check-arm64 check-tsan check-nogil test-ft bench-ft bench-ft-smoke test-matrix nightly lab lab-test lab-counts
ifneq ($(filter-out $(NEEDS_NO_PYTHON),$(or $(MAKECMDGOALS),all)),)
$(BUILD)/config.mk: FORCE
	@PYTHON="$(REQUESTED_PYTHON)" CC="$(CC)" tools/bootstrap $(BUILD)
# An own name: config.mk sets PYTHON to the interpreter found.
REQUESTED_PYTHON := $(PYTHON)
include $(BUILD)/config.mk
endif

VENV_PYTHON := $(BUILD)/venv/bin/python
FT_BUILD ?= build/ft$(if $(DEBUG),-debug)$(if $(TSAN),-tsan)
OBJ := $(BUILD)/obj
LIB := $(BUILD)/lib/objtunnel
CORE := $(LIB)/_core$(EXT_SUFFIX)

include sources.mk
ifdef PY_FREE_THREADED
  CORE_SOURCES := $(THREADS_SOURCES)
  CORE_DEFINES := $(THREADS_DEFINES)
endif
# LAB_PARTS=1 builds in what only the laboratory wants: the heaps of lab/heap/ and send(share='unsafe').
C_SOURCES := $(wildcard $(CORE_SOURCES) $(if $(LAB_PARTS),$(LAB_SOURCES)))
OBJECTS := $(C_SOURCES:%.c=$(OBJ)/%.o)
# MIMALLOC=folder builds with another one, as bench-mimalloc does: a source tree of 2.x, or a folder with
# include/mimalloc-*/ and lib/mimalloc-*/libmimalloc.a.
MIMALLOC ?= third_party/mimalloc
MIMALLOC_OBJECT := $(OBJ)/mimalloc.o
MIMALLOC_INCLUDE := $(firstword $(wildcard $(MIMALLOC)/include/mimalloc-*/ $(MIMALLOC)/include))
MIMALLOC_ARCHIVE := $(wildcard $(MIMALLOC)/lib/mimalloc-*/libmimalloc.a)
PY_SOURCES := $(wildcard $(addprefix python/objtunnel/,*.py */*.py $(PACKAGE_DATA)))
PY_COPIES := $(PY_SOURCES:python/objtunnel/%=$(LIB)/%)
HEADER_COPIES := $(patsubst %,$(LIB)/%,$(wildcard $(INCLUDE_FILES))) $(patsubst %,$(LIB)/include/%,$(wildcard $(ATOMICS_FILES)))
BUILD_MODULE := $(BUILD)/lib/objtunnel_build.py
C_TESTS := $(patsubst tests/c/%.c,$(BUILD)/tests/%,$(wildcard tests/c/test_*.c))
C_TEST_SUPPORT := $(patsubst tests/c/%.c,$(OBJ)/tests/c/%.o,$(wildcard tests/c/support.c))
BENCH_REFCOUNT := $(BUILD)/benchmarks/refcount
BENCH_REFCOUNT_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(wildcard benchmarks/refcount/*.c))
BENCH_CHANNEL := $(BUILD)/benchmarks/channel
BENCH_CHANNEL_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,benchmarks/tunnel/floor.c runtime/park.c runtime/spin.c runtime/shared.c runtime/bell.c tunnel/channel.c tunnel/channel_watch.c)
BENCH_TABLES := $(BUILD)/benchmarks/objects
BENCH_TABLE := $(BENCH_TABLES)/table_map.so
BENCH_TUNNEL := $(BUILD)/benchmarks/tunnel
BENCH_TUNNEL_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(wildcard benchmarks/tunnel/*.c))
BENCH_TUNNEL_MODULES = $(patsubst $(OBJ)/benchmarks/tunnel/%.o,$(BENCH_TUNNEL)/%$(EXT_SUFFIX),\
	$(filter-out %/floor.o,$(BENCH_TUNNEL_OBJECTS)))

# A debug build of CPython has its assertions on, and so have we.
ifeq ($(SANITIZE)$(filter 1,$(PY_DEBUG)),)
  OPTIMISE ?= -O3 -DNDEBUG
else
  OPTIMISE ?= -O1
endif
ifdef SANITIZE
  SANITIZE_FLAGS := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
endif
# CPython's and Criterion's headers are not ours to warn about: -isystem. Debian's headers for a debug build are links
# to the other ones: gcc would follow them, and then take that build's pyconfig.h.
FOLLOW_NO_LINKS := $(shell $(CC) -fno-canonical-system-headers -E -x c /dev/null >/dev/null 2>&1 && echo -fno-canonical-system-headers)
COMPILE = $(CC) $(patsubst %,-D%,$(CORE_DEFINES) $(if $(LAB_PARTS),$(LAB_DEFINES))) $(CORE_CFLAGS) $(OPTIMISE) -g -Wall -Wextra $(WERROR) -fPIC \
	$(SANITIZE_FLAGS) -I. $(FOLLOW_NO_LINKS) -isystem $(MIMALLOC_INCLUDE) -isystem $(PY_INCLUDE) $(CFLAGS)
# Not instrumented, and without assertions: it is as users have it in each build.
COMPILE_MIMALLOC = $(CC) $(MIMALLOC_DEFINES:%=-D%) $(MIMALLOC_CFLAGS) -g -fPIC -I$(MIMALLOC_INCLUDE)
TEST_DEFINES = -DOT_TEST_PYTHON='"$(abspath $(VENV_PYTHON))"' -DOT_TEST_LIB='"$(abspath $(BUILD)/lib)"'
TEST_LIBS = $(PY_LIBS) -lcriterion -lpthread -lm

# ---- building -------------------------------------------------------------------------------------

.PHONY: all
all: $(CORE) $(PY_COPIES) $(HEADER_COPIES) $(BUILD_MODULE) drop-stale-copies

$(CORE): $(OBJECTS) $(if $(PY_FREE_THREADED),,$(MIMALLOC_OBJECT))
	@mkdir -p $(@D)
	@echo "link  $@"
	@$(CC) -shared $(SANITIZE_FLAGS) -Wl,-z,now $(LDFLAGS) -o $@ $^ -lpthread

# All of mimalloc in one object. Of a library that was made to replace malloc, only mi_* stays visible.
$(MIMALLOC_OBJECT): $(OBJ)/flags sources.mk
	@mkdir -p $(@D)
	@echo "cc    $(MIMALLOC)"
ifeq ($(MIMALLOC_ARCHIVE),)
	@$(COMPILE_MIMALLOC) -MMD -MP -c -o $@ $(MIMALLOC)/$(MIMALLOC_SOURCE)
else
	@$(LD) -r --whole-archive $(MIMALLOC_ARCHIVE) -o $@
	@objcopy --wildcard --keep-global-symbol='mi_*' $@
endif

$(OBJ)/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	@echo "cc    $<"
	@$(COMPILE) $(if $(filter tests/%,$<),$(TEST_DEFINES)) $(OWN_FLAGS) -MMD -MP -c -o $@ $<

# Changes only when the compile command does, so that new flags rebuild everything.
$(OBJ)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(COMPILE) $(COMPILE_MIMALLOC) $(TEST_DEFINES))' | cmp -s - $@ || echo '$(subst ','\'',$(COMPILE) $(COMPILE_MIMALLOC) $(TEST_DEFINES))' > $@

$(PY_COPIES): $(LIB)/%: python/objtunnel/%
	@mkdir -p $(@D)
	@cp $< $@

$(LIB)/include/atomics/%: atomics/%
	@mkdir -p $(@D)
	@cp $< $@

$(LIB)/include/%: include/%
	@mkdir -p $(@D)
	@cp $< $@

$(BUILD_MODULE): python/objtunnel_build.py
	@mkdir -p $(@D)
	@cp $< $@

# A module deleted from python/objtunnel/ must not live on in the build folder.
.PHONY: drop-stale-copies
drop-stale-copies:
	@rm -f $(filter-out $(PY_COPIES),$(wildcard $(LIB)/*.py $(LIB)/*.pyi $(LIB)/demo/*.py))

$(BUILD)/tests/%: $(OBJ)/tests/c/%.o $(C_TEST_SUPPORT) $(OBJECTS) $(MIMALLOC_OBJECT)
	@mkdir -p $(@D)
	@echo "link  $@"
	@$(CC) $(SANITIZE_FLAGS) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)

# Without Python, so it runs in each build.
$(BUILD)/tests/test_lockinc_heap: $(OBJ)/lab/heap/lockinc_heap.o
$(BUILD)/tests/test_bench_times: $(OBJ)/benchmarks/refcount/times.o

# A program, not a part of ours: -fPIE, or each access to a thread's own variables costs more.
# On arm64 with the instructions of v8.1: the default calls a function for each atomic operation.
BENCH_ARCH := $(if $(filter aarch64,$(shell uname -m)),-march=armv8.1-a)
$(BENCH_REFCOUNT_OBJECTS): OWN_FLAGS = -fPIE $(BENCH_ARCH)
$(BENCH_REFCOUNT): $(BENCH_REFCOUNT_OBJECTS)
	@mkdir -p $(@D)
	@echo "link  $@"
	@$(CC) $(SANITIZE_FLAGS) $(LDFLAGS) -o $@ $^ $(PY_LIBS) -lpthread -lm

# Small modules of their own, which no user needs.
$(BENCH_TUNNEL)/%$(EXT_SUFFIX): $(OBJ)/benchmarks/tunnel/%.o
	@mkdir -p $(@D)
	@echo "link  $@"
	@$(CC) -shared $(SANITIZE_FLAGS) $(LDFLAGS) -o $@ $<

# The benchmark tells what it was made of. Its flags, without what only warns or finds headers:
BENCH_FLAGS = $(filter-out -W% -I% -isystem $(PY_INCLUDE),$(wordlist 2,99,$(COMPILE))) -fPIE
$(OBJ)/benchmarks/refcount/machine.o: OWN_FLAGS = -fPIE $(BENCH_ARCH) \
	-DOT_BENCH_FLAGS='"$(subst ",\",$(subst ','\'',$(BENCH_FLAGS)))"' -DOT_BENCH_COMMIT="\"$$(cat $(OBJ)/commit)\""
$(OBJ)/benchmarks/refcount/machine.o: $(OBJ)/commit

# Changes only when the commit does (with a + where the tree differs from it; empty without git).
$(OBJ)/commit: FORCE
	@mkdir -p $(@D)
	@commit=$$(git rev-parse --short=12 HEAD 2>/dev/null) && \
		commit=$$commit$$(test -z "$$(git status --porcelain)" || echo +); \
	echo "$$commit" | cmp -s - $@ || echo "$$commit" > $@

# Extensions that use our headers: the tests' and the examples'.
include tests/ext/ext.mk

-include $(OBJECTS:.o=.d) $(MIMALLOC_OBJECT:.o=.d) $(BENCH_REFCOUNT_OBJECTS:.o=.d) $(BENCH_TUNNEL_OBJECTS:.o=.d)
-include $(OBJ)/benchmarks/tunnel/floor.d $(wildcard $(OBJ)/benchmarks/objects/tables/*.d)
-include $(C_TESTS:$(BUILD)/tests/%=$(OBJ)/tests/c/%.d) $(C_TEST_SUPPORT:.o=.d)
.SECONDARY:

# ---- running --------------------------------------------------------------------------------------

.PHONY: run demo bench bench-tunnel
run demo: all
	$(VENV_PYTHON) -m objtunnel demo $(DEMO_ARGS)

# What benchmarks have in common: commands and pages; trees, and the timing of them.
BENCH_PATH = $(abspath benchmarks/common):$(abspath benchmarks/tunnel)
bench bench-tunnel: all $(BENCH_TUNNEL_MODULES) $(BENCH_CHANNEL)
	PYTHONPATH=$(abspath $(BENCH_TUNNEL)) OT_BENCH_CHANNEL=$(abspath $(BENCH_CHANNEL)) \
	$(VENV_PYTHON) benchmarks/tunnel/bench_tunnel.py $(BENCH_ARGS)

# What small messages cost without Python.
.PHONY: bench-channel
bench-channel: $(BENCH_CHANNEL)
	@$(BENCH_CHANNEL)
$(BENCH_CHANNEL): $(BENCH_CHANNEL_OBJECTS) $(MIMALLOC_OBJECT)
	@mkdir -p $(@D)
	@echo "link  $@"
	@$(CC) $(SANITIZE_FLAGS) $(LDFLAGS) -o $@ $^ -lpthread

# The same objtunnel with several mimallocs: ours, PyPI's, and any more as MIMALLOCS="NAME=FOLDER ..." (see
# MIMALLOC above).
.PHONY: bench-mimalloc
MIMALLOCS ?=
ALL_MIMALLOCS = ours=$(MIMALLOC) 3.4.3=$(BUILD)/mimalloc/3.4.3 $(MIMALLOCS)
mimalloc-lib = $(BUILD)/mimalloc/builds/$(firstword $(subst =, ,$1))
bench-mimalloc: all $(BUILD)/venv/report.stamp
	@tools/get_mimallocs $(BUILD)
	@$(foreach variant,$(ALL_MIMALLOCS),$(MAKE) all OBJ=$(call mimalloc-lib,$(variant))/obj \
		LIB=$(call mimalloc-lib,$(variant))/objtunnel MIMALLOC=$(lastword $(subst =, ,$(variant))) &&) true
	@$(VENV_PYTHON) benchmarks/tunnel/bench_mimalloc.py $(BENCH_ARGS) \
		$(foreach variant,$(ALL_MIMALLOCS),$(firstword $(subst =, ,$(variant)))=$(call mimalloc-lib,$(variant)))

# Shared objects beside their peers, which are got first; and without them, to see that it runs.
.PHONY: bench-objects bench-objects-smoke get-peers
BENCH_OBJECTS = PYTHONPATH=$(BENCH_PATH) OT_BENCH_TABLES=$(abspath $(BENCH_TABLES)) \
	$(VENV_PYTHON) benchmarks/objects/bench_objects.py
get-peers: all
	@CC="$(CC)" tools/get_peers $(BUILD)
bench-objects: get-peers $(BENCH_TABLE)
	@$(MAKE) bench-tables
	@$(BENCH_OBJECTS) $(BENCH_ARGS)
bench-objects-smoke: all $(BENCH_TABLE)
	@$(BENCH_OBJECTS) --smoke $(BENCH_ARGS)

# This build beside that of another checkout, OTHER=FOLDER.
.PHONY: bench-beside bench-beside-smoke
BENCH_BESIDE = OTHER="$(OTHER)" PYTHONPATH=$(BENCH_PATH) $(VENV_PYTHON) benchmarks/beside/bench_beside.py
bench-beside: all
	@$(BENCH_BESIDE) $(BENCH_ARGS)
bench-beside-smoke: all
	@$(BENCH_BESIDE) --smoke $(BENCH_ARGS)

# The pool beside the standard library's.
.PHONY: bench-pool bench-pool-smoke report-pool
BENCH_POOL = PYTHONPATH=$(BENCH_PATH) $(VENV_PYTHON) benchmarks/pool
bench-pool: all
	@$(BENCH_POOL)/bench_pool.py $(BENCH_ARGS)
bench-pool-smoke: all
	@$(BENCH_POOL)/bench_pool.py --smoke $(BENCH_ARGS)
report-pool: all $(BUILD)/venv/report.stamp
	@$(BENCH_POOL)/pool_page.py $(REPORT_ARGS)

# $(call get_peer,NAME): a library of PyPI that is measured beside ours.
get_peer = $(VENV_PYTHON) -c "import $1" 2>/dev/null || \
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check $1 || echo "going on without $1"

# Behaviours beside bocpy's, which is got first; and without it, to see that it runs.
.PHONY: bench-behaviours bench-behaviours-smoke
BENCH_BEHAVIOURS = PYTHONPATH=$(abspath $(BUILD)/lib):$(BENCH_PATH) $(VENV_PYTHON) benchmarks/behaviours/bench_behaviours.py
bench-behaviours: all
	@$(call get_peer,bocpy)
	@$(BENCH_BEHAVIOURS) $(BENCH_ARGS)
bench-behaviours-smoke: all
	@$(BENCH_BEHAVIOURS) --smoke $(BENCH_ARGS)

# Whole workloads by the pool and by what else there is, of PyPI as well. FREE_THREADED=PROGRAM: its threads, too.
.PHONY: bench-peers bench-peers-smoke report-peers
BENCH_PEERS = PYTHONPATH=$(BENCH_PATH) $(VENV_PYTHON) benchmarks/peers
bench-peers: all
	@$(call get_peer,bocpy)
	@$(call get_peer,extrainterpreters)
	@$(BENCH_PEERS)/bench_peers.py $(BENCH_ARGS)
bench-peers-smoke: all
	@$(BENCH_PEERS)/bench_peers.py --smoke $(BENCH_ARGS)
report-peers: all $(BUILD)/venv/report.stamp
	@$(BENCH_PEERS)/peer_tables.py $(REPORT_ARGS)
export FREE_THREADED

# Event loops, pipelines, frames of a video, each beside what else there is; NumPy and uvloop are got first, and done without.
.PHONY: bench-stream bench-stream-smoke report-stream
BENCH_STREAM = PYTHONPATH=$(BENCH_PATH) $(VENV_PYTHON) benchmarks/stream
bench-stream: all
	@tools/get_numpy $(BUILD) || echo "going on without NumPy"
	@tools/get_uvloop $(BUILD)
	@$(BENCH_STREAM)/bench_stream.py $(BENCH_ARGS)
bench-stream-smoke: all
	@$(BENCH_STREAM)/bench_stream.py --smoke $(BENCH_ARGS)
report-stream: all $(BUILD)/venv/report.stamp
	@$(BENCH_STREAM)/stream_page.py $(REPORT_ARGS)

# Trees of one's own, of another thread and received ones, on a free-threaded CPython (make test-ft builds it).
.PHONY: bench-ft bench-ft-smoke
bench-ft bench-ft-smoke:
	@tools/test_ft --build-only $(FT_BUILD) "$(FT_PYTHON)"
	@$(if $(filter %-smoke,$@),,tools/get_ft_peers $(FT_BUILD))
	@PYTHONPATH=$(BENCH_PATH):$(abspath benchmarks/objects) $(FT_BUILD)/venv/bin/python benchmarks/threads/bench_ft.py $(if $(filter %-smoke,$@),--smoke) $(BENCH_ARGS)

# What importing objtunnel costs programs that do nothing with it; can be made in pieces (--seconds).
.PHONY: bench-heap bench-heap-smoke report-heap get-pyperformance
BENCH_HEAP = PYTHONPATH=$(BENCH_PATH) $(VENV_PYTHON) benchmarks/heap
get-pyperformance: all
	@tools/get_pyperformance $(BUILD)
bench-heap: get-pyperformance
	@$(BENCH_HEAP)/bench_heap.py $(BENCH_ARGS)
bench-heap-smoke: get-pyperformance
	@$(BENCH_HEAP)/bench_heap.py --smoke $(BENCH_ARGS)
report-heap: all $(BUILD)/venv/report.stamp
	@$(BENCH_HEAP)/heap_page.py $(REPORT_ARGS)

# LockingDict's table, and those of the C libraries that get-peers has found, as libraries.
-include $(BUILD)/peers.mk
BENCH_TABLE_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,benchmarks/objects/tables/tables.c benchmarks/objects/tables/map.c \
	objects/dict/map.c objects/dict/map_table.c objects/dict/map_claim.c objects/dict/map_check.c objects/dict/epoch.c runtime/shared.c runtime/waitlist.c runtime/awaited.c runtime/park.c)
.PHONY: bench-tables
bench-tables: $(C_PEERS:%=$(BENCH_TABLES)/table_%.so)
$(BENCH_TABLE): $(BENCH_TABLE_OBJECTS)
$(BENCH_TABLES)/table_urcu.so: LIBS = -lurcu -lurcu-cds
$(BENCH_TABLES)/table_ck.so: LIBS = -lck
$(BENCH_TABLES)/table_%.so: $(OBJ)/benchmarks/objects/tables/tables.o $(OBJ)/benchmarks/objects/tables/%.o
	@mkdir -p $(@D)
	@echo "link  $@"
	@$(CC) -shared $(SANITIZE_FLAGS) $(LDFLAGS) -o $@ $(sort $^) $(LIBS) -lpthread

# What refcounts and locks cost: a C program without Python, but for PyMutex; its tables are made in Python.
# The second: a second's check of it all.
.PHONY: bench-refcount bench-refcount-smoke
BENCH_REFCOUNT_RUN = $(VENV_PYTHON) benchmarks/refcount/bench_refcount.py --program $(BENCH_REFCOUNT)
bench-refcount: $(BENCH_REFCOUNT) $(BUILD)/venv/report.stamp
	@$(BENCH_REFCOUNT_RUN) $(BENCH_ARGS)
bench-refcount-smoke: $(BENCH_REFCOUNT) $(BUILD)/venv/report.stamp
	@$(BENCH_REFCOUNT_RUN) --smoke $(BENCH_ARGS)

# Pages and plots from the results files: all docs/results/{refcount,lab,counts}-*.json; or, of
# refcounts alone, REPORT_ARGS.
.PHONY: report
report: $(BUILD)/venv/report.stamp
	@MPLCONFIGDIR=$(BUILD)/matplotlib $(VENV_PYTHON) benchmarks/refcount/refcount_report.py $(REPORT_ARGS)
	@$(if $(REPORT_ARGS),,MPLCONFIGDIR=$(BUILD)/matplotlib $(VENV_PYTHON) lab/lab_report.py)
.PHONY: report-tunnel
report-tunnel: all $(BUILD)/venv/report.stamp
	@$(VENV_PYTHON) benchmarks/tunnel/tunnel_page.py $(REPORT_ARGS)
.PHONY: profile-tunnel
PROFILE = docs/results/tunnel-profile-$(shell hostname).md
profile-tunnel: all
	@$(VENV_PYTHON) benchmarks/tunnel/profile.py $(PROFILE)
.PHONY: report-objects
report-objects: all $(BUILD)/venv/report.stamp
	@PYTHONPATH=$(BENCH_PATH) $(VENV_PYTHON) benchmarks/objects/objects_page.py $(REPORT_ARGS)
$(BUILD)/venv/report.stamp: tools/get_report_libraries
	@tools/get_report_libraries $(BUILD)

# ---- the laboratory: CPython itself with atomic refcounts -----------------------------------------

# Variants of CPython into build/lab/, one folder for all of BUILD= and PYTHON=: they are their own. PGO=1: stock and lock
# with PGO beside the plain ones, and LTO=1 LTO as well. PROFILE_TASK=: what trains them.
LAB ?= build/lab
comma := ,
VARIANT ?= $(if $(PGO),stock$(comma)stock-pgo$(comma)lock$(comma)lock-pgo,all)

.PHONY: lab lab-test lab-bench lab-counts lab-report-from-here
lab:
	@lab/build $(LAB) $(VARIANT)

# A part of CPython's own tests on each variant, and stale pointers; ours on those with a GIL.
lab-test: lab
	@lab/test $(LAB) $(VARIANT)

# Ours, built for the stock variant: for the heaps. The control is this build's. PYPERFORMANCE=1: its workloads instead.
lab-bench: all $(if $(PYPERFORMANCE),get-pyperformance)
	@lab/build $(LAB) $(VARIANT)
	@lab/build $(LAB) stock
	@$(MAKE) LAB_PARTS=1 BUILD=$(LAB)/objtunnel/stock PYTHON=$(abspath $(LAB))/stock/bin/python3 all
	@$(VENV_PYTHON) lab/bench.py --lab $(LAB) --package $(abspath $(LAB))/objtunnel/stock/lib \
		$(if $(filter-out all,$(VARIANT)),--variants $(VARIANT)) $(if $(PYPERFORMANCE),--groups pyperformance) $(BENCH_ARGS)

# Who is counted, by the variants that record; no times, so the machine may be busy.
RECORDER ?= histogram
lab-counts:
	@lab/build $(LAB) $(RECORDER)
	@$(LAB)/$(RECORDER)/bin/python3 lab/histogram.py $(BENCH_ARGS)

# All that this machine can contribute, into HERE: two results files, and the pages of them. QUICK=1: to see that it runs.
HERE ?= build/from-here
lab-report-from-here: $(BUILD)/venv/report.stamp
	@mkdir -p $(HERE)
	@$(MAKE) lab-bench VARIANT=$(VARIANT) BENCH_ARGS="--pairs $(if $(QUICK),--quick) --json $(HERE)/lab-$(shell hostname).json $(BENCH_ARGS)"
	@$(MAKE) bench-refcount$(if $(QUICK),-smoke) BENCH_ARGS="--json $(HERE)/refcount-$(shell hostname).json"
	@MPLCONFIGDIR=$(BUILD)/matplotlib $(VENV_PYTHON) lab/lab_report.py $(HERE)/lab-*.json
	@MPLCONFIGDIR=$(BUILD)/matplotlib $(VENV_PYTHON) benchmarks/refcount/refcount_report.py $(HERE)/refcount-*.json
	@echo "lab: $(HERE)/ has what goes into docs/results/"

# ---- tests ----------------------------------------------------------------------------------------

.PHONY: test check check-c check-py check-asan check-tsan check-litmus check-arm64 test-matrix tests stress check-nogil
tests: all $(C_TESTS) extensions

test: tests
	@tools/run_tests $(BUILD) c python
check: tests
	@OT_TEST_QUICK=1 PYTEST_ARGS='-m "not slow" $(PYTEST_ARGS)' tools/run_tests $(BUILD) c python
check-c: tests
	@tools/run_tests $(BUILD) c
check-py: all extensions
	@tools/run_tests $(BUILD) python
export PYTEST_ARGS MODULE

# Small faults are put in, one at a time: the test that is named for each must fail (tests/mutants/README.md).
# Objects of their own, quickly compiled, and with the invariants checked. SAMPLE=N: only so many, others for
# each commit. MUTANT=NAME: one.
.PHONY: check-mutants mutants-base
MUTANTS := $(BUILD)/mutants
CHOSEN_MUTANTS = $(if $(SAMPLE),--sample $(SAMPLE)) $(MUTANT:%=--only %)
check-mutants: all
	@$(VENV_PYTHON) tools/check_mutants $(BUILD) $(CHOSEN_MUTANTS) --list >/dev/null
	@$(MAKE) mutants-base OBJ=$(MUTANTS)/obj LIB=$(MUTANTS)/lib/objtunnel OPTIMISE=-O1
	@$(VENV_PYTHON) tools/check_mutants $(BUILD) $(CHOSEN_MUTANTS)
# The commands for more of it, a name and a tab before each.
mutants-base: all $(C_TESTS:$(BUILD)/tests/%=$(OBJ)/tests/c/%.o) $(C_TEST_SUPPORT)
	@printf '%s\t%s\n' core '$(notdir $(CORE))' objects '$(OBJECTS)' \
		mimalloc '$(MIMALLOC_OBJECT)' compile '$(subst ','\'',$(COMPILE))' \
		test_defines '$(subst ','\'',$(TEST_DEFINES))' test_libs '$(TEST_LIBS)' \
		link '$(CC) $(SANITIZE_FLAGS) $(LDFLAGS)' > $(OBJ)/commands

# An instrumented CPython, and ours on top of it. With PYTHONMALLOC=malloc AddressSanitizer sees
# every object; the C tests that start Python with our own heap exercise that one as well.
# SHARE=2: all C tests, and a half of the Python modules, another one for each commit.
ASAN_PYTHON ?= $(CURDIR)/build/asan-python
# ASAN_SLOW=1: with the slow ones, which take hours.
check-asan: export ASAN_OPTIONS = detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:strict_string_checks=1
check-asan:
	@tools/build_cpython --asan $(ASAN_PYTHON)
	@tools/check_asan_python $(ASAN_PYTHON)/bin/python3
	@$(MAKE) BUILD=build/asan PYTHON=$(ASAN_PYTHON)/bin/python3 SANITIZE=address tests
	@$(if $(ASAN_SLOW),,OT_TEST_QUICK=1) $(if $(SHARE),OT_TEST_SHARE=$(SHARE)) PYTHONMALLOC=malloc PYTEST_ARGS='-m "$(if $(ASAN_SLOW),,not slow and )not noasan" $(PYTEST_ARGS)' tools/run_tests build/asan c python

# All executions that C's memory model allows, of the protocols without locks (tests/litmus).
check-litmus:
	@PYTEST_ARGS='tests/litmus $(PYTEST_ARGS)' tools/run_tests $(BUILD) python

# All of objtunnel, by a cross compiler, for Debian sid's CPython.
check-arm64:
	@tools/check_arm64 $(BUILD)/arm64

check-tsan:
	@CC="$(CC)" tools/run_tsan $(BUILD)/tsan

# The header-only variant on a free-threaded CPython.
check-nogil:
	@tools/build_cpython --nogil build/nogil-python
	@CC="$(CC)" tools/check_nogil build/nogil-python build/nogil

# What LAB_PARTS=1 builds in, on this machine's CPython; and the laboratory's commands, with a variant that is measured and
# one that records.
.PHONY: check-lab
check-lab:
	@lab/build $(LAB) stock histogram
	@$(MAKE) LAB_PARTS=1 BUILD=$(BUILD)/lab-parts PYTHON=$(PYTHON) tests
	@for module in heap heap_lives lockinc_heap share lab lab_commands; do \
		MODULE=$$module tools/run_tests $(BUILD)/lab-parts c python || exit 1; done

# objtunnel between the threads of a free-threaded CPython; DEBUG=1: a debug build of it, TSAN=1: with ThreadSanitizer
# in it, FT_PYTHON=program: another one.
.PHONY: test-ft
test-ft:
	@tools/test_ft $(FT_BUILD) "$(FT_PYTHON)" --nogil$(if $(DEBUG),-debug)$(if $(TSAN),-tsan)

# An sdist, a wheel, and what a stranger does with it; from PyPI come the tools.
.PHONY: check-wheel
check-wheel: all
	@tools/check_wheel $(BUILD)

# This build under another micro version of its CPython: nothing is compiled.
.PHONY: check-micro
check-micro: all
	@tools/check_micro $(BUILD) $(OTHER)

# Everything that a release needs, from a clean tree.
.PHONY: release-check
release-check: all
	@tools/release_check

# Dask and distributed, for examples/dask and its test.
# Arrays: their tests skip where NumPy is missing.
.PHONY: check-numpy
check-numpy: all extensions
	@tools/get_numpy $(BUILD)
	@PYTEST_ARGS='tests/python/test_numpy.py tests/python/test_shared_array.py $(PYTEST_ARGS)' tools/run_tests $(BUILD) python

# Event loops: the tests on uvloop skip where it is missing.
.PHONY: check-asyncio
check-asyncio: all extensions
	@tools/get_uvloop $(BUILD)
	@PYTEST_ARGS='tests/python/test_async.py tests/python/test_select.py $(PYTEST_ARGS)' tools/run_tests $(BUILD) python

.PHONY: get-dask
get-dask: all
	@tools/get_dask $(BUILD)

# Trees going round between interpreters; prints its seed.
THREADS ?= 4
SECONDS ?= 60
stress: all
	$(VENV_PYTHON) tests/python/helpers/stress.py --threads $(THREADS) --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Everything at once for MINUTES, or only ACTS (a,b); prints its seed, and a line a minute.
MINUTES ?= 60
.PHONY: soak
soak: all
	$(VENV_PYTHON) tests/soak/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(ACTS),--acts $(ACTS))

test-matrix:
	@VERSIONS="$(VERSIONS)" DEBUG="$(DEBUG)" TARGETS="$(TARGETS)" tools/matrix

# What takes hours: CPython's debug builds, AddressSanitizer with the slow tests, all mutants, an hour of the soak; and the
# laboratory.
.PHONY: nightly
nightly:
	@tools/run_targets "test-matrix DEBUG=1" "check-asan ASAN_SLOW=1" check-mutants "soak MINUTES=60" check-docs check-lab

# The programs and figures in the documents, whole, and the site.
.PHONY: check-docs
check-docs: all extensions docs
	@PYTEST_ARGS='$(wildcard tests/python/test_docs_*.py) $(PYTEST_ARGS)' tools/run_tests $(BUILD) python

# ---- source checks --------------------------------------------------------------------------------

C_FILES = $(shell find . -path './build*' -prune -o -path ./.git -prune -o -name '*.[ch]' ! -path './third_party/*' ! -path ./tools/cppcheck.h -print | sort)

.PHONY: lint format check-types
lint:
	@tools/bootstrap $(BUILD) lint
	@failed=0; tools/lint $(C_FILES) || failed=1; \
	$(MAKE) check-types || failed=1; \
	echo "== clang -Wall -Wextra -Werror"; \
	$(MAKE) CC=clang OBJ=$(BUILD)/clang EXT=$(BUILD)/clang/ext objects extensions || failed=1; exit $$failed

# The stubs, by mypy, which is installed into the venv.
check-types: all
	@tools/check_types $(BUILD)

format:
	clang-format -i $(C_FILES)

.PHONY: objects
objects: $(OBJECTS) $(C_TESTS:$(BUILD)/tests/%=$(OBJ)/tests/c/%.o) $(C_TEST_SUPPORT) $(BENCH_REFCOUNT_OBJECTS) $(BENCH_TUNNEL_OBJECTS) \
	$(BENCH_CHANNEL_OBJECTS) $(BENCH_TABLE_OBJECTS)

# ---- documentation --------------------------------------------------------------------------------

# The pages of docs/ and the reference from the docstrings, as a site. A warning is an error.
.PHONY: docs
docs: all
	@tools/get_sphinx $(BUILD)
	@PYTHONPATH=$(BUILD)/lib $(BUILD)/docs-venv/bin/python -m sphinx -W --keep-going -q -b html docs $(BUILD)/docs
	@echo "docs: $(BUILD)/docs/index.html"

# ---- the rest -------------------------------------------------------------------------------------

.PHONY: clean distclean help FORCE
clean:
	rm -rf $(OBJ) $(BUILD)/clang $(BUILD)/lib $(BUILD)/ext $(BUILD)/tests $(BUILD)/benchmarks
# One file system: the matrix's chroot lies in here, and nothing mounted there is ours to delete.
distclean:
	rm -rf --one-file-system $(BUILD)
FORCE:

help:
	@echo "Build and run:"
	@echo "  make                  install what is missing, build into $(BUILD)/"
	@echo "  make run              the demo (also: make demo); DEMO_ARGS=..."
	@echo "  make clean            remove objects, package and tests     make distclean  remove $(BUILD)/"
	@echo "Test:"
	@echo "  make test             all tests: C (Criterion), then Python (pytest); PYTEST_ARGS=..."
	@echo "  make check            the quick part of them; of one module: make check MODULE=box"
	@echo "  make check-c          the C tests          make check-py   the Python tests"
	@echo "  make test-matrix      under Debian sid's 3.13, 3.14, 3.15 in a chroot; VERSIONS=\"3.14\" DEBUG=1"
	@echo "  make stress           trees going round between interpreters; THREADS= SECONDS= SEED="
	@echo "  make soak             everything at once, nothing lost or left behind; MINUTES=60 SEED= ACTS="
	@echo "  make nightly          debug builds, slow tests under AddressSanitizer, mutants, soak, documents: hours"
	@echo "Check:"
	@echo "  make lint             clang-format, cppcheck, shellcheck, clang's warnings, check-types"
	@echo "  make format           clang-format in place"
	@echo "  make check-types      the type stubs, by mypy"
	@echo "  make check-asan       under AddressSanitizer, CPython included (built once, 4 minutes); SHARE=2: half the Python tests"
	@echo "  make check-tsan       the parts without Python under ThreadSanitizer"
	@echo "  make check-nogil      objtunnel_global.h on a free-threaded CPython (built once, 4 minutes)"
	@echo "  make test-ft          objtunnel on a free-threaded CPython (built once, 4 minutes); DEBUG=1 TSAN=1 FT_PYTHON=program"
	@echo "  make check-litmus     the memory orders of map, epoch, channel and park, in all executions that C allows"
	@echo "  make check-arm64      all of it compiled for arm64, some tests under emulation; ARM64_TESTS=\"test_move ...\""
	@echo "  make release-check    versions, results, wheel, site and quick tests, from a clean tree"
	@echo "  make check-asyncio    the tests of event loops, with uvloop, which it installs where there is a wheel"
	@echo "  make check-numpy      the tests of arrays, with NumPy and pandas, which it installs"
	@echo "  make get-dask         dask and distributed into $(BUILD)/dask-venv, for the tests of docs/dask.md"
	@echo "  make check-micro      the tests of this build under another micro version: OTHER=/path/to/python3.13"
	@echo "  make check-wheel      sdist and wheel are built, installed into a venv and used"
	@echo "  make check-lab        what LAB_PARTS=1 builds in: the heaps behind the lock of 2006, share='unsafe'; the laboratory's commands"
	@echo "  make check-mutants    small faults are put in, each must be found by its test; SAMPLE=6 MUTANT=NAME"
	@echo "Measure:"
	@echo "  make bench            benchmarks; BENCH_ARGS=...   (also: make bench-tunnel)"
	@echo "  make bench-channel    small messages without Python: the floor"
	@echo "  make bench-objects    LockingDict, locks and the like beside their peers; -smoke: a second"
	@echo "  make bench-beside     this build beside that of another checkout, OTHER=FOLDER; -smoke: this one beside itself"
	@echo "  make bench-pool       InterpreterPoolExecutor beside the standard library's pools; -smoke: a second"
	@echo "  make bench-behaviours @when beside bocpy's; -smoke: some seconds"
	@echo "  make bench-stream     event loops, pipelines and frames beside what else there is; -smoke: some seconds"
	@echo "  make bench-peers      ten workloads beside processes, threads and 3.14's interpreters; -smoke; FREE_THREADED=PROGRAM"
	@echo "  make bench-ft         own, foreign and received trees on a free-threaded CPython; -smoke: a second"
	@echo "  make bench-heap       what importing objtunnel costs other programs; -smoke: some seconds"
	@echo "  make bench-mimalloc   which mimalloc to link; MIMALLOCS=\"NAME=FOLDER\" for more"
	@echo "  make bench-refcount   refcounts and locks, two minutes; BENCH_ARGS=...; -smoke: a second"
	@echo "  make profile-tunnel   where the time goes, by function; needs perf; PROFILE=FILE.md"
	@echo "Report, from docs/results/:"
	@echo "  make report           pages and plots from docs/results/{refcount,lab,counts}-*.json; REPORT_ARGS=..."
	@echo "  make report-objects   tables from docs/results/objects-*.json; REPORT_ARGS=..."
	@echo "  make report-tunnel    tables from docs/results/tunnel-*.json; REPORT_ARGS=..."
	@echo "  make report-heap      tables from docs/results/heap-*.json; REPORT_ARGS=..."
	@echo "  make report-peers     tables from docs/results/peers-*.json; REPORT_ARGS=..."
	@echo "  make report-stream    tables from docs/results/stream-*.json; REPORT_ARGS=..."
	@echo "  make report-pool      tables from docs/results/pool-*.json; REPORT_ARGS=..."
	@echo "The laboratory of refcounts:"
	@echo "  make lab              CPython 3.13 with refcount variants into build/lab; VARIANT=lock for one;"
	@echo "                        PGO=1: stock and lock plain and with PGO; LTO=1: and with LTO; PROFILE_TASK=..."
	@echo "  make lab-test         some of CPython's own tests on them, stale pointers; VARIANT=..."
	@echo "  make lab-bench        what refcounts cost in CPython, 15 minutes; VARIANT=... BENCH_ARGS=... (--quick); PGO=1;"
	@echo "                        PYPERFORMANCE=1: by its workloads, an hour or two; BENCH_ARGS='--workloads nbody,...'"
	@echo "  make lab-counts       who is counted, by workload; RECORDER=histogram-2006 BENCH_ARGS=..."
	@echo "  make lab-report-from-here  measures this machine, pages and plots into $(HERE); HERE=FOLDER"
	@echo "Documentation:"
	@echo "  make check-docs       the programs in the documents run, and the site has no warning"
	@echo "  make docs             the site: docs/ and the reference, by sphinx, into $(BUILD)/docs"
