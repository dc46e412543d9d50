noinst_LIBRARIES += src/admin/libadmin.a
src_admin_libadmin_a_SOURCES = \
	%D%/access_format.c %D%/access_log.c %D%/admin.c %D%/admin.h %D%/exposition.c \
	%D%/exposition_boxoffice.c %D%/exposition_traffic.c %D%/health.c \
	%D%/http.c %D%/parts.h %D%/prom.c %D%/prom.h %D%/ready.c %D%/sales.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/admin/test_admin
tests_unit_admin_test_admin_SOURCES = tests/unit/admin/test_admin.c
tests_unit_admin_test_admin_CFLAGS = $(UNIT_CFLAGS)
tests_unit_admin_test_admin_LDADD = src/admin/libadmin.a $(CTL_TEST_LIBS) $(UNIT_LIBS)
TESTS += tests/unit/admin/test_admin
endif
