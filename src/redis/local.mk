noinst_LIBRARIES += src/redis/libredis.a
src_redis_libredis_a_SOURCES = \
	%D%/breaker.h %D%/pool.c %D%/redis.h %D%/server.c %D%/server.h %D%/trouble.c %D%/trouble.h \
	%D%/troubles.def

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/redis/test_breaker
tests_unit_redis_test_breaker_SOURCES = tests/unit/redis/test_breaker.c
tests_unit_redis_test_breaker_CFLAGS = $(UNIT_CFLAGS)
tests_unit_redis_test_breaker_LDADD = src/redis/libredis.a $(UNIT_LIBS)
TESTS += tests/unit/redis/test_breaker
endif
