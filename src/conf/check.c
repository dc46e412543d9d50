/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one value alone does not show: names that refer to nothing, things that are there twice,
 * addresses that do not resolve, descriptor sets that cannot be read. What is found out is kept in
 * the plan, so that compiling repeats nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/tree.h"
#include "transcode/schema.h"

static void twice(struct conf *c, const struct node *n, const struct node *first, const char *what)
{
    struct buf origin = {0};

    diag_origin(&c->diag, first->at, &origin);
    diag_error(&c->diag, n->at, NULL, "%s: %s \"%s\" is there already, at %s",
               node_path_text(c, n->up), what, n->text, buf_cstr(&origin));
    buf_free(&origin);
}

/* Elements of a list of objects whose setting `id` is equal. */
static void unique(struct conf *c, const struct node *list, enum setting_id id, const char *what)
{
    for (unsigned i = 0; i < list->n; i++) {
        const struct node *a = node_get(list->kids[i], id);
        for (unsigned j = 0; j < i && a->text != NULL; j++) {
            const struct node *b = node_get(list->kids[j], id);
            if (b->text != NULL && strcmp(a->text, b->text) == 0) {
                twice(c, a, b, what);
                break;
            }
        }
    }
}

/* Port 0 is a different port each time. */
static bool fixed_port(const char *address)
{
    size_t n = strlen(address);
    return n < 2 || strcmp(address + n - 2, ":0") != 0;
}

static void check_listeners(struct conf *c)
{
    const struct node *list = node_get(c->root, S_LISTEN);

    unique(c, list, S_LISTEN_NAME, "name");
    for (unsigned i = 0; i < list->n; i++) {
        const struct node *a = node_get(list->kids[i], S_LISTEN_ADDRESS);
        for (unsigned j = 0; j < i && a->text != NULL && fixed_port(a->text); j++) {
            const struct node *b = node_get(list->kids[j], S_LISTEN_ADDRESS);
            if (b->text != NULL && strcmp(a->text, b->text) == 0)
                twice(c, a, b, "address");
        }
    }
}

/* References by name, wherever they are. */
static void check_refs(struct conf *c, struct node *n)
{
    const struct node *list;
    struct suggest s;

    for (unsigned i = 0; i < n->n; i++)
        check_refs(c, n->kids[i]);
    if (setting_base(n->id) != T_REF || n->bad || n->text == NULL || n->text[0] == '\0')
        return;
    list = node_get(c->root, setting_child(S_ROOT, slice_str(conf_settings[n->id].values)));
    if (node_find(list, n->text) != UINT32_MAX)
        return;
    suggest_init(&s, slice_str(n->text));
    for (unsigned i = 0; i < list->n; i++)
        suggest_try(&s, slice_str(list->kids[i]->name));
    n->bad = true;
    diag_error(&c->diag, n->at, suggest_hint(&s), "%s: \"%s\" is not in %s", node_path_text(c, n),
               n->text, conf_settings[n->id].values);
}

static void check_upstreams(struct conf *c)
{
    const struct node *list = node_get(c->root, S_UPSTREAMS);

    c->plan.endpoints = conf_alloc(c, (list->n + 1) * sizeof *c->plan.endpoints);
    for (unsigned i = 0; i < list->n; i++) {
        struct node *e = node_get(list->kids[i], S_UPSTREAM_ENDPOINTS);
        struct address *addresses = conf_alloc(c, (e->n + 1) * sizeof *addresses);
        c->plan.endpoints[i] = addresses;
        for (unsigned k = 0; k < e->n; k++) {
            if (!conf_resolve(c, e->kids[k], &addresses[k]))
                continue;
            for (unsigned j = 0; j < k; j++)
                if (e->kids[j]->text != NULL && strcmp(e->kids[j]->text, e->kids[k]->text) == 0)
                    diag_error(&c->diag, e->kids[k]->at, NULL, "%s: \"%s\" is there twice",
                               node_path_text(c, e), e->kids[k]->text);
        }
    }
}

static unsigned schema_options(const struct node *t)
{
    return (node_num(t, S_TRANSCODE_NAMES) ? SCHEMA_PROTO_NAMES : 0u) |
           (node_num(t, S_TRANSCODE_PRINT_DEFAULTS) ? SCHEMA_PRINT_DEFAULTS : 0u) |
           (node_num(t, S_TRANSCODE_IGNORE_UNKNOWN) ? SCHEMA_IGNORE_UNKNOWN : 0u);
}

static void check_schema(struct conf *c, struct node *t, struct buf *out)
{
    struct node *file = node_get(t, S_TRANSCODE_DESCRIPTOR_SET);
    struct buf why = {0};
    const struct input *in;

    if (file->bad || file->text == NULL)
        return;
    in = input_file(c->inputs, file->text);
    if (in == NULL) {
        file->bad = true;
        diag_error(&c->diag, file->at, NULL, "%s: cannot read %s: %s", node_path_text(c, file),
                   file->text, conf_file_error(errno));
        return;
    }
    if (!schema_compile(slice_of(in->bytes, in->n), schema_options(t), out, &why)) {
        file->bad = true;
        buf_clear(out);
        diag_error(&c->diag, file->at, NULL, "%s: %s: %s", node_path_text(c, file), file->text,
                   buf_cstr(&why));
    }
    buf_free(&why);
}

static void check_schemas(struct conf *c)
{
    const struct node *list = node_get(c->root, S_TRANSCODE);

    c->plan.schemas = conf_alloc(c, (list->n + 1) * sizeof *c->plan.schemas);
    c->plan.schemas_n = list->n;
    for (unsigned i = 0; i < list->n; i++)
        check_schema(c, list->kids[i], &c->plan.schemas[i]);
}

/* rushctl and the keeper ask it by gRPC. */
static void check_boxoffice(struct conf *c)
{
    const struct node *list = node_get(c->root, S_UPSTREAMS);
    struct node *n = node_get(c->root, S_BOXOFFICE_UPSTREAM);
    uint32_t i = n->bad || n->text == NULL ? UINT32_MAX : node_find(list, n->text);
    const struct node *protocol;

    if (i == UINT32_MAX)
        return;
    protocol = node_get(list->kids[i], S_UPSTREAM_PROTOCOL);
    if (!protocol->bad && protocol->text != NULL && protocol->value.num != CONF_GRPC)
        diag_error(&c->diag, n->at, NULL, "boxoffice.upstream: \"%s\" does not speak gRPC",
                   n->text);
}

static void check_sockets(struct conf *c)
{
    struct node *admin = node_get(c->root, S_ADMIN_SOCKET);
    struct node *box = node_get(c->root, S_BOXOFFICE_LISTEN);
    struct address ignored;

    if (!admin->bad && admin->text != NULL && strlen(admin->text) > 107)
        diag_error(&c->diag, admin->at, NULL,
                   "admin.socket: \"%s\" is too long for a socket (107 bytes)", admin->text);
    if (node_num(c->root, S_BOXOFFICE_MODE) != 0)
        conf_resolve(c, box, &ignored);
}

void conf_check(struct conf *c)
{
    check_listeners(c);
    check_refs(c, c->root);
    conf_check_limits(c);
    conf_check_concurrency(c);
    conf_check_splits(c);
    conf_check_rls(c);
    conf_check_redis(c);
    check_upstreams(c);
    check_schemas(c);
    unique(c, node_get(c->root, S_ROUTES), S_ROUTE_NAME, "name");
    check_boxoffice(c);
    check_sockets(c);
    conf_check_routes(c);
    conf_fill_process(c);
}
