noinst_LIBRARIES += src/proc/libproc.a
src_proc_libproc_a_SOURCES = \
	%D%/adoption.c %D%/bans.c %D%/bans.h %D%/canary.c %D%/canary.h %D%/canary_rule.c %D%/change_file.c %D%/change_set.c %D%/change_set.h %D%/changes.c %D%/changes.h \
	%D%/changes_int.h %D%/changes_save.c %D%/changes_state.c %D%/diff.c \
	%D%/channel.c %D%/channel.h %D%/child.c %D%/child.h %D%/control.c %D%/embedded.c %D%/endpoints.c %D%/explain.c \
	%D%/handover.c %D%/handover.h %D%/successor.c %D%/upgrade.c %D%/upgrade.h %D%/upgrade_launch.c %D%/zones.c \
	%D%/generations.h %D%/history.c %D%/inherit.h %D%/keeper.c %D%/listeners.c %D%/listeners.h %D%/master.c %D%/master.h %D%/notify.c \
	%D%/notify.h %D%/orphans.c %D%/orphans.h %D%/pidfile.c %D%/pidfile.h %D%/privileges.c \
	%D%/privileges.h %D%/publish.c %D%/reload.c %D%/rolled_back.c %D%/rolled_back.h %D%/signals.def %D%/stop.c %D%/supervise.c %D%/title.c %D%/title.h \
	%D%/worker.c

sbin_PROGRAMS += rushgate
rushgate_SOURCES = src/main.c
rushgate_LDADD = \
	src/proc/libproc.a src/ctl/libctl.a src/admin/libadmin.a src/gate/libgate.a src/redis/libredis.a src/http/libhttp.a \
	src/transcode/libtranscode.a src/rpc/librpc.a src/conf/libconf.a src/transcode/libtranscode.a \
	src/metric/libmetric.a src/table/libtable.a src/shm/libshm.a src/net/libnet.a proto/libproto.a src/base/libbase.a \
	$(EVENT_LIBS) $(NGHTTP2_LIBS) $(HTTP_PARSER_LIBS) $(PROTOBUF_C_LIBS) $(YAML_LIBS) $(JANSSON_LIBS) $(HIREDIS_LIBS) -lxxhash -lm $(ATOMIC_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/proc/test_proc
tests_unit_proc_test_proc_SOURCES = tests/unit/proc/test_proc.c
tests_unit_proc_test_proc_CFLAGS = $(UNIT_CFLAGS)
tests_unit_proc_test_proc_LDADD = src/proc/libproc.a src/shm/libshm.a src/net/libnet.a src/base/libbase.a \
	$(EVENT_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/unit/proc/test_handover
tests_unit_proc_test_handover_SOURCES = tests/unit/proc/test_handover.c
tests_unit_proc_test_handover_CFLAGS = $(UNIT_CFLAGS)
tests_unit_proc_test_handover_LDADD = $(tests_unit_proc_test_proc_LDADD)
TESTS += tests/unit/proc/test_proc tests/unit/proc/test_handover
check_PROGRAMS += tests/unit/proc/test_change_set
tests_unit_proc_test_change_set_SOURCES = tests/unit/proc/test_change_set.c
tests_unit_proc_test_change_set_CFLAGS = $(UNIT_CFLAGS)
tests_unit_proc_test_change_set_LDADD = src/proc/libproc.a src/base/libbase.a $(JANSSON_LIBS) $(UNIT_LIBS)
TESTS += tests/unit/proc/test_change_set
endif

check_PROGRAMS += tests/proc/kill_slots
tests_proc_kill_slots_SOURCES = tests/proc/kill_slots.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_slots_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_slots_LDADD = src/proc/libproc.a src/shm/libshm.a src/net/libnet.a src/base/libbase.a $(EVENT_LIBS)
TESTS += tests/proc/kill_slots

check_PROGRAMS += tests/proc/kill_zone
tests_proc_kill_zone_SOURCES = tests/proc/kill_zone.c tests/proc/killstep.c tests/proc/killstep.h
tests_proc_kill_zone_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proc
tests_proc_kill_zone_LDADD = $(rushgate_LDADD)
TESTS += tests/proc/kill_zone
