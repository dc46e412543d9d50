noinst_LIBRARIES += src/conf/libconf.a
src_conf_libconf_a_SOURCES = \
	%D%/inputs.c %D%/inputs.h %D%/overlay.c %D%/overlay.h %D%/edit.c %D%/edit.h %D%/save.c %D%/save.h \
	%D%/check.c %D%/cidr.c %D%/closed.c %D%/compile.c %D%/compiled.h %D%/concurrency.c %D%/conf.c %D%/conf.h %D%/defaults.c \
	%D%/diag.c %D%/diag.h %D%/limits.c %D%/load.c %D%/paths.c %D%/process.c %D%/redis.c %D%/reference.c %D%/resolve.c %D%/rls.c \
	%D%/router.c %D%/router.h %D%/router_build.c %D%/router_index.h %D%/router_template.c \
	%D%/routes.c %D%/schema.c %D%/schema.def %D%/schema.h %D%/show.c \
	%D%/split.c %D%/split.h %D%/splits.c %D%/tree.c %D%/tree.h \
	%D%/value.c %D%/value.h %D%/yaml.c %D%/yaml.h

# What docs/ says about the settings comes from the schema. The results are in the repository, and a unit
# test sees when they are old.
check_PROGRAMS += src/conf/print_reference
src_conf_print_reference_SOURCES = %D%/print_reference.c
src_conf_print_reference_LDADD = src/conf/libconf.a src/base/libbase.a
.PHONY: reference
reference: src/conf/print_reference
	src/conf/print_reference markdown >$(srcdir)/docs/configuration.md
	src/conf/print_reference schema >$(srcdir)/docs/rushgate.schema.json
dist_pkgdata_DATA = docs/rushgate.schema.json
EXTRA_DIST += tests/conf

if HAVE_CMOCKA
CONF_TEST_FIXTURE = tests/unit/conf/fake_schema.c tests/unit/conf/fixture.c tests/unit/conf/fixture.h
CONF_TEST_LIBS = src/conf/libconf.a src/base/libbase.a $(YAML_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/conf/test_router tests/unit/conf/test_conf tests/unit/conf/test_cases \
	tests/unit/conf/test_value tests/unit/conf/test_overlay tests/unit/conf/test_compile
tests_unit_conf_test_router_SOURCES = tests/unit/conf/test_router.c
tests_unit_conf_test_router_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_router_LDADD = $(CONF_TEST_LIBS)
# A schema of their own, so that they test one thing.
tests_unit_conf_test_conf_SOURCES = tests/unit/conf/test_conf.c $(CONF_TEST_FIXTURE)
tests_unit_conf_test_conf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_conf_LDADD = $(CONF_TEST_LIBS)
tests_unit_conf_test_compile_SOURCES = tests/unit/conf/test_compile.c $(CONF_TEST_FIXTURE)
tests_unit_conf_test_compile_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_compile_LDADD = $(CONF_TEST_LIBS)
tests_unit_conf_test_value_SOURCES = tests/unit/conf/test_value.c tests/unit/conf/fake_schema.c
tests_unit_conf_test_value_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_value_LDADD = $(CONF_TEST_LIBS)
tests_unit_conf_test_overlay_SOURCES = tests/unit/conf/test_overlay.c $(CONF_TEST_FIXTURE)
tests_unit_conf_test_overlay_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_overlay_LDADD = $(CONF_TEST_LIBS)
tests_unit_conf_test_cases_SOURCES = tests/unit/conf/test_cases.c tests/unit/conf/fake_schema.c
tests_unit_conf_test_cases_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_cases_LDADD = $(CONF_TEST_LIBS)
TESTS += tests/unit/conf/test_router tests/unit/conf/test_conf tests/unit/conf/test_cases \
	tests/unit/conf/test_value
check_PROGRAMS += tests/unit/conf/test_split
tests_unit_conf_test_split_SOURCES = tests/unit/conf/test_split.c tests/unit/conf/fake_schema.c
tests_unit_conf_test_split_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_split_LDADD = $(CONF_TEST_LIBS) -lm
TESTS += tests/unit/conf/test_split
check_PROGRAMS += tests/unit/conf/test_save
tests_unit_conf_test_save_SOURCES = tests/unit/conf/test_save.c $(CONF_TEST_FIXTURE)
tests_unit_conf_test_save_CFLAGS = $(UNIT_CFLAGS)
tests_unit_conf_test_save_LDADD = $(CONF_TEST_LIBS)
TESTS += tests/unit/conf/test_save
TESTS += tests/unit/conf/test_overlay tests/unit/conf/test_compile
endif

# Nanoseconds a choice of an arm.
check_PROGRAMS += tests/unit/conf/bench_split
tests_unit_conf_bench_split_SOURCES = tests/unit/conf/bench_split.c
tests_unit_conf_bench_split_LDADD = src/conf/libconf.a src/base/libbase.a -lm
