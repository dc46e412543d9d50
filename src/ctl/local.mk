noinst_LIBRARIES += src/ctl/libctl.a
src_ctl_libctl_a_SOURCES = \
	%D%/boxoffice.c %D%/boxoffice.h %D%/commands.c %D%/commands.def %D%/commands.h %D%/ctl.h \
	%D%/document.c %D%/errors.def %D%/errors.h %D%/listen.c %D%/manage.c %D%/peer.c %D%/peer.h \
	%D%/request.c %D%/request.h %D%/sales.c %D%/server.c %D%/show.c
