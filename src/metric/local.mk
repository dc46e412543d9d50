noinst_LIBRARIES += src/metric/libmetric.a
src_metric_libmetric_a_SOURCES = \
	%D%/access_ring.c %D%/access_ring.h %D%/counters.def %D%/metric.c %D%/metric.h \
	%D%/names.c %D%/names.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/metric/test_metric tests/unit/metric/test_access_ring
tests_unit_metric_test_metric_SOURCES = tests/unit/metric/test_metric.c
tests_unit_metric_test_metric_CFLAGS = $(UNIT_CFLAGS)
tests_unit_metric_test_metric_LDADD = src/metric/libmetric.a src/base/libbase.a $(UNIT_LIBS)
tests_unit_metric_test_access_ring_SOURCES = tests/unit/metric/test_access_ring.c
tests_unit_metric_test_access_ring_CFLAGS = $(UNIT_CFLAGS)
tests_unit_metric_test_access_ring_LDADD = src/metric/libmetric.a src/base/libbase.a $(UNIT_LIBS) -lpthread
TESTS += tests/unit/metric/test_metric tests/unit/metric/test_access_ring
endif
