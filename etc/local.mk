# Files for the system's directories. Those with @paths@ are made from .in files at build time, because
# only make knows the directories as the user finally chose them.
ETC_SUBST = sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' \
	-e 's|@docdir[@]|$(docdir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' -e 's|@pkgdatadir[@]|$(pkgdatadir)|g'
ETC_MADE = etc/rushgate.yaml etc/init.d/rushgate etc/logrotate.d/rushgate etc/systemd/rushgate.service
ETC_PLAIN = etc/default/rushgate etc/sysusers.d/rushgate.conf etc/tmpfiles.d/rushgate.conf

EXTRA_DIST += $(ETC_MADE:=.in) $(ETC_PLAIN)
CLEANFILES += $(ETC_MADE)

$(ETC_MADE): Makefile
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(ETC_SUBST) $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@
etc/rushgate.yaml: etc/rushgate.yaml.in
etc/init.d/rushgate: etc/init.d/rushgate.in
etc/logrotate.d/rushgate: etc/logrotate.d/rushgate.in
etc/systemd/rushgate.service: etc/systemd/rushgate.service.in

# For Prometheus and Grafana: whoever runs them names or imports the files from here.
prometheusdir = $(pkgdatadir)/prometheus
dist_prometheus_DATA = etc/prometheus/rushgate.rules.yaml
grafanadir = $(pkgdatadir)/grafana
dist_grafana_DATA = etc/grafana/rushgate.json

initddir = $(sysconfdir)/init.d
nodist_initd_SCRIPTS = etc/init.d/rushgate
defaultdir = $(sysconfdir)/default
default_DATA = etc/default/rushgate
logrotatedir = $(sysconfdir)/logrotate.d
nodist_logrotate_DATA = etc/logrotate.d/rushgate
nodist_systemdsystemunit_DATA = etc/systemd/rushgate.service
tmpfilesdir = $(prefix)/lib/tmpfiles.d
tmpfiles_DATA = etc/tmpfiles.d/rushgate.conf
sysusersdir = $(prefix)/lib/sysusers.d
sysusers_DATA = etc/sysusers.d/rushgate.conf

# The configuration as shipped; the one in use is put beside it only where there is none, and taken away
# only when nobody has changed it.
nodist_pkgdata_DATA = etc/rushgate.yaml
confdir = $(sysconfdir)/rushgate

install-data-local: etc/rushgate.yaml
	$(MKDIR_P) "$(DESTDIR)$(confdir)/conf.d"
	test -e "$(DESTDIR)$(confdir)/rushgate.yaml" || \
		$(INSTALL_DATA) etc/rushgate.yaml "$(DESTDIR)$(confdir)/rushgate.yaml"

uninstall-local:
	! cmp -s etc/rushgate.yaml "$(DESTDIR)$(confdir)/rushgate.yaml" || \
		rm -f "$(DESTDIR)$(confdir)/rushgate.yaml"
	-rmdir "$(DESTDIR)$(confdir)/conf.d" "$(DESTDIR)$(confdir)" 2>/dev/null
