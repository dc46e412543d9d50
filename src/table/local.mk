noinst_LIBRARIES += src/table/libtable.a
src_table_libtable_a_SOURCES = %D%/lease.c %D%/limit.c %D%/limit.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/table/test_limit
tests_unit_table_test_limit_SOURCES = tests/unit/table/test_limit.c
tests_unit_table_test_limit_CFLAGS = $(UNIT_CFLAGS) -pthread
tests_unit_table_test_limit_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a $(UNIT_LIBS) -lxxhash -lpthread $(ATOMIC_LIBS)
TESTS += tests/unit/table/test_limit
endif

# Admitted rates and decisions per second with two processes; tools/bench/run calls it.
check_PROGRAMS += tests/unit/table/bench_limit
tests_unit_table_bench_limit_SOURCES = tests/unit/table/bench_limit.c
tests_unit_table_bench_limit_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a -lxxhash $(ATOMIC_LIBS)

check_PROGRAMS += tests/proc/kill_limit
tests_proc_kill_limit_SOURCES = tests/proc/kill_limit.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_limit_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_limit_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a -lxxhash $(ATOMIC_LIBS)
TESTS += tests/proc/kill_limit
