/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "admin/admin.h"

#include <stdlib.h>

#include "admin/parts.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#define FOLLOW_NS (100 * NS_PER_MS)

struct admin {
    struct admin_config cfg;
    char *version;            /* owned */
    struct access_log *log;   /* owned */
    struct health *health;    /* owned */
    struct sales *sales;      /* owned */
    struct admin_http *http;  /* owned; NULL: no listener */
    struct bank_ref conf;     /* in use; held by our slot */
    struct loop_timer follow; /* looks for a new configuration */
};

static void write_metrics(void *arg, struct buf *out)
{
    struct admin *a = arg;
    struct exposition x = {
        .control = a->cfg.control,
        .metrics = a->cfg.metrics,
        .banks = a->cfg.banks,
        .root = a->conf.data,
        .version = a->version,
        .box_configured = sales_configured(a->sales),
        .box = sales_stats(a->sales),
        .now_ns = clock_mono_ns(),
    };

    exposition_write(&x, out);
}

static bool write_ready(void *arg, struct buf *out)
{
    struct admin *a = arg;

    return ready_write(a->cfg.control, a->conf.generation, clock_mono_ns(), out);
}

uint64_t admin_adopt(struct admin *a)
{
    struct slot *slot = &a->cfg.control->slots[a->cfg.slot];
    struct bank_ref now = bank_current(a->cfg.banks);
    const struct conf_root *root = now.data;

    if (root == NULL || now.generation == a->conf.generation)
        return a->conf.generation;
    if (root->magic != CONF_MAGIC || root->version != CONF_VERSION) {
        log_error("generation %llu is no configuration of this version",
                  (unsigned long long)now.generation);
        return a->conf.generation;
    }
    /* Nothing may look at the old one once it is let go. */
    health_follow(a->health, root);
    a->conf = now;
    atomic_store_explicit(&slot->generation, now.generation, memory_order_release);
    slot_hold(slot, now.generation, bank_bit(now.bank));
    return now.generation;
}

static void on_follow(struct loop_timer *t)
{
    struct admin *a = CONTAINER_OF(t, struct admin, follow);

    admin_adopt(a);
    loop_timer_arm(a->cfg.loop, t, FOLLOW_NS);
}

static bool start_parts(struct admin *a)
{
    static const struct admin_http_handler handler = {write_metrics, write_ready};
    const struct admin_config *cfg = &a->cfg;

    a->log = access_log_new(cfg->loop, cfg->rings, cfg->control, &cfg->metrics->blocks[cfg->slot],
                            cfg->access_log);
    a->health = health_new(cfg->loop, cfg->control);
    a->sales = sales_new(cfg->loop, cfg->banks);
    if (a->log == NULL || a->health == NULL || a->sales == NULL)
        return false;
    if (cfg->listen_fd < 0)
        return true;
    a->http = admin_http_new(cfg->loop, cfg->listen_fd, &handler, a);
    if (a->http == NULL)
        log_error("the admin listener cannot be used");
    return a->http != NULL;
}

struct admin *admin_new(const struct admin_config *cfg)
{
    struct admin *a = calloc(1, sizeof *a);

    if (a == NULL)
        return NULL;
    a->cfg = *cfg;
    a->version = xstrdup(cfg->version);
    loop_timer_init(&a->follow, on_follow);
    if (!start_parts(a)) {
        admin_free(&a);
        return NULL;
    }
    admin_adopt(a);
    loop_timer_arm(cfg->loop, &a->follow, FOLLOW_NS);
    return a;
}

void admin_listen(struct admin *a, bool on)
{
    if (a->http != NULL)
        admin_http_listen(a->http, on);
}

bool admin_is_left(const struct admin *a)
{
    return a->http == NULL || admin_http_is_left(a->http);
}

int admin_reopen_logs(struct admin *a)
{
    /* What was taken from the rings is in the old file already; the rest goes to the new one. */
    return access_log_reopen(a->log);
}

void admin_free(struct admin **ap)
{
    struct admin *a = *ap;

    if (a == NULL)
        return;
    loop_timer_disarm(a->cfg.loop, &a->follow);
    admin_http_free(&a->http);
    sales_free(&a->sales);
    health_free(&a->health);
    access_log_free(&a->log);
    free(a->version);
    free(a);
    *ap = NULL;
}
