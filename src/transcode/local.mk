noinst_LIBRARIES += src/transcode/libtranscode.a
src_transcode_libtranscode_a_SOURCES = \
	%D%/schema.h %D%/schema_layout.h %D%/layout.c \
	%D%/compiler.h %D%/descriptor.c %D%/message.c %D%/binding.c \
	%D%/wire.h %D%/wire.c %D%/number.h %D%/number.c %D%/timestamp.h %D%/timestamp.c \
	%D%/json_read.h %D%/json_read.c %D%/field_path.h %D%/field_hash.c %D%/field_path.c \
	%D%/encode.h %D%/encode.c %D%/request.c %D%/query.c %D%/json_to_pb.c %D%/scalar_in.c \
	%D%/known_in.c \
	%D%/decode.h %D%/pb_to_json.c %D%/scalar_out.c %D%/known_out.c

TRANSCODE_LIBS = src/transcode/libtranscode.a proto/libproto.a src/base/libbase.a \
	$(PROTOBUF_C_LIBS) -lm

tests/unit/transcode/everything.pb: $(srcdir)/tests/unit/transcode/everything.proto
	@$(MKDIR_P) tests/unit/transcode
	$(AM_V_GEN)$(PROTOC) -I$(srcdir)/tests/unit/transcode $(PROTO_FLAGS) --include_imports \
		--descriptor_set_out=$@ everything.proto
CLEANFILES += tests/unit/transcode/everything.pb
EXTRA_DIST += tests/unit/transcode/everything.proto tests/unit/transcode/transcode_rig.h \
	tests/fuzz/run tests/fuzz/transcode_json.c tests/fuzz/transcode_json.dict \
	tests/fuzz/transcode_reply.c tests/fuzz/transcode_schema.c tests/fuzz/transcode_json.seeds

# Built by make check, run by hand.
check_PROGRAMS += tests/unit/transcode/bench_transcode
tests_unit_transcode_bench_transcode_SOURCES = tests/unit/transcode/bench_transcode.c
tests_unit_transcode_bench_transcode_LDADD = $(TRANSCODE_LIBS)

check_PROGRAMS += tests/unit/transcode/transcode_lines
tests_unit_transcode_transcode_lines_SOURCES = tests/unit/transcode/transcode_lines.c
tests_unit_transcode_transcode_lines_LDADD = $(TRANSCODE_LIBS)
EXTRA_tests_unit_transcode_transcode_lines_DEPENDENCIES = tests/unit/transcode/everything.pb
dist_check_SCRIPTS = tests/unit/transcode/test_differential
TESTS += tests/unit/transcode/test_differential

if HAVE_CMOCKA
TRANSCODE_TEST_CFLAGS = $(UNIT_CFLAGS) -DTOP_SRCDIR='"$(abs_top_srcdir)"' \
	-DEVERYTHING_PB='"$(abs_top_builddir)/tests/unit/transcode/everything.pb"'
TRANSCODE_TESTS = tests/unit/transcode/test_json_read tests/unit/transcode/test_number \
	tests/unit/transcode/test_transcode tests/unit/transcode/test_bindings
check_PROGRAMS += $(TRANSCODE_TESTS)
TESTS += $(TRANSCODE_TESTS)

tests_unit_transcode_test_json_read_SOURCES = tests/unit/transcode/test_json_read.c
tests_unit_transcode_test_json_read_CFLAGS = $(TRANSCODE_TEST_CFLAGS)
tests_unit_transcode_test_json_read_LDADD = $(TRANSCODE_LIBS) $(UNIT_LIBS)

tests_unit_transcode_test_number_SOURCES = tests/unit/transcode/test_number.c
tests_unit_transcode_test_number_CFLAGS = $(TRANSCODE_TEST_CFLAGS)
tests_unit_transcode_test_number_LDADD = $(TRANSCODE_LIBS) $(UNIT_LIBS)

tests_unit_transcode_test_transcode_SOURCES = tests/unit/transcode/test_transcode.c
tests_unit_transcode_test_transcode_CFLAGS = $(TRANSCODE_TEST_CFLAGS)
tests_unit_transcode_test_transcode_LDADD = $(TRANSCODE_LIBS) $(UNIT_LIBS)
EXTRA_tests_unit_transcode_test_transcode_DEPENDENCIES = tests/unit/transcode/everything.pb

tests_unit_transcode_test_bindings_SOURCES = tests/unit/transcode/test_bindings.c
tests_unit_transcode_test_bindings_CFLAGS = $(TRANSCODE_TEST_CFLAGS)
tests_unit_transcode_test_bindings_LDADD = $(TRANSCODE_LIBS) $(UNIT_LIBS)
EXTRA_tests_unit_transcode_test_bindings_DEPENDENCIES = tests/unit/transcode/everything.pb
endif
