noinst_LIBRARIES += src/net/libnet.a
src_net_libnet_a_SOURCES = %D%/loop.c %D%/loop.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/net/test_loop
tests_unit_net_test_loop_SOURCES = tests/unit/net/test_loop.c
tests_unit_net_test_loop_CFLAGS = $(UNIT_CFLAGS)
tests_unit_net_test_loop_LDADD = src/net/libnet.a src/base/libbase.a $(EVENT_LIBS) $(UNIT_LIBS)
TESTS += tests/unit/net/test_loop
endif
