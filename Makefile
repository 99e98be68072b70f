# SPDX-License-Identifier: MIT
#
# Builds milestonefs out of tree, in $(BUILD). Sources are found by wildcard:
#   core/*.c                     -> $(BUILD)/libcore.a
#   fs/*.c + libcore.a           -> $(BUILD)/milestonefs
#   tests/lib/*.c                -> $(BUILD)/tests/libtest.a
#   tests/{unit,crash,prop}/test_*.c -> one cmocka program each
#   tests/mount/*.c              -> helper programs of the mount tests
#   tests/bench/*.c              -> programs of make bench, with libcore.a
#   tests/fuzz/fuzz_*.c          -> libFuzzer harnesses (make fuzz)
# `make help` is made from the comments that begin with two hashes.

## BUILD=DIR        where everything is built (build)
BUILD ?= build
## CC=, CFLAGS=, LDFLAGS=  the compiler and its flags (CFLAGS: -O2 -g)
CFLAGS ?= -O2 -g
## WERROR=1         warnings are errors (CI sets it)
WERROR ?=
## PREFIX=, DESTDIR=  where install puts things (/usr/local)
PREFIX ?= /usr/local
## KINDS="..."      which tests test, asan, tsan and cov run (unit crash prop mount)
KINDS ?= unit crash prop mount
## TEST_TIMEOUT=S   seconds one test program may take (900)
TEST_TIMEOUT ?= 900
## MOUNT_TIMEOUT=S  seconds all mount tests together may take (3600)
MOUNT_TIMEOUT ?= 3600
## TEST_JOBS=N, MOUNT_JOBS=N  test programs at a time (processors), and mount scripts (3)
## BENCH=quick      make bench in three minutes instead of twenty; or arguments of scripts/bench
BENCH ?=
## FUZZ_SECONDS=S   how long make fuzz runs each harness (30)
FUZZ_SECONDS ?= 30
VERSION := 0.1.0
SANITIZE ?=
## V=1              show each command
V ?=
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all test check-fast test-unit test-crash test-prop test-mount run-tests asan tsan valgrind \
	fuzz fuzz-build cov bench bench-programs demo format check-format lint check-layers install uninstall dist clean help FORCE
.DEFAULT_GOAL := all

# --- flags -------------------------------------------------------------------

PKG_CONFIG ?= pkg-config
CORE_PKGS := yaml-0.1 libcjson liblz4 libcrypto libxxhash libgit2
FS_PKGS := fuse3 libarchive
TEST_PKGS := cmocka
pkg_cflags = $(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null)
pkg_libs = $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null)

WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes $(if $(filter 1,$(WERROR)),-Werror)
SANITIZE_FLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
DEFINES := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 -DMILESTONEFS_VERSION='"$(VERSION)"'
CORE_CFLAGS := $(call pkg_cflags,$(CORE_PKGS))
FS_CFLAGS := $(call pkg_cflags,$(FS_PKGS))
TEST_CFLAGS := $(call pkg_cflags,$(TEST_PKGS))
CORE_LIBS := $(call pkg_libs,$(CORE_PKGS)) -lm
FS_LIBS := $(call pkg_libs,$(FS_PKGS))
TEST_LIBS := $(call pkg_libs,$(TEST_PKGS))
COMPILE_FLAGS = -std=gnu11 $(WARNINGS) $(DEFINES) $(CFLAGS) $(SANITIZE_FLAGS) -pthread -Iinclude $(CORE_CFLAGS)
COMPILE = $(CC) $(COMPILE_FLAGS) -MMD -MP
LINK = $(CC) $(CFLAGS) $(SANITIZE_FLAGS) -pthread $(LDFLAGS)

# --- what there is -----------------------------------------------------------

CORE_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard core/*.c)))
FS_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard fs/*.c)))
TESTLIB_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tests/lib/*.c)))
# No program before there is a main.
PROGRAM := $(if $(wildcard fs/main.c),$(BUILD)/milestonefs)
TESTS_unit := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/test_*.c)))
TESTS_crash := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/crash/test_*.c)))
TESTS_prop := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/prop/test_*.c)))
TESTS_cmocka := $(TESTS_unit) $(TESTS_crash) $(TESTS_prop)
MOUNT_HELPERS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/mount/*.c)))
BENCH_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/bench/*.c)))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
MOUNT_RUN := $(wildcard tests/mount/run)
# What run-tests runs: the chosen kinds, in this order.
RUN_CMOCKA := $(foreach k,unit crash prop,$(if $(filter $(k),$(KINDS)),$(TESTS_$(k))))
RUN_MOUNT := $(if $(filter mount,$(KINDS)),$(MOUNT_RUN))
C_FILES := $(sort $(wildcard include/*.h core/*.[ch] fs/*.[ch] tests/*/*.[ch]))

all: $(BUILD)/libcore.a $(PROGRAM) ## build the program ($(BUILD)/milestonefs)

# --- rules -------------------------------------------------------------------

# Everything is rebuilt when the flags change; a missing library is named here.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@if ! $(PKG_CONFIG) --exists $(CORE_PKGS) $(FS_PKGS); then \
		echo "missing build dependencies (run scripts/bootstrap):" >&2; \
		$(PKG_CONFIG) --print-errors --exists $(CORE_PKGS) $(FS_PKGS) 2>&1 | sed -n 's/^No package/  no package/p' >&2; \
		exit 1; fi
	@echo '$(subst ','\'',$(CC) $(COMPILE_FLAGS) $(LDFLAGS))' >$@.new
	@if cmp -s $@ $@.new; then rm -f $@.new; else mv -f $@.new $@; fi

$(CORE_OBJS): $(BUILD)/core/%.o: core/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -c -o $@ $<

$(FS_OBJS): $(BUILD)/fs/%.o: fs/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -Ifs $(FS_CFLAGS) -c -o $@ $<

$(TESTLIB_OBJS) $(addsuffix .o,$(TESTS_cmocka)): $(BUILD)/tests/%.o: tests/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -Itests/lib -Ifs $(TEST_CFLAGS) $(FS_CFLAGS) -c -o $@ $<

$(BUILD)/libcore.a: $(CORE_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/tests/libtest.a: $(TESTLIB_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/milestonefs: $(FS_OBJS) $(BUILD)/libcore.a
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $(FS_OBJS) $(BUILD)/libcore.a $(FS_LIBS) $(CORE_LIBS)

$(TESTS_cmocka): %: %.o $(BUILD)/tests/libtest.a $(BUILD)/libcore.a
	$(call say,LD,$@)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(BUILD)/tests/libtest.a $(BUILD)/libcore.a $(TEST_LIBS) $(CORE_LIBS)

# Virtual files need an engine but no mount.
$(filter $(BUILD)/tests/unit/test_vfile%,$(TESTS_unit)): $(filter $(BUILD)/fs/vfile%,$(FS_OBJS))

$(MOUNT_HELPERS): $(BUILD)/tests/mount/%: tests/mount/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -MF $@.d $(LDFLAGS) -o $@ $<

$(FUZZERS): $(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(BUILD)/tests/libtest.a $(BUILD)/libcore.a $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) -Itests/lib -MF $@.d -fsanitize=fuzzer $(LDFLAGS) -o $@ $< \
		$(BUILD)/tests/libtest.a $(BUILD)/libcore.a $(CORE_LIBS)

$(BUILD)/tests/bench/floor_fs: BENCH_FLAGS = $(call pkg_cflags,fuse3) $(call pkg_libs,fuse3)

# SQLite is a peer, not a dependency.
$(BENCH_PROGRAMS): $(BUILD)/tests/bench/%: tests/bench/%.c $(BUILD)/libcore.a $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(COMPILE) $(if $(call pkg_libs,sqlite3),-DBENCH_SQLITE) -MF $@.d $(LDFLAGS) -o $@ $< $(BUILD)/libcore.a $(CORE_LIBS) \
		$(call pkg_libs,sqlite3) $(BENCH_FLAGS)

FORCE:

-include $(CORE_OBJS:.o=.d) $(FS_OBJS:.o=.d) $(TESTLIB_OBJS:.o=.d) $(addsuffix .d,$(TESTS_cmocka) $(MOUNT_HELPERS) $(BENCH_PROGRAMS) $(FUZZERS))

# --- tests -------------------------------------------------------------------

# A sub-make, because bootstrap may install what the first reading of this file did not find.
test: ## set up what is missing and run all tests; ends with "N passed, N failed"
	@scripts/bootstrap
	@$(MAKE) --no-print-directory run-tests

run-tests: all $(RUN_CMOCKA) $(if $(RUN_MOUNT),$(MOUNT_HELPERS))
	@MILESTONEFS_BUILD='$(abspath $(BUILD))' MILESTONEFS='$(abspath $(BUILD))/milestonefs' \
		ASAN_OPTIONS="$${ASAN_OPTIONS:-detect_leaks=1}" UBSAN_OPTIONS="$${UBSAN_OPTIONS:-print_stacktrace=1}" \
		TSAN_OPTIONS="$${TSAN_OPTIONS:-second_deadlock_stack=1}" \
		scripts/run-tests $(TEST_WRAPPER) -t $(TEST_TIMEOUT) $(RUN_CMOCKA) $(if $(RUN_MOUNT),-v -t $(MOUNT_TIMEOUT) $(RUN_MOUNT))

check-fast: ## unit tests only, in seconds
	@$(MAKE) --no-print-directory run-tests KINDS=unit

test-unit test-crash test-prop test-mount: test-%: ## one kind of tests
	@$(MAKE) --no-print-directory run-tests KINDS=$*

asan: ## build with AddressSanitizer and UBSan in build-asan and run all tests with it
	@MOUNT_TIME_FACTOR=$${MOUNT_TIME_FACTOR:-2} ENGINE_CRASH_STEP=$${ENGINE_CRASH_STEP:-4} ENGINE_PROP_RUNS=$${ENGINE_PROP_RUNS:-8} $(MAKE) --no-print-directory test BUILD=build-asan SANITIZE=address,undefined

tsan: ## the same with ThreadSanitizer in build-tsan
	@MOUNT_TIME_FACTOR=$${MOUNT_TIME_FACTOR:-3} ENGINE_CRASH_STEP=$${ENGINE_CRASH_STEP:-20} ENGINE_PROP_RUNS=$${ENGINE_PROP_RUNS:-3} $(MAKE) --no-print-directory test BUILD=build-tsan SANITIZE=thread TEST_WRAPPER="-w 'setarch -R'"

valgrind: ## unit tests under valgrind (a quarter of an hour)
	@TEST_TIME_FACTOR=20 $(MAKE) --no-print-directory run-tests KINDS=unit TEST_TIMEOUT=3600 \
		TEST_WRAPPER="-w 'valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'"

fuzz: ## build the libFuzzer harnesses with clang in build-fuzz and run each FUZZ_SECONDS
	@$(MAKE) --no-print-directory fuzz-build BUILD=build-fuzz CC=clang SANITIZE=fuzzer-no-link,address,undefined
	@set -e; for f in $(patsubst $(BUILD)/%,build-fuzz/%,$(FUZZERS)); do \
		name=$${f##*/}; mkdir -p build-fuzz/corpus/$$name build-fuzz/found; echo "== $$name"; \
		seeds=tests/data/fuzz/$$name; [ -d $$seeds ] || seeds=; \
		$$f -max_total_time=$(FUZZ_SECONDS) -timeout=20 -artifact_prefix=build-fuzz/found/$$name- -print_final_stats=1 \
			build-fuzz/corpus/$$name $$seeds; done

fuzz-build: $(FUZZERS)

cov: ## test coverage, by file (gcovr when there, else gcov)
	@$(MAKE) --no-print-directory run-tests BUILD=build-cov CFLAGS="-O0 -g --coverage"
	@if command -v gcovr >/dev/null; then gcovr -r . --object-directory build-cov -f core/ -f fs/; else \
		gcov -n $$(find build-cov/core build-cov/fs -name '*.gcda') 2>/dev/null | awk -F"'" \
		'/^File/ { f = $$2 } /^Lines executed/ && f ~ /^(core|fs)\// { split($$0, a, /[:% ]+/); printf "%7.2f%%  %s\n", a[3], f; f = "" }' | sort -k2; fi

bench: all $(BENCH_PROGRAMS) ## measure beside other file systems and databases; BENCH=quick takes three minutes
	@MILESTONEFS='$(abspath $(BUILD))/milestonefs' MILESTONEFS_BUILD='$(abspath $(BUILD))' CC='$(CC)' scripts/bench $(BENCH)

bench-programs: $(BENCH_PROGRAMS)

demo: ## install what is missing, build, and show a working day on a real mount
	@scripts/bootstrap
	@$(MAKE) --no-print-directory all
	@MILESTONEFS='$(abspath $(BUILD))/milestonefs' scripts/demo

# --- form --------------------------------------------------------------------

format: ## rewrite the C files in the project's form (clang-format)
	clang-format -i $(C_FILES)

check-format: ## say which C files are not in the project's form
	clang-format --dry-run -Werror $(C_FILES)

check-layers: ## fail on an include of a higher layer
	@scripts/check-layers.sh

# Not asked of the tools: what they cannot know (they see neither cleanup attributes nor uthash's ownership, and follow no
# return value into another file), and matters of taste.
TIDY_CHECKS := -*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,$\
	-bugprone-assignment-in-if-condition,-bugprone-branch-clone,-bugprone-implicit-widening-of-multiplication-result,$\
	-bugprone-macro-parentheses,-bugprone-narrowing-conversions,-bugprone-not-null-terminated-result,$\
	-bugprone-sizeof-expression,-bugprone-suspicious-string-compare,-clang-analyzer-unix.Malloc,$\
	-clang-analyzer-core.CallAndMessage,-clang-analyzer-core.NonNullParamChecker,-clang-analyzer-core.NullDereference,$\
	-clang-analyzer-core.UndefinedBinaryOperatorResult,-clang-analyzer-core.uninitialized.*,$\
	-clang-analyzer-security.insecureAPI.*,-clang-analyzer-valist.Uninitialized

lint: check-layers ## layers, and clang-tidy, cppcheck and shellcheck when there (minutes)
	@if command -v cppcheck >/dev/null; then cppcheck -q --error-exitcode=1 --inline-suppr --std=c11 \
		--enable=warning,portability --suppress=missingInclude --suppress=memleak --suppress=uninitvar --suppress=internalAstError -Iinclude -Ifs core fs; \
		else echo "lint: no cppcheck"; fi
	@if command -v clang-tidy >/dev/null; then printf '%s\n' $(wildcard core/*.c fs/*.c) | \
		xargs -P $$(nproc) -I{} clang-tidy --quiet --warnings-as-errors='*' --checks='$(TIDY_CHECKS)' {} -- \
		$(COMPILE_FLAGS) -Ifs $(FS_CFLAGS) 2>/dev/null; else echo "lint: no clang-tidy"; fi
	@if command -v shellcheck >/dev/null; then shellcheck -S warning -e SC2034 scripts/bootstrap scripts/run-tests \
		scripts/check-layers.sh scripts/demo scripts/verify-events.sh .ci/run tests/mount/run tests/mount/*.sh; else echo "lint: no shellcheck"; fi

# --- install -----------------------------------------------------------------

install: all ## install the program and its man page below PREFIX
	install -D -m 0755 $(BUILD)/milestonefs $(DESTDIR)$(PREFIX)/bin/milestonefs
	@if [ -f docs/milestonefs.8 ]; then set -x; \
		install -D -m 0644 docs/milestonefs.8 $(DESTDIR)$(PREFIX)/share/man/man8/milestonefs.8; fi

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/milestonefs $(DESTDIR)$(PREFIX)/share/man/man8/milestonefs.8

dist: ## a source archive of the last commit
	@mkdir -p $(BUILD)
	git archive --prefix=milestonefs-$(VERSION)/ -o $(BUILD)/milestonefs-$(VERSION).tar.gz HEAD
	@echo $(BUILD)/milestonefs-$(VERSION).tar.gz

clean: ## remove what was built
	rm -rf $(BUILD) build-asan build-tsan build-cov build-fuzz

help: ## this list
	@echo "Targets:"
	@sed -nE 's/^([a-z][a-z -]*):[^#=]*## (.*)/\1\t\2/p' Makefile | sed 's/\$$(BUILD)/$(subst /,\/,$(BUILD))/; s/: test-%//' | \
		awk -F'\t' '{ printf "  %-14s %s\n", $$1, $$2 }'
	@echo "Variables:"
	@sed -n 's/^## /  /p' Makefile
