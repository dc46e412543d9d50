noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	%D%/arena.c %D%/arena.h %D%/block.h %D%/buf.c %D%/buf.h %D%/check.c %D%/check.h %D%/clock.c %D%/clock.h %D%/file.c %D%/file.h \
	%D%/hash.c %D%/hash.h %D%/ip.c %D%/ip.h %D%/list.h %D%/log.c %D%/log.h %D%/slice.c %D%/slice.h %D%/word.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/base/test_base tests/unit/base/test_file
tests_unit_base_test_base_SOURCES = tests/unit/base/test_base.c
tests_unit_base_test_base_CFLAGS = $(UNIT_CFLAGS)
tests_unit_base_test_base_LDADD = src/base/libbase.a $(UNIT_LIBS)
tests_unit_base_test_file_SOURCES = tests/unit/base/test_file.c
tests_unit_base_test_file_CFLAGS = $(UNIT_CFLAGS)
tests_unit_base_test_file_LDADD = src/base/libbase.a $(UNIT_LIBS)
TESTS += tests/unit/base/test_base tests/unit/base/test_file
endif
