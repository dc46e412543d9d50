noinst_LIBRARIES += src/shm/libshm.a
src_shm_libshm_a_SOURCES = %D%/bank.c %D%/bank.h %D%/control.c %D%/control.h %D%/zone.c %D%/zone.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/shm/test_shm
tests_unit_shm_test_shm_SOURCES = tests/unit/shm/test_shm.c
tests_unit_shm_test_shm_CFLAGS = $(UNIT_CFLAGS) -pthread
tests_unit_shm_test_shm_LDADD = src/shm/libshm.a src/base/libbase.a $(UNIT_LIBS)
TESTS += tests/unit/shm/test_shm
endif

# Kill tests: a process dies at every instruction of a critical section (tests/proc/killstep.h).
check_PROGRAMS += tests/proc/kill_bank
tests_proc_kill_bank_SOURCES = tests/proc/kill_bank.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_bank_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_bank_LDADD = src/shm/libshm.a src/base/libbase.a
TESTS += tests/proc/kill_bank

check_PROGRAMS += tests/proc/kill_ring
tests_proc_kill_ring_SOURCES = tests/proc/kill_ring.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_ring_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_ring_LDADD = src/metric/libmetric.a src/base/libbase.a
TESTS += tests/proc/kill_ring

check_PROGRAMS += tests/proc/kill_metric
tests_proc_kill_metric_SOURCES = tests/proc/kill_metric.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_metric_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_metric_LDADD = src/metric/libmetric.a src/base/libbase.a
TESTS += tests/proc/kill_metric
