noinst_LIBRARIES += src/rpc/librpc.a
src_rpc_librpc_a_SOURCES = \
	%D%/addr.c %D%/addr.h %D%/balance.c %D%/balance.h %D%/client.c %D%/client.h %D%/client_int.h \
	%D%/conn.c %D%/endpoint.c %D%/exchange.c %D%/h2.c %D%/h2.h %D%/hpack.c %D%/hpack.h %D%/mem.c %D%/mem.h %D%/server.c \
	%D%/server.h %D%/server_conn.c %D%/server_int.h %D%/status.c %D%/status.h %D%/wire.c %D%/wire.h

RPC_TEST_LIBS = src/rpc/librpc.a src/net/libnet.a src/base/libbase.a $(NGHTTP2_LIBS) $(EVENT_LIBS)

# Peers for the interop tests and a measure of the CPU a call costs.
check_PROGRAMS += tests/unit/rpc/rpc_tool
tests_unit_rpc_rpc_tool_SOURCES = tests/unit/rpc/rpc_tool.c
tests_unit_rpc_rpc_tool_LDADD = $(RPC_TEST_LIBS)

if HAVE_CMOCKA
RPC_TESTS = tests/unit/rpc/test_balance tests/unit/rpc/test_hpack tests/unit/rpc/test_wire tests/unit/rpc/test_rpc \
	tests/unit/rpc/test_peer tests/unit/rpc/test_odd_clients
check_PROGRAMS += $(RPC_TESTS)
TESTS += $(RPC_TESTS)
RPC_FIXTURE = tests/unit/rpc/fixture.c tests/unit/rpc/fixture.h
tests_unit_rpc_test_balance_SOURCES = tests/unit/rpc/test_balance.c \
	tests/unit/failing_calloc.c tests/unit/failing_calloc.h
tests_unit_rpc_test_balance_CFLAGS = $(UNIT_CFLAGS)
tests_unit_rpc_test_balance_LDFLAGS = -Wl,--wrap=calloc
tests_unit_rpc_test_balance_LDADD = $(RPC_TEST_LIBS) $(UNIT_LIBS)
tests_unit_rpc_test_wire_SOURCES = tests/unit/rpc/test_wire.c
tests_unit_rpc_test_wire_CFLAGS = $(UNIT_CFLAGS)
tests_unit_rpc_test_wire_LDADD = $(RPC_TEST_LIBS) $(UNIT_LIBS)
tests_unit_rpc_test_hpack_SOURCES = tests/unit/rpc/test_hpack.c
tests_unit_rpc_test_hpack_CFLAGS = $(UNIT_CFLAGS)
tests_unit_rpc_test_hpack_LDADD = $(RPC_TEST_LIBS) $(UNIT_LIBS)
tests_unit_rpc_test_rpc_SOURCES = tests/unit/rpc/test_rpc.c $(RPC_FIXTURE)
tests_unit_rpc_test_rpc_CFLAGS = $(UNIT_CFLAGS)
tests_unit_rpc_test_rpc_LDADD = $(RPC_TEST_LIBS) $(UNIT_LIBS)
tests_unit_rpc_test_peer_SOURCES = tests/unit/rpc/test_peer.c $(RPC_FIXTURE)
tests_unit_rpc_test_peer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_rpc_test_peer_LDADD = $(RPC_TEST_LIBS) $(UNIT_LIBS)
tests_unit_rpc_test_odd_clients_SOURCES = tests/unit/rpc/test_odd_clients.c $(RPC_FIXTURE)
tests_unit_rpc_test_odd_clients_CFLAGS = $(UNIT_CFLAGS)
tests_unit_rpc_test_odd_clients_LDADD = $(RPC_TEST_LIBS) $(UNIT_LIBS)
endif
