noinst_LIBRARIES += src/table/libtable.a
src_table_libtable_a_SOURCES = \
	%D%/ban.c %D%/ban.h %D%/ban_book.c %D%/ban_book.h %D%/ban_image.c %D%/ban_image.h %D%/ban_text.c \
	%D%/closed.c %D%/closed.h %D%/lease.c %D%/limit.c %D%/limit.h %D%/offenders.c %D%/offenders.h %D%/sent.c %D%/sent.h

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

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/table/test_ban
tests_unit_table_test_ban_SOURCES = tests/unit/table/test_ban.c
tests_unit_table_test_ban_CFLAGS = $(UNIT_CFLAGS) -pthread
tests_unit_table_test_ban_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a $(UNIT_LIBS) -lxxhash -lpthread $(ATOMIC_LIBS)
TESTS += tests/unit/table/test_ban
endif

# A look at the bans, with none, one and a million.
check_PROGRAMS += tests/unit/table/bench_ban
tests_unit_table_bench_ban_SOURCES = tests/unit/table/bench_ban.c
tests_unit_table_bench_ban_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a -lxxhash $(ATOMIC_LIBS)

check_PROGRAMS += tests/proc/kill_ban
tests_proc_kill_ban_SOURCES = tests/proc/kill_ban.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_ban_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_ban_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a -lxxhash $(ATOMIC_LIBS)
TESTS += tests/proc/kill_ban

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/table/test_offenders
tests_unit_table_test_offenders_SOURCES = tests/unit/table/test_offenders.c
tests_unit_table_test_offenders_CFLAGS = $(UNIT_CFLAGS) -pthread
tests_unit_table_test_offenders_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a $(UNIT_LIBS) -lxxhash -lpthread $(ATOMIC_LIBS)
TESTS += tests/unit/table/test_offenders
endif

check_PROGRAMS += tests/proc/kill_offenders
tests_proc_kill_offenders_SOURCES = tests/proc/kill_offenders.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_offenders_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_offenders_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a -lxxhash $(ATOMIC_LIBS)
TESTS += tests/proc/kill_offenders

# What a refusal pays for the list of who is refused most.
check_PROGRAMS += tests/unit/table/bench_offenders
tests_unit_table_bench_offenders_SOURCES = tests/unit/table/bench_offenders.c
tests_unit_table_bench_offenders_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a -lxxhash $(ATOMIC_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/table/test_closed
tests_unit_table_test_closed_SOURCES = tests/unit/table/test_closed.c
tests_unit_table_test_closed_CFLAGS = $(UNIT_CFLAGS) -pthread
tests_unit_table_test_closed_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a $(UNIT_LIBS) -lxxhash -lpthread $(ATOMIC_LIBS)
TESTS += tests/unit/table/test_closed
endif

check_PROGRAMS += tests/proc/kill_closed
tests_proc_kill_closed_SOURCES = tests/proc/kill_closed.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_closed_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_closed_LDADD = src/table/libtable.a src/shm/libshm.a src/base/libbase.a -lxxhash $(ATOMIC_LIBS)
TESTS += tests/proc/kill_closed
