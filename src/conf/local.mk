noinst_LIBRARIES += src/conf/libconf.a
src_conf_libconf_a_SOURCES = \
	%D%/check.c %D%/cidr.c %D%/compile.c %D%/compiled.h %D%/conf.c %D%/conf.h %D%/diag.c %D%/diag.h \
	%D%/load.c %D%/paths.c %D%/process.c %D%/reference.c %D%/resolve.c %D%/router.c %D%/router.h \
	%D%/router_build.c %D%/router_index.h %D%/router_template.c %D%/routes.c %D%/schema.c \
	%D%/schema.def %D%/schema.h %D%/show.c %D%/tree.c %D%/tree.h %D%/value.c %D%/value.h %D%/yaml.c \
	%D%/yaml.h
