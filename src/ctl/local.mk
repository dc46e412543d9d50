noinst_LIBRARIES += src/ctl/libctl.a
src_ctl_libctl_a_SOURCES = \
	%D%/audit.c %D%/audit.h %D%/change.c %D%/change.h \
	%D%/attachment.c %D%/attachment.h %D%/bans.c %D%/closed.c %D%/explain.c %D%/offenders.c \
	%D%/boxoffice.c %D%/boxoffice.h %D%/columns.def %D%/commands.c %D%/commands.def %D%/commands.h %D%/concurrency.c %D%/ctl.h \
	%D%/document.c %D%/errors.def %D%/errors.h %D%/generations.c %D%/json.c %D%/json.h %D%/listen.c %D%/manage.c %D%/manual.c %D%/manual.h %D%/peer.c %D%/peer.h \
	%D%/request.c %D%/request.h %D%/redis.c %D%/sales.c %D%/server.c %D%/show.c \
	%D%/significance.c %D%/significance.h %D%/splits.c %D%/upgrade.c

bin_PROGRAMS += rushctl
rushctl_SOURCES = \
	tools/rushctl/client.c tools/rushctl/client.h \
	tools/rushctl/complete.c tools/rushctl/local.c tools/rushctl/local.h tools/rushctl/main.c \
	tools/rushctl/options.c tools/rushctl/options.def tools/rushctl/options.h \
	tools/rushctl/output.c tools/rushctl/output.h tools/rushctl/people.c tools/rushctl/people.h \
	tools/rushctl/table.c tools/rushctl/table.h \
	tools/rushctl/watch.c tools/rushctl/watch.h
rushctl_LDADD = src/proc/libproc.a src/ctl/libctl.a src/table/libtable.a src/conf/libconf.a src/transcode/libtranscode.a src/http/libhttp.a \
	proto/libproto.a src/base/libbase.a $(PROTOBUF_C_LIBS) $(YAML_LIBS) $(JANSSON_LIBS) -lxxhash -lm

CTL_TEST_LIBS = src/ctl/libctl.a src/table/libtable.a src/rpc/librpc.a src/conf/libconf.a src/transcode/libtranscode.a \
	src/http/libhttp.a src/metric/libmetric.a src/shm/libshm.a src/net/libnet.a proto/libproto.a \
	src/base/libbase.a $(EVENT_LIBS) $(NGHTTP2_LIBS) $(HTTP_PARSER_LIBS) $(PROTOBUF_C_LIBS) \
	$(YAML_LIBS) $(JANSSON_LIBS) -lxxhash -lm

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/ctl/test_commands tests/unit/ctl/test_server tests/unit/ctl/test_table
tests_unit_ctl_test_commands_SOURCES = tests/unit/ctl/test_commands.c
tests_unit_ctl_test_commands_CFLAGS = $(UNIT_CFLAGS)
tests_unit_ctl_test_commands_LDADD = $(CTL_TEST_LIBS) $(UNIT_LIBS)
tests_unit_ctl_test_server_SOURCES = tests/unit/ctl/test_server.c
tests_unit_ctl_test_server_CFLAGS = $(UNIT_CFLAGS)
tests_unit_ctl_test_server_LDADD = $(CTL_TEST_LIBS) $(UNIT_LIBS)
tests_unit_ctl_test_table_SOURCES = tests/unit/ctl/test_table.c tools/rushctl/table.c
tests_unit_ctl_test_table_CFLAGS = $(UNIT_CFLAGS)
tests_unit_ctl_test_table_LDADD = src/base/libbase.a $(JANSSON_LIBS) -lm $(UNIT_LIBS)
TESTS += tests/unit/ctl/test_commands tests/unit/ctl/test_server tests/unit/ctl/test_table
check_PROGRAMS += tests/unit/ctl/test_significance
tests_unit_ctl_test_significance_SOURCES = tests/unit/ctl/test_significance.c
tests_unit_ctl_test_significance_CFLAGS = $(UNIT_CFLAGS)
tests_unit_ctl_test_significance_LDADD = src/ctl/libctl.a src/base/libbase.a -lm $(UNIT_LIBS)
TESTS += tests/unit/ctl/test_significance
endif

dist_man_MANS += docs/rushctl.1 docs/rushgate.8
