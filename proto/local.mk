# protobuf-c output is generated into the build tree; descriptor sets for transcoding are installed.
PROTO_FLAGS = -I$(srcdir)/proto -I$(PROTOBUF_INCLUDE)

PROTO_OURS = boxoffice health ratelimit google/api/http google/api/annotations
PROTO_WELL_KNOWN = google/protobuf/descriptor google/protobuf/timestamp google/protobuf/duration

PROTO_GENERATED = \
	proto/boxoffice.pb-c.c proto/health.pb-c.c proto/ratelimit.pb-c.c \
	proto/google/api/http.pb-c.c proto/google/api/annotations.pb-c.c \
	proto/google/protobuf/descriptor.pb-c.c proto/google/protobuf/timestamp.pb-c.c \
	proto/google/protobuf/duration.pb-c.c

BUILT_SOURCES += $(PROTO_GENERATED)
CLEANFILES += $(PROTO_GENERATED) $(PROTO_GENERATED:.c=.h) proto/boxoffice.pb
EXTRA_DIST += proto/health.proto proto/ratelimit.proto

proto/google/protobuf/%.pb-c.c: $(PROTOBUF_INCLUDE)/google/protobuf/%.proto
	@$(MKDIR_P) proto
	$(AM_V_GEN)$(PROTOC_C) $(PROTO_FLAGS) --c_out=proto google/protobuf/$*.proto

proto/%.pb-c.c: $(srcdir)/proto/%.proto
	@$(MKDIR_P) proto
	$(AM_V_GEN)$(PROTOC_C) $(PROTO_FLAGS) --c_out=proto $*.proto

noinst_LIBRARIES += proto/libproto.a
nodist_proto_libproto_a_SOURCES = $(PROTO_GENERATED)
proto_libproto_a_SOURCES =
# Generated code answers to its generator's warnings, not to ours.
proto_libproto_a_CFLAGS = -std=gnu11 -O2 -fPIE $(PROTOBUF_C_CFLAGS)

# What the gateway transcodes the box office with.
protodir = $(pkgdatadir)/proto
dist_proto_DATA = proto/boxoffice.proto
# What a service's own proto file imports for its annotations.
protoapidir = $(protodir)/google/api
dist_protoapi_DATA = proto/google/api/http.proto proto/google/api/annotations.proto
descriptordir = $(pkgdatadir)
nodist_descriptor_DATA = proto/boxoffice.pb
proto/boxoffice.pb: $(srcdir)/proto/boxoffice.proto $(srcdir)/proto/google/api/http.proto
	@$(MKDIR_P) proto
	$(AM_V_GEN)$(PROTOC) $(PROTO_FLAGS) --include_imports --descriptor_set_out=$@ boxoffice.proto
