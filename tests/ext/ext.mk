# The extensions of tests/ext and examples/, as an author's own build would make them: against the
# headers of the package alone, C11, no -fno-strict-aliasing, no _GNU_SOURCE. Included by Makefile.

EXT := $(BUILD)/ext
COMPILE_EXT = $(CC) -shared -std=c11 $(OPTIMISE) -g -Wall -Wextra $(WERROR) -fPIC -fvisibility=hidden \
	-pthread $(SANITIZE_FLAGS) -I$(LIB)/include -isystem $(PY_INCLUDE) $(CFLAGS)
EXT_HEADERS = $(HEADER_COPIES) $(wildcard tests/ext/*.h) $(OBJ)/flags

EXT_NAMES := guarded guarded_alone
EXTENSIONS := $(EXT_NAMES:%=$(EXT)/%$(EXT_SUFFIX))

.PHONY: extensions
extensions: $(EXTENSIONS)

# compile-ext SOURCES-AND-FLAGS
define compile-ext
@mkdir -p $(@D)
@echo "ext   $@"
@$(COMPILE_EXT) $(1) $(LDFLAGS) -o $@ $(2)
endef

$(EXT)/guarded$(EXT_SUFFIX): tests/ext/guarded.c tests/ext/guarded_more.c $(EXT_HEADERS)
	$(call compile-ext,$(filter %.c,$^))
$(EXT)/guarded_alone$(EXT_SUFFIX): tests/ext/guarded.c tests/ext/guarded_more.c $(EXT_HEADERS)
	$(call compile-ext,-DOT_TEST_ALONE $(filter %.c,$^))
