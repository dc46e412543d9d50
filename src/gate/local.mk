noinst_LIBRARIES += src/gate/libgate.a
src_gate_libgate_a_SOURCES = \
	%D%/limit_key.c %D%/phase_ban.c %D%/phase_closed.c \
	%D%/explain.c %D%/explain.h %D%/explain_call.c %D%/explain_note.c %D%/explain_note.h %D%/explain_route.c \
	%D%/answer.c %D%/call.c %D%/call_http.c %D%/call_rpc.c %D%/canary.c %D%/client_address.c %D%/concurrency.c %D%/concurrency.h %D%/gate.c \
	%D%/gate.h %D%/gradient.c %D%/gradient.h %D%/limit_bucket.c %D%/limit_bucket.h %D%/limit_group.c %D%/limit_group.h %D%/limit_headers.c %D%/message_memo.c %D%/message_memo.h %D%/phase_access.c %D%/phase_idempotency.c %D%/phase_identity.c %D%/phase_limit.c \
	%D%/phase_overload.c %D%/phase_respond.c %D%/phase_split.c %D%/phase_upstream.c %D%/phases.def %D%/refusal_text.c %D%/refusal_text.h %D%/request.c %D%/request.h \
	%D%/rls.c %D%/rls.h %D%/rls_wire.c %D%/rls_wire.h %D%/shared_entry.c %D%/shared_entry.h \
	%D%/shared_limit.c %D%/shared_limit.h %D%/shared_script.h %D%/totals.c %D%/trace.c %D%/upstreams.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/gate/test_shared_entry
tests_unit_gate_test_shared_entry_SOURCES = tests/unit/gate/test_shared_entry.c
tests_unit_gate_test_shared_entry_CFLAGS = $(UNIT_CFLAGS)
tests_unit_gate_test_shared_entry_LDADD = src/gate/libgate.a src/table/libtable.a src/base/libbase.a $(UNIT_LIBS) \
	-lxxhash $(ATOMIC_LIBS) -lm
TESTS += tests/unit/gate/test_shared_entry
check_PROGRAMS += tests/unit/gate/test_request_parts
tests_unit_gate_test_request_parts_SOURCES = tests/unit/gate/test_request_parts.c
tests_unit_gate_test_request_parts_CFLAGS = $(UNIT_CFLAGS)
tests_unit_gate_test_request_parts_LDADD = src/gate/libgate.a src/conf/libconf.a src/table/libtable.a src/base/libbase.a $(UNIT_LIBS) -lm
check_PROGRAMS += tests/unit/gate/test_message_memo
tests_unit_gate_test_message_memo_SOURCES = tests/unit/gate/test_message_memo.c
tests_unit_gate_test_message_memo_CFLAGS = $(UNIT_CFLAGS)
tests_unit_gate_test_message_memo_LDADD = src/gate/libgate.a src/base/libbase.a $(UNIT_LIBS) -lxxhash
TESTS += tests/unit/gate/test_message_memo
check_PROGRAMS += tests/unit/gate/test_refusal_text
tests_unit_gate_test_refusal_text_SOURCES = tests/unit/gate/test_refusal_text.c
tests_unit_gate_test_refusal_text_CFLAGS = $(UNIT_CFLAGS)
tests_unit_gate_test_refusal_text_LDADD = src/gate/libgate.a src/http/libhttp.a src/base/libbase.a $(UNIT_LIBS) -lxxhash
TESTS += tests/unit/gate/test_refusal_text
check_PROGRAMS += tests/unit/gate/test_explain
tests_unit_gate_test_explain_SOURCES = tests/unit/gate/test_explain.c
tests_unit_gate_test_explain_CFLAGS = $(UNIT_CFLAGS)
tests_unit_gate_test_explain_LDADD = src/gate/libgate.a src/redis/libredis.a src/http/libhttp.a src/rpc/librpc.a \
	src/conf/libconf.a src/transcode/libtranscode.a src/metric/libmetric.a src/table/libtable.a src/shm/libshm.a \
	src/net/libnet.a src/http/libhttp.a proto/libproto.a src/base/libbase.a $(EVENT_LIBS) $(NGHTTP2_LIBS) $(HTTP_PARSER_LIBS) \
	$(PROTOBUF_C_LIBS) $(YAML_LIBS) $(JANSSON_LIBS) $(HIREDIS_LIBS) $(UNIT_LIBS) -lxxhash -lm $(ATOMIC_LIBS)
TESTS += tests/unit/gate/test_explain
check_PROGRAMS += tests/unit/gate/test_gradient
tests_unit_gate_test_gradient_SOURCES = tests/unit/gate/test_gradient.c
tests_unit_gate_test_gradient_CFLAGS = $(UNIT_CFLAGS)
tests_unit_gate_test_gradient_LDADD = src/gate/libgate.a $(UNIT_LIBS) -lm
check_PROGRAMS += tests/unit/gate/test_rls
tests_unit_gate_test_rls_SOURCES = tests/unit/gate/test_rls.c
tests_unit_gate_test_rls_CFLAGS = $(UNIT_CFLAGS)
tests_unit_gate_test_rls_LDADD = src/gate/libgate.a src/transcode/libtranscode.a proto/libproto.a \
	src/base/libbase.a $(PROTOBUF_C_LIBS) $(UNIT_LIBS)
TESTS += tests/unit/gate/test_request_parts tests/unit/gate/test_gradient tests/unit/gate/test_rls
endif

check_PROGRAMS += tests/proc/kill_concurrency
tests_proc_kill_concurrency_SOURCES = tests/proc/kill_concurrency.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_concurrency_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_concurrency_LDADD = src/gate/libgate.a src/base/libbase.a -lm
TESTS += tests/proc/kill_concurrency
