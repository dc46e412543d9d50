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

# Randomized schedules of threads; only in a build for ThreadSanitizer (tests/schedule/schedule.h).
EXTRA_DIST += %D%/schedule/schedule.h
if SCHEDULES
WRAP_ATOMICS = $(AM_LDFLAGS) \
	-Wl,--wrap=__tsan_atomic8_load,--wrap=__tsan_atomic32_load,--wrap=__tsan_atomic64_load \
	-Wl,--wrap=__tsan_atomic8_store,--wrap=__tsan_atomic32_store,--wrap=__tsan_atomic64_store \
	-Wl,--wrap=__tsan_atomic64_compare_exchange_strong,--wrap=__tsan_atomic64_compare_exchange_weak \
	-Wl,--wrap=__tsan_atomic128_compare_exchange_strong
check_LIBRARIES = tests/schedule/libschedule.a
tests_schedule_libschedule_a_SOURCES = tests/schedule/schedule.c
tests_schedule_libschedule_a_CFLAGS = $(AM_CFLAGS) -fno-sanitize=all
check_PROGRAMS += tests/schedule/schedule_limit tests/schedule/schedule_zones
tests_schedule_schedule_limit_SOURCES = tests/schedule/schedule_limit.c
tests_schedule_schedule_limit_LDFLAGS = $(WRAP_ATOMICS)
tests_schedule_schedule_limit_LDADD = tests/schedule/libschedule.a src/table/libtable.a \
	src/shm/libshm.a src/base/libbase.a -lxxhash -lpthread $(ATOMIC_LIBS)
tests_schedule_schedule_zones_SOURCES = tests/schedule/schedule_zones.c
tests_schedule_schedule_zones_LDFLAGS = $(WRAP_ATOMICS)
tests_schedule_schedule_zones_LDADD = tests/schedule/libschedule.a src/table/libtable.a \
	src/metric/libmetric.a src/shm/libshm.a src/base/libbase.a -lxxhash -lpthread $(ATOMIC_LIBS)
TESTS += tests/schedule/schedule_limit tests/schedule/schedule_zones
endif
