# Tests of what has no folder of its own under src/; unit tests are listed in their folder's local.mk.
EXTRA_DIST += %D%/bench %D%/chaos %D%/e2e %D%/lint/includes

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/stampede/test_audit tests/unit/stampede/test_latency
tests_unit_stampede_test_audit_SOURCES = tests/unit/stampede/test_audit.c \
	tools/stampede/acks.c tools/stampede/audit.c tools/stampede/store_view.c \
	src/boxoffice/core/code.c
tests_unit_stampede_test_audit_CFLAGS = $(UNIT_CFLAGS)
tests_unit_stampede_test_audit_LDADD = src/base/libbase.a $(JANSSON_LIBS) $(SQLITE_LIBS) $(UNIT_LIBS)
tests_unit_stampede_test_latency_SOURCES = tests/unit/stampede/test_latency.c \
	tools/stampede/latency.c tools/stampede/options.c
tests_unit_stampede_test_latency_CFLAGS = $(UNIT_CFLAGS)
tests_unit_stampede_test_latency_LDADD = src/base/libbase.a -lm $(UNIT_LIBS)
TESTS += tests/unit/stampede/test_audit tests/unit/stampede/test_latency
endif
