/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redis servers: addresses that mean nothing, servers named twice, a password file that cannot be
 * read, limits that are shared by way of no server.
 */
#include <errno.h>
#include <string.h>

#include "conf/inputs.h"
#include "conf/tree.h"

#define SERVERS_MAX  16u
#define PASSWORD_MAX 512u

static void check_servers(struct conf *c, struct node *list)
{
    c->plan.redis = conf_alloc(c, (list->n + 1) * sizeof *c->plan.redis);
    if (list->n > SERVERS_MAX)
        diag_error(&c->diag, list->at, NULL, "%s: at most %u", node_path_text(c, list),
                   SERVERS_MAX);
    for (unsigned i = 0; i < list->n; i++) {
        const struct node *a = list->kids[i];
        if (!conf_resolve(c, list->kids[i], &c->plan.redis[i]))
            continue;
        for (unsigned j = 0; j < i; j++)
            if (list->kids[j]->text != NULL && strcmp(list->kids[j]->text, a->text) == 0)
                diag_error(&c->diag, a->at, NULL, "%s: \"%s\" is there twice",
                           node_path_text(c, list), a->text);
    }
}

/* The first line. */
static const char *read_password(struct conf *c, struct node *file)
{
    const struct input *in = input_file(c->inputs, file->text);
    struct slice line;

    if (in == NULL) {
        file->bad = true;
        diag_error(&c->diag, file->at, NULL, "%s: cannot read %s: %s", node_path_text(c, file),
                   file->text, conf_file_error(errno));
        return "";
    }
    line = slice_of(in->bytes, strcspn(in->bytes, "\r\n"));
    if (line.n == 0 || line.n > PASSWORD_MAX) {
        file->bad = true;
        diag_error(&c->diag, file->at, NULL,
                   "%s: the first line of %s must be the password, of 1 to %u bytes",
                   node_path_text(c, file), file->text, PASSWORD_MAX);
        return "";
    }
    return conf_dup(c, line);
}

static void check_shared(struct conf *c, const struct node *servers)
{
    const struct node *limits = node_get(c->root, S_LIMITS);

    for (unsigned i = 0; i < limits->n; i++) {
        const struct node *shared = node_get(limits->kids[i], S_LIMIT_SHARED);
        if (!shared->bad && shared->value.num != 0 && servers->n == 0 && !c->incomplete)
            diag_error(&c->diag, shared->at, NULL,
                       "%s: a shared limit needs Redis. Set redis.servers",
                       node_path_text(c, limits->kids[i]));
    }
}

void conf_check_redis(struct conf *c)
{
    struct node *redis = node_get(c->root, S_REDIS), *list = node_get(redis, S_REDIS_SERVERS);
    struct node *user = node_get(redis, S_REDIS_USERNAME);
    struct node *file = node_get(redis, S_REDIS_PASSWORD_FILE);

    check_servers(c, list);
    c->plan.redis_password = "";
    if (!file->bad && file->text != NULL)
        c->plan.redis_password = read_password(c, file);
    else if (!file->bad && !user->bad && node_text(redis, S_REDIS_USERNAME)[0] != '\0')
        diag_error(&c->diag, user->at, NULL, "%s: a user needs a password: set redis.password_file",
                   node_path_text(c, user));
    check_shared(c, list);
}
