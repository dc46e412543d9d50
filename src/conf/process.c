/* SPDX-License-Identifier: BSD-2-Clause */
/* The settings that the master itself needs, as plain fields. */
#include <unistd.h>

#include "conf/tree.h"

#define RLS_BACKLOG 1024

static void fill_listener(struct conf *c, const char *name, struct node *address, int backlog,
                          struct conf_listener *out)
{
    struct address a;

    *out = (struct conf_listener){.name = name, .address = address->text, .backlog = backlog};
    if (address->text == NULL || address->text[0] == '\0' || !conf_resolve(c, address, &a))
        return;
    out->sa = a.sa;
    out->sa_n = a.n;
}

static void fill_listeners(struct conf *c, struct conf_process *p)
{
    const struct node *list = node_get(c->root, S_LISTEN);
    const struct node *rls = node_get(c->root, S_RLS_LISTEN);
    struct conf_listener *out = conf_alloc(c, (list->n + rls->n + 1) * sizeof *out);

    for (unsigned i = 0; i < list->n; i++)
        fill_listener(c, node_text(list->kids[i], S_LISTEN_NAME),
                      node_get(list->kids[i], S_LISTEN_ADDRESS),
                      (int)node_num(list->kids[i], S_LISTEN_BACKLOG), &out[i]);
    for (unsigned i = 0; i < rls->n; i++) {
        struct conf_listener *l = &out[list->n + i];
        fill_listener(c, "rate_limit_service", rls->kids[i], RLS_BACKLOG, l);
        l->kind = CONF_LISTEN_RLS;
    }
    p->listeners = out;
    p->listeners_n = list->n + rls->n;
}

static unsigned worker_count(int64_t configured)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (configured > 0)
        return (unsigned)configured;
    return cores < 1                              ? 1
           : cores > conf_settings[S_WORKERS].max ? (unsigned)conf_settings[S_WORKERS].max
                                                  : (unsigned)cores;
}

/* NULL where the text is the word that stands for no file. */
static const char *file_or_null(const struct conf *c, enum setting_id id)
{
    const char *text = node_text(c->root, id);
    return strcmp(text, conf_settings[id].values) == 0 ? NULL : text;
}

void conf_fill_process(struct conf *c)
{
    struct conf_process *p = &c->process;
    const struct node *r = c->root;

    p->workers = worker_count(node_num(r, S_WORKERS));
    p->cpu_batch = node_num(r, S_CPU_SCHEDULING) != 0;
    p->user = node_text(r, S_USER);
    p->user_set = node_get(r, S_USER)->set;
    p->group = node_text(r, S_GROUP);
    p->pid_file = node_text(r, S_PID_FILE);
    fill_listeners(c, p);
    p->admin_socket = node_text(r, S_ADMIN_SOCKET);
    p->admin_socket_mode = (unsigned)node_num(r, S_ADMIN_SOCKET_MODE);
    p->admin_socket_group = node_text(r, S_ADMIN_SOCKET_GROUP);
    fill_listener(c, "admin", node_get(r, S_ADMIN_ADDRESS), 128, &p->admin);
    p->log_error = file_or_null(c, S_LOG_ERROR);
    p->log_level = (int)node_num(r, S_LOG_LEVEL);
    p->log_access = file_or_null(c, S_LOG_ACCESS);
    p->log_access_enabled = node_num(r, S_LOG_ACCESS_ENABLED) != 0;
    p->log_audit = file_or_null(c, S_LOG_AUDIT);
    p->state_file = file_or_null(c, S_STATE_FILE);
    p->bans_state_file = file_or_null(c, S_BANS_STATE_FILE);
    p->idempotency_remember_ms = (uint32_t)node_num(r, S_IDEMPOTENCY_REMEMBER);
    p->boxoffice_embedded = node_num(r, S_BOXOFFICE_MODE) != 0;
    p->boxoffice_listen = node_text(r, S_BOXOFFICE_LISTEN);
    p->boxoffice_store = node_text(r, S_BOXOFFICE_STORE);
    p->boxoffice_upstream = node_text(r, S_BOXOFFICE_UPSTREAM);
    p->canary = (struct conf_canary){
        .share_percent = (uint32_t)node_num(r, S_CANARY_SHARE),
        .min_requests = (uint64_t)node_num(r, S_CANARY_MIN_REQUESTS),
        .max_error_increase_percent = (uint32_t)node_num(r, S_CANARY_MAX_ERROR_RATE_INCREASE),
        .p99_percent = (uint32_t)node_num(r, S_CANARY_P99_FACTOR),
        .promote_after_ms = (uint64_t)node_num(r, S_CANARY_PROMOTE_AFTER),
    };
    p->generations_keep = (unsigned)node_num(node_get(r, S_GENERATIONS), S_GENERATIONS_KEEP);
    p->limit_table_bytes = (uint64_t)node_num(r, S_LIMIT_TABLE);
    p->drain_timeout_ms = (uint32_t)node_num(r, S_DRAIN_TIMEOUT);
}
