/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A/B splits: arms that nobody would get, names that say something else elsewhere, upstreams that
 * do not speak what a route needs.
 */
#include <string.h>
#include <strings.h>

#include "conf/split.h"
#include "conf/tree.h"

static void check_arm(struct conf *c, const struct node *split, struct node *arm)
{
    const struct node *respond = node_get(arm, S_ARM_RESPOND);

    if (strlen(split->name) + 1 + strlen(arm->name) > CONF_ARM_LABEL_MAX)
        diag_error(&c->diag, arm->at, NULL,
                   "%s: the names of split and arm are longer than %u bytes together",
                   node_path_text(c, arm), CONF_ARM_LABEL_MAX - 1);
    if (respond->set && node_get(arm, S_ARM_UPSTREAM)->set)
        diag_error(&c->diag, respond->at, NULL,
                   "%s: has both upstream and respond; it can have one", node_path_text(c, arm));
}

static void check_arms(struct conf *c, struct node *split)
{
    struct node *arms = node_get(split, S_SPLIT_ARMS);
    int64_t sum = 0;

    if (arms->n == 0) {
        if (!split->bad && !arms->bad && !c->incomplete)
            diag_error(&c->diag, split->at, NULL, "%s needs \"arms\"", node_path_text(c, split));
        return;
    }
    if (arms->n > CONF_ARMS)
        diag_error(&c->diag, arms->kids[CONF_ARMS]->at, NULL, "%s: at most %u arms",
                   node_path_text(c, arms), CONF_ARMS);
    for (unsigned i = 0; i < arms->n; i++) {
        const struct node *weight = node_get(arms->kids[i], S_ARM_WEIGHT);
        check_arm(c, split, arms->kids[i]);
        sum += weight->bad ? 1 : weight->value.num; /* an error is told once */
    }
    if (sum == 0)
        diag_error(&c->diag, split->at, NULL,
                   "%s: the weights of all arms are 0: none would get a request",
                   node_path_text(c, arms));
}

/* What the gateway, HTTP or gRPC give another meaning to. */
static const char *taken_by(const char *name)
{
    static const char *const taken[] = {
        "host",       "connection",      "content-length",  "content-type",      "cookie",
        "te",         "expect",          "x-request-id",    "transfer-encoding", "traceparent",
        "tracestate", "set-cookie",      "x-forwarded-for", "rushgate-buyer",    "upgrade",
        "user-agent", "idempotency-key", "keep-alive",
    };
    size_t n = strlen(name);

    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcasecmp(name, taken[i]) == 0)
            return "has a meaning of its own";
    if (strncasecmp(name, "grpc-", 5) == 0)
        return "is reserved by gRPC (grpc-)";
    if (n > 4 && strcasecmp(name + n - 4, "-bin") == 0)
        return "would be binary in gRPC (-bin)";
    return NULL;
}

static void check_header(struct conf *c, const struct node *split)
{
    const struct node *header = node_get(split, S_SPLIT_HEADER);
    const char *why = header->bad || header->text == NULL ? NULL : taken_by(header->text);

    if (why == NULL && header->text != NULL &&
        strcasecmp(header->text, node_text(c->root, S_IDENTITY_HEADER)) == 0)
        why = "is identity.header";
    if (why != NULL)
        diag_error(&c->diag, header->at, NULL, "%s: \"%s\" %s; name another",
                   node_path_text(c, header), header->text, why);
}

void conf_check_splits(struct conf *c)
{
    const struct node *splits = node_get(c->root, S_SPLITS);
    unsigned arms = 0;

    for (unsigned i = 0; i < splits->n; i++) {
        check_arms(c, splits->kids[i]);
        check_header(c, splits->kids[i]);
        arms += node_get(splits->kids[i], S_SPLIT_ARMS)->n;
    }
    if (arms > CONF_ARMS_ALL)
        diag_error(&c->diag, splits->kids[splits->n - 1]->at, NULL,
                   "splits: at most %u arms in all", CONF_ARMS_ALL);
}

/* --- of a route --- */

static void check_use(struct conf *c, const struct node *route, const struct node *use)
{
    const struct node *splits = node_get(c->root, S_SPLITS);
    const struct node *upstreams = node_get(c->root, S_UPSTREAMS), *arms;
    bool message = node_get(route, S_ROUTE_SERVICE)->set || node_get(route, S_ROUTE_RPC)->set;
    uint32_t s = use->bad || use->text == NULL ? CONF_NONE : node_find(splits, use->text);

    if (s == CONF_NONE)
        return;
    arms = node_get(splits->kids[s], S_SPLIT_ARMS);
    for (unsigned i = 0; i < arms->n; i++) {
        const char *name = node_text(arms->kids[i], S_ARM_UPSTREAM);
        uint32_t u = node_find(upstreams, name);
        const struct node *p =
            u == CONF_NONE ? NULL : node_get(upstreams->kids[u], S_UPSTREAM_PROTOCOL);
        if (p == NULL || p->bad || p->text == NULL || (p->value.num == CONF_GRPC) == message)
            continue;
        diag_error(&c->diag, use->at, NULL,
                   "%s: arm \"%s\" of split \"%s\" has the upstream \"%s\", which speaks %s: the "
                   "route needs protocol %s",
                   node_path_text(c, use), arms->kids[i]->name, use->text, name,
                   message ? "HTTP" : "gRPC", message ? "grpc" : "http");
    }
}

void conf_check_route_split(struct conf *c, const struct node *route)
{
    const struct node *methods = node_get(route, S_ROUTE_METHODS);

    check_use(c, route, node_get(route, S_ROUTE_SPLIT));
    for (unsigned i = 0; i < methods->n; i++)
        if (node_get(methods->kids[i], S_METHOD_SPLIT)->set)
            check_use(c, route, node_get(methods->kids[i], S_METHOD_SPLIT));
}
