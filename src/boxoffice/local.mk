noinst_LIBRARIES += src/boxoffice/libboxoffice.a
src_boxoffice_libboxoffice_a_SOURCES = \
	%D%/core/batch.c %D%/core/batch.h %D%/core/code.c %D%/core/code.h %D%/core/event.c \
	%D%/core/event.h %D%/core/expiry.c %D%/core/expiry.h %D%/core/idempotency.c \
	%D%/core/idempotency.h %D%/core/orders.c %D%/core/orders.h %D%/core/reason.h \
	%D%/core/reasons.def %D%/core/sale.c %D%/core/sale.h %D%/core/sale_load.c \
	%D%/core/sale_load.h %D%/core/sale_order.c %D%/core/sale_part.h %D%/core/sale_undo.c \
	%D%/core/siphash.c %D%/core/siphash.h %D%/core/stock.c %D%/core/stock.h %D%/core/table.c \
	%D%/core/table.h %D%/answer.c %D%/committer.c %D%/committer.h %D%/message.c %D%/message_order.c \
	%D%/service.c %D%/service.h %D%/service_admin.c %D%/service_event.c %D%/service_order.c \
	%D%/service_part.h %D%/service_text.c %D%/store.h %D%/store_check.c %D%/store_commit.c %D%/store_load.c %D%/store_rows.c \
	%D%/store_sqlite.c %D%/store_sqlite.h %D%/store_tidy.c

BOXOFFICE_LIBS = src/boxoffice/libboxoffice.a src/rpc/librpc.a src/net/libnet.a src/base/libbase.a \
	proto/libproto.a $(EVENT_LIBS) $(NGHTTP2_LIBS) $(PROTOBUF_C_LIBS) $(SQLITE_LIBS) -lpthread

sbin_PROGRAMS += boxoffice
boxoffice_SOURCES = %D%/main.c
boxoffice_LDADD = $(BOXOFFICE_LIBS)

# They print what an order costs: without gRPC, and of a running boxoffice.
check_PROGRAMS += tests/unit/boxoffice/bench_commit tests/unit/boxoffice/bench_orders
tests_unit_boxoffice_bench_orders_SOURCES = tests/unit/boxoffice/bench_orders.c
tests_unit_boxoffice_bench_orders_LDADD = $(BOXOFFICE_LIBS)
tests_unit_boxoffice_bench_commit_SOURCES = tests/unit/boxoffice/bench_commit.c
tests_unit_boxoffice_bench_commit_LDADD = $(BOXOFFICE_LIBS)

if HAVE_CMOCKA
BOXOFFICE_TESTS =
BOXOFFICE_TESTS += tests/unit/boxoffice/test_core
tests_unit_boxoffice_test_core_SOURCES = tests/unit/boxoffice/test_core.c tests/unit/boxoffice/fixture.h
tests_unit_boxoffice_test_core_CFLAGS = $(UNIT_CFLAGS)
tests_unit_boxoffice_test_core_LDADD = $(BOXOFFICE_LIBS) $(UNIT_LIBS)
BOXOFFICE_TESTS += tests/unit/boxoffice/test_sale
tests_unit_boxoffice_test_sale_SOURCES = tests/unit/boxoffice/test_sale.c tests/unit/boxoffice/fixture.h
tests_unit_boxoffice_test_sale_CFLAGS = $(UNIT_CFLAGS)
tests_unit_boxoffice_test_sale_LDADD = $(BOXOFFICE_LIBS) $(UNIT_LIBS)
BOXOFFICE_TESTS += tests/unit/boxoffice/test_model
tests_unit_boxoffice_test_model_SOURCES = tests/unit/boxoffice/test_model.c tests/unit/boxoffice/fixture.h
tests_unit_boxoffice_test_model_CFLAGS = $(UNIT_CFLAGS)
tests_unit_boxoffice_test_model_LDADD = $(BOXOFFICE_LIBS) $(UNIT_LIBS)
BOXOFFICE_TESTS += tests/unit/boxoffice/test_store
tests_unit_boxoffice_test_store_SOURCES = tests/unit/boxoffice/test_store.c tests/unit/boxoffice/fixture.h \
	tests/unit/boxoffice/fault_vfs.c tests/unit/boxoffice/fault_vfs.h
tests_unit_boxoffice_test_store_CFLAGS = $(UNIT_CFLAGS)
tests_unit_boxoffice_test_store_LDADD = $(BOXOFFICE_LIBS) $(UNIT_LIBS)
BOXOFFICE_TESTS += tests/unit/boxoffice/test_kill
tests_unit_boxoffice_test_kill_SOURCES = tests/unit/boxoffice/test_kill.c tests/unit/boxoffice/fixture.h
tests_unit_boxoffice_test_kill_CFLAGS = $(UNIT_CFLAGS)
tests_unit_boxoffice_test_kill_LDADD = $(BOXOFFICE_LIBS) $(UNIT_LIBS)
BOXOFFICE_TESTS += tests/unit/boxoffice/test_service
tests_unit_boxoffice_test_service_SOURCES = tests/unit/boxoffice/test_service.c tests/unit/boxoffice/fixture.h \
	tests/unit/boxoffice/service_rig.c tests/unit/boxoffice/service_rig.h \
	tests/unit/boxoffice/fault_vfs.c tests/unit/boxoffice/fault_vfs.h
tests_unit_boxoffice_test_service_CFLAGS = $(UNIT_CFLAGS)
tests_unit_boxoffice_test_service_LDADD = $(BOXOFFICE_LIBS) $(UNIT_LIBS)
check_PROGRAMS += $(BOXOFFICE_TESTS)
TESTS += $(BOXOFFICE_TESTS)
endif
