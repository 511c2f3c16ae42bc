# The extensions of tests/ext and examples/, as an author's own build would make them: against the
# headers of the package alone, C11, no -fno-strict-aliasing, no _GNU_SOURCE. Included by Makefile,
# and used by itself (tools/check_nogil) for the target `alone`: what needs no objtunnel.

EXT := $(BUILD)/ext
comma := ,
EXT_INCLUDE := $(if $(LIB),$(LIB)/include,include)
EXT_NEEDS := $(or $(HEADER_COPIES),$(wildcard include/*.h)) $(wildcard tests/ext/*.h tests/ext/naive/*.h) \
	$(if $(OBJ),$(OBJ)/flags)
COMPILE_EXT = $(CC) -shared -std=c11 $(OPTIMISE) -g -Wall -Wextra $(WERROR) -fPIC -fvisibility=hidden \
	-pthread $(SANITIZE_FLAGS) -I$(EXT_INCLUDE) -isystem $(PY_INCLUDE) $(CFLAGS)

ext-paths = $(1:%=$(EXT)/%$(EXT_SUFFIX))
NAIVE := $(call ext-paths,$(patsubst tests/ext/naive/%.c,%,$(wildcard tests/ext/naive/*.c)))
BOTH := dependent late
COMMON := common_a common_b common_c
WITH_CAPSULE := $(call ext-paths,guarded model grid settings kinds $(BOTH) $(COMMON))
ALONE := $(call ext-paths,guarded_alone model_alone $(BOTH:%=%_alone) $(COMMON:%=%_alone)) $(NAIVE)
CURL := $(call ext-paths,$(if $(LIB),tinycurl) tinycurl_alone)
ODBC := $(call ext-paths,$(if $(LIB),tinyodbc) tinyodbc_alone) $(EXT)/count_calls.so

.PHONY: extensions alone
extensions: $(WITH_CAPSULE) alone
alone: $(ALONE) $(EXT)/odbc.stamp $(EXT)/curl.stamp

# $(call compile-ext,SOURCES AND FLAGS,LIBRARIES)
define compile-ext
@mkdir -p $(@D)
@echo "ext   $@"
@$(COMPILE_EXT) $(1) $(LDFLAGS) -o $@ $(2)
endef

$(call ext-paths,guarded): tests/ext/guarded.c tests/ext/guarded_more.c $(EXT_NEEDS)
	$(call compile-ext,$(filter %.c,$^))
$(call ext-paths,guarded_alone): tests/ext/guarded.c tests/ext/guarded_more.c $(EXT_NEEDS)
	$(call compile-ext,-DOT_TEST_ALONE $(filter %.c,$^))
$(NAIVE): $(EXT)/%$(EXT_SUFFIX): tests/ext/naive/%.c $(EXT_NEEDS)
	$(call compile-ext,$<)
$(call ext-paths,$(BOTH)): $(EXT)/%$(EXT_SUFFIX): tests/ext/%.c $(EXT_NEEDS)
	$(call compile-ext,$<)
$(call ext-paths,$(BOTH:%=%_alone)): $(EXT)/%_alone$(EXT_SUFFIX): tests/ext/%.c $(EXT_NEEDS)
	$(call compile-ext,-DOT_TEST_ALONE $<)
# A library, and extensions over it.
$(EXT)/libcommon.so: tests/ext/common_library.c $(EXT_NEEDS)
	$(call compile-ext,$<)
$(EXT)/libcommon_alone.so: tests/ext/common_library.c $(EXT_NEEDS)
	$(call compile-ext,-DOT_TEST_ALONE $<)
$(call ext-paths,$(COMMON)): $(EXT)/%$(EXT_SUFFIX): tests/ext/common.c $(EXT)/libcommon.so $(EXT_NEEDS)
	$(call compile-ext,-DNAME=$* $<,-L$(EXT) -lcommon -Wl$(comma)-rpath$(comma)'$$ORIGIN')
$(call ext-paths,$(COMMON:%=%_alone)): $(EXT)/%_alone$(EXT_SUFFIX): tests/ext/common.c $(EXT)/libcommon_alone.so $(EXT_NEEDS)
	$(call compile-ext,-DOT_TEST_ALONE -DNAME=$*_alone $<,-L$(EXT) -lcommon_alone -Wl$(comma)-rpath$(comma)'$$ORIGIN')
$(call ext-paths,model): examples/model/model.c $(EXT_NEEDS)
	$(call compile-ext,$<)
$(call ext-paths,grid): examples/grid/grid.c $(EXT_NEEDS)
	$(call compile-ext,$<)
$(call ext-paths,settings): tests/ext/settings.c $(EXT_NEEDS)
	$(call compile-ext,$<)
$(call ext-paths,kinds): tests/ext/kinds.c $(EXT_NEEDS)
	$(call compile-ext,$<)
$(call ext-paths,model_alone): examples/model/model.c $(EXT_NEEDS)
	$(call compile-ext,-DMODEL_ALONE $<)
$(call ext-paths,tinyodbc): examples/odbc/tinyodbc.c $(EXT_NEEDS)
	$(call compile-ext,$<,-lodbc)
$(call ext-paths,tinyodbc_alone): examples/odbc/tinyodbc.c $(EXT_NEEDS)
	$(call compile-ext,-DTINYODBC_ALONE $<,-lodbc)
$(call ext-paths,tinycurl): examples/curl/tinycurl.c $(EXT_NEEDS)
	$(call compile-ext,$<,-lcurl)
$(call ext-paths,tinycurl_alone): examples/curl/tinycurl.c $(EXT_NEEDS)
	$(call compile-ext,-DTINYCURL_ALONE $<,-lcurl)
# Not instrumented: it is loaded into programs that may not be.
$(EXT)/count_calls.so: examples/odbc/count_calls.c $(EXT_NEEDS)
	@echo "ext   $@"
	@$(CC) -shared -std=c11 -O2 -g -Wall -Wextra $(WERROR) -fPIC -o $@ $< -ldl

# The example over unixODBC, where that can be had; its tests say why they are skipped otherwise.
$(EXT)/odbc.stamp: examples/odbc/tinyodbc.c examples/odbc/count_calls.c tools/get_odbc $(EXT_NEEDS)
	@mkdir -p $(@D)
	@if CC="$(CC)" tools/get_odbc $(BUILD) 2>$(EXT)/odbc.missing; then \
		rm $(EXT)/odbc.missing; \
		$(MAKE) $(if $(OBJ),,-f tests/ext/ext.mk) $(ODBC) && touch $@; \
	else cat $(EXT)/odbc.missing; fi

# The same for the example over libcurl.
$(EXT)/curl.stamp: examples/curl/tinycurl.c tools/get_curl $(EXT_NEEDS)
	@mkdir -p $(@D)
	@if CC="$(CC)" tools/get_curl $(BUILD) 2>$(EXT)/curl.missing; then \
		rm $(EXT)/curl.missing; \
		$(MAKE) $(if $(OBJ),,-f tests/ext/ext.mk) $(CURL) && touch $@; \
	else cat $(EXT)/curl.missing; fi
