noinst_LIBRARIES += src/transcode/libtranscode.a
src_transcode_libtranscode_a_SOURCES = \
	%D%/schema.h %D%/schema_layout.h %D%/layout.c \
	%D%/compiler.h %D%/descriptor.c %D%/message.c %D%/binding.c \
	%D%/wire.h %D%/wire.c %D%/number.h %D%/number.c %D%/timestamp.h %D%/timestamp.c \
	%D%/json_read.h %D%/json_read.c %D%/field_path.h %D%/field_path.c \
	%D%/encode.h %D%/encode.c %D%/request.c %D%/query.c %D%/json_to_pb.c %D%/scalar_in.c \
	%D%/known_in.c \
	%D%/decode.h %D%/pb_to_json.c %D%/scalar_out.c %D%/known_out.c

TRANSCODE_LIBS = src/transcode/libtranscode.a proto/libproto.a src/base/libbase.a \
	$(PROTOBUF_C_LIBS) -lm

# Built by make check, run by hand.
check_PROGRAMS += tests/unit/transcode/bench_transcode
tests_unit_transcode_bench_transcode_SOURCES = tests/unit/transcode/bench_transcode.c
tests_unit_transcode_bench_transcode_LDADD = $(TRANSCODE_LIBS)
