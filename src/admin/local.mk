noinst_LIBRARIES += src/admin/libadmin.a
src_admin_libadmin_a_SOURCES = \
	%D%/access_format.c %D%/access_log.c %D%/admin.c %D%/admin.h %D%/exposition.c %D%/health.c \
	%D%/http.c %D%/parts.h %D%/ready.c %D%/sales.c
