bin_PROGRAMS += stampede
STAMPEDE_SOURCES = \
	%D%/stampede/acks.c %D%/stampede/acks.h %D%/stampede/audit.c %D%/stampede/audit.h \
	%D%/stampede/bench.c %D%/stampede/bench.h %D%/stampede/cpu.c %D%/stampede/cpu.h \
	%D%/stampede/create.c %D%/stampede/create.h %D%/stampede/crowd.c %D%/stampede/crowd.h \
	%D%/stampede/latency.c %D%/stampede/latency.h %D%/stampede/options.c %D%/stampede/options.h \
	%D%/stampede/purchase.c %D%/stampede/purchase.h %D%/stampede/store_view.c \
	%D%/stampede/store_view.h %D%/stampede/tally.c %D%/stampede/tally.h %D%/stampede/wire.c \
	%D%/stampede/wire.h
STAMPEDE_LIBS = src/net/libnet.a src/base/libbase.a $(EVENT_LIBS) $(HTTP_PARSER_LIBS) \
	$(JANSSON_LIBS) $(SQLITE_LIBS) -lm

stampede_SOURCES = $(STAMPEDE_SOURCES) %D%/stampede/main.c src/boxoffice/core/code.c
stampede_LDADD = $(STAMPEDE_LIBS)

# The do-nothing server that benches stand beside; never installed.
check_PROGRAMS += tools/bench/floor
tools_bench_floor_SOURCES = %D%/bench/floor.c

EXTRA_DIST += %D%/bench %D%/chaos %D%/build %D%/format %D%/packages %D%/quickstart %D%/test
