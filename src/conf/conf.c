/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/conf.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "conf/tree.h"

/* Absolute and without a slash at its end, but for the root. */
static const char *absolute_prefix(struct conf *c, const char *prefix)
{
    char *cwd = prefix[0] == '/' ? NULL : getcwd(NULL, 0);
    char *out = cwd ? conf_printf(c, "%s/%s", cwd, prefix) : conf_dup(c, slice_str(prefix));
    size_t n = strlen(out);

    while (n > 1 && out[n - 1] == '/')
        out[--n] = '\0';
    free(cwd);
    return n > 0 ? out : "/";
}

/* Of the main file, with a slash behind it; "" where the file is named without one. */
static const char *directory(struct conf *c, const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? conf_dup(c, slice_of(file, (size_t)(slash + 1 - file))) : "";
}

/* Takes over inputs. base: whose addresses are believed, or NULL. */
static struct conf *build(const char *file, const struct conf_options *o, struct inputs *inputs,
                          const struct conf *base, const struct conf_overlay *overlay,
                          struct buf *errors)
{
    struct conf *c = xcalloc(1, sizeof *c);

    arena_pool_init(&c->pool, 0);
    arena_init(&c->arena, &c->pool);
    c->options = *o;
    c->inputs = inputs;
    c->base = base;
    c->prefix = absolute_prefix(c, o->prefix ? o->prefix : "/");
    c->options.prefix = c->prefix;
    c->file = conf_dup(c, slice_str(file));
    c->dir = directory(c, file);
    conf_load_tree(c, overlay);
    if (!c->incomplete)
        conf_check(c);
    c->base = NULL;
    if (c->diag.total > 0) {
        diag_print(&c->diag, errors);
        conf_free(&c);
    }
    return c;
}

struct conf *conf_load_with(const char *file, const struct conf_options *o, struct buf *errors)
{
    return build(file, o, inputs_new(), NULL, NULL, errors);
}

struct conf *conf_derive(const struct conf *base, const struct conf_overlay *overlay,
                         struct buf *errors)
{
    return build(base->file, &base->options, inputs_get(base->inputs), base, overlay, errors);
}

struct conf *conf_derive_edited(const struct conf *base, const char *file, struct slice text,
                                struct buf *errors)
{
    return build(base->file, &base->options, inputs_with(base->inputs, file, text), base, NULL,
                 errors);
}

struct conf *conf_load(const char *file, const char *prefix, struct buf *errors)
{
    const struct conf_options o = {.prefix = prefix};
    return conf_load_with(file, &o, errors);
}

void conf_free(struct conf **pc)
{
    struct conf *c = *pc;

    *pc = NULL;
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->plan.schemas_n; i++)
        buf_free(&c->plan.schemas[i]);
    buf_free(&c->plan.route_index);
    diag_fini(&c->diag);
    inputs_put(&c->inputs);
    arena_reset(&c->arena);
    arena_pool_fini(&c->pool);
    free(c);
}

const struct conf_process *conf_process(const struct conf *c)
{
    return &c->process;
}

unsigned conf_files(const struct conf *c)
{
    return c->files;
}

static unsigned count_set(const struct node *n)
{
    unsigned total = !setting_is_group(n->id) && n->set && !n->element;

    if (setting_is_group(n->id))
        for (unsigned i = 0; i < n->n; i++)
            total += count_set(n->kids[i]);
    return total;
}

unsigned conf_settings_set(const struct conf *c)
{
    return count_set(c->root);
}

void conf_warnings(const struct conf *c, struct buf *out)
{
    bool http = false;

    for (unsigned i = 0; i < c->process.listeners_n; i++)
        http = http || c->process.listeners[i].kind == CONF_LISTEN_HTTP;
    if (http && node_get(c->root, S_ROUTES)->n == 0)
        buf_printf(out, "%s has no routes: every request is answered with 404\n", c->file);
}
