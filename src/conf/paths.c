/* SPDX-License-Identifier: BSD-2-Clause */
/* Where relative paths are: the rule is at conf_path in conf.h. */
#include "conf/tree.h"

static const struct {
    struct slice first;
    const char *dir;
} system_dirs[] = {
    {{"run/", 4}, "/run/rushgate/"},
    {{"log/", 4}, "/var/log/rushgate/"},
    {{"data/", 5}, "/var/lib/rushgate/"},
};

void conf_path(const char *prefix, struct slice path, struct buf *out)
{
    if (path.n > 0 && path.p[0] == '/') {
        buf_slice(out, path);
        return;
    }
    if (strcmp(prefix, "/") == 0) {
        for (size_t i = 0; i < sizeof system_dirs / sizeof *system_dirs; i++)
            if (slice_starts(path, system_dirs[i].first)) {
                buf_str(out, system_dirs[i].dir);
                buf_add(out, path.p + system_dirs[i].first.n, path.n - system_dirs[i].first.n);
                return;
            }
        buf_char(out, '/');
    } else {
        buf_str(out, prefix);
        buf_char(out, '/');
    }
    buf_slice(out, path);
}

const char *conf_absolute(struct conf *c, enum setting_id id, struct slice text)
{
    const struct setting *s = &conf_settings[id];
    const struct slice unix_form = SLICE_LIT("unix:");
    struct buf out = {0};
    const char *result;

    switch (setting_base(id)) {
    case T_PATH:
        if (s->values[0] != '\0' && slice_eq(text, slice_str(s->values)))
            return conf_dup(c, text);
        conf_path(c->prefix, text, &out);
        break;
    case T_ADDRESS:
        if (!slice_starts(text, unix_form))
            return conf_dup(c, text);
        buf_slice(&out, unix_form);
        conf_path(c->prefix, slice_of(text.p + unix_form.n, text.n - unix_form.n), &out);
        break;
    case T_FILE:
        if (text.n == 0 || text.p[0] != '/')
            buf_str(&out, c->dir);
        buf_slice(&out, text);
        break;
    default:
        return conf_dup(c, text);
    }
    result = conf_dup(c, buf_view(&out));
    buf_free(&out);
    return result;
}
