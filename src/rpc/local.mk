noinst_LIBRARIES += src/rpc/librpc.a
src_rpc_librpc_a_SOURCES = \
	%D%/addr.c %D%/addr.h %D%/balance.c %D%/balance.h %D%/client.h %D%/server.h \
	%D%/status.c %D%/status.h
