noinst_LIBRARIES += src/http/libhttp.a
src_http_libhttp_a_SOURCES = \
	%D%/chunked.c %D%/chunked.h %D%/client.c %D%/client.h %D%/client_int.h %D%/conn.c %D%/conn.h \
	%D%/cookie.c %D%/cookie.h \
	%D%/fault.def %D%/head.c %D%/head.h %D%/head_plain.c \
	%D%/headers.c %D%/headers.h %D%/lint.c %D%/lint.h %D%/method.c %D%/method.h %D%/pool.h \
	%D%/problem.c %D%/problem.h %D%/reply.c %D%/request.c \
	%D%/response.c %D%/response.h %D%/server.c %D%/server.h %D%/upconn.c

HTTP_TEST_LIBS = src/http/libhttp.a src/rpc/librpc.a src/net/libnet.a src/base/libbase.a \
	$(EVENT_LIBS) $(HTTP_PARSER_LIBS)
check_PROGRAMS += tests/unit/http/bench_answer
tests_unit_http_bench_answer_SOURCES = tests/unit/http/bench_answer.c
tests_unit_http_bench_answer_LDADD = $(HTTP_TEST_LIBS)

WEB_TEST_SOURCES = tests/unit/http/web.c tests/unit/http/web.h
check_PROGRAMS += tests/unit/http/test_vectors
tests_unit_http_test_vectors_SOURCES = tests/unit/http/test_vectors.c \
	tests/unit/http/vectors_excluded.def $(WEB_TEST_SOURCES)
tests_unit_http_test_vectors_LDADD = $(HTTP_TEST_LIBS)
TESTS += tests/unit/http/test_vectors

EXTRA_DIST += tests/fuzz/head_plain.c tests/fuzz/head_plain.dict tests/fuzz/head_plain.seeds

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/http/test_server tests/unit/http/test_client tests/unit/http/test_headers \
	tests/unit/http/test_server_life
TESTS += tests/unit/http/test_server tests/unit/http/test_client tests/unit/http/test_headers \
	tests/unit/http/test_server_life
tests_unit_http_test_server_SOURCES = tests/unit/http/test_server.c tests/unit/http/refusals.def \
	$(WEB_TEST_SOURCES)
tests_unit_http_test_server_CFLAGS = $(UNIT_CFLAGS)
tests_unit_http_test_server_LDADD = $(HTTP_TEST_LIBS) $(UNIT_LIBS)
tests_unit_http_test_server_life_SOURCES = tests/unit/http/test_server_life.c $(WEB_TEST_SOURCES)
tests_unit_http_test_server_life_CFLAGS = $(UNIT_CFLAGS)
tests_unit_http_test_server_life_LDADD = $(HTTP_TEST_LIBS) $(UNIT_LIBS)
tests_unit_http_test_client_SOURCES = tests/unit/http/test_client.c $(WEB_TEST_SOURCES) \
	tests/unit/failing_calloc.c tests/unit/failing_calloc.h
tests_unit_http_test_client_CFLAGS = $(UNIT_CFLAGS)
tests_unit_http_test_client_LDFLAGS = -Wl,--wrap=calloc
tests_unit_http_test_client_LDADD = $(HTTP_TEST_LIBS) $(UNIT_LIBS)
tests_unit_http_test_headers_SOURCES = tests/unit/http/test_headers.c
tests_unit_http_test_headers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_http_test_headers_LDADD = $(HTTP_TEST_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/http/test_cookie
tests_unit_http_test_cookie_SOURCES = tests/unit/http/test_cookie.c
tests_unit_http_test_cookie_CFLAGS = $(UNIT_CFLAGS)
tests_unit_http_test_cookie_LDADD = $(HTTP_TEST_LIBS) $(UNIT_LIBS)
TESTS += tests/unit/http/test_cookie
check_PROGRAMS += tests/unit/http/test_head_plain
tests_unit_http_test_head_plain_SOURCES = tests/unit/http/test_head_plain.c \
	tests/unit/http/head_both.h tests/unit/http/refusals.def
tests_unit_http_test_head_plain_CFLAGS = $(UNIT_CFLAGS)
tests_unit_http_test_head_plain_LDADD = $(HTTP_TEST_LIBS) $(UNIT_LIBS)
TESTS += tests/unit/http/test_head_plain
endif
