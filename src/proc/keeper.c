/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper: the process around src/admin, which does its work (metrics, access log, health
 * checks). It may block for short whiles; nothing that serves buyers waits for it. Killed, it
 * leaves its rings as they are and its successor reads on.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/compiled.h"
#include "proc/channel.h"
#include "proc/child.h"
#include "proc/title.h"

#define LEAVE_NS      (2 * NS_PER_S) /* below the master's patience (stop.c) */
#define LEAVE_LOOK_NS (10 * NS_PER_MS)

struct keeper {
    struct child child;
    struct admin *admin;     /* owned */
    uint64_t generation;     /* in use */
    struct loop_timer leave; /* a turn of the loop now and then */
};

static struct keeper *keeper_of(struct child *c)
{
    return CONTAINER_OF(c, struct keeper, child);
}

static void adopt(struct keeper *k)
{
    struct bank_ref now = bank_current(k->child.in->banks);
    const struct conf_root *root = now.data;
    uint64_t generation = admin_adopt(k->admin);

    if (generation == k->generation)
        return;
    k->generation = generation;
    if (now.generation == generation)
        log_set_level((enum log_level)root->log_level);
}

static void on_adopt(struct child *c)
{
    struct keeper *k = keeper_of(c);

    adopt(k);
    child_tell(c, CHANNEL_ADOPTED, k->generation);
}

static void on_drain(struct child *c, enum child_drain how)
{
    if (how == DRAIN_HANDOVER)
        admin_listen(keeper_of(c)->admin, false);
    else
        c->stop = true;
}

static void on_resume(struct child *c)
{
    admin_listen(keeper_of(c)->admin, true);
}

static void on_reopen(struct child *c)
{
    int rc = log_reopen();

    if (rc < 0)
        log_error("cannot reopen the error log: %s", strerror(-rc));
    rc = admin_reopen_logs(keeper_of(c)->admin);
    if (rc < 0)
        log_error("cannot reopen the access log: %s", strerror(-rc));
}

static void open_admin(struct keeper *k)
{
    const struct inherited *in = k->child.in;
    struct admin_config cfg = {
        .loop = &k->child.loop,
        .control = in->control,
        .metrics = in->metrics,
        .rings = in->rings,
        .banks = in->banks,
        .slot = in->slot,
        .listen_fd = in->admin_listener,
        .access_log = in->access_log,
        .version = PACKAGE_VERSION,
    };

    k->admin = admin_new(&cfg);
    if (k->admin == NULL) {
        log_error("the keeper cannot start");
        exit(1);
    }
    if (in->standby)
        admin_listen(k->admin, false);
}

static void on_leave(struct loop_timer *t)
{
    loop_timer_arm(&CONTAINER_OF(t, struct keeper, leave)->child.loop, t, LEAVE_LOOK_NS);
}

/* Who is connected to a keeper that another one has followed may be about to ask: he is told to
 * close with the next answer, and is cut only after a while. */
static void leave(struct keeper *k)
{
    uint64_t end_ns = clock_mono_ns() + LEAVE_NS;

    loop_timer_init(&k->leave, on_leave);
    on_leave(&k->leave);
    while (!admin_is_left(k->admin) && clock_mono_ns() < end_ns && loop_turn(&k->child.loop))
        child_publish(&k->child);
    loop_timer_disarm(&k->child.loop, &k->leave);
}

int keeper_run(const struct inherited *in)
{
    struct keeper *k = xcalloc(1, sizeof *k);

    title_set("rushgate: keeper");
    k->child.on_adopt = on_adopt;
    k->child.on_drain = on_drain;
    k->child.on_resume = on_resume;
    k->child.on_reopen = on_reopen;
    child_init(&k->child, in);
    open_admin(k);
    adopt(k);
    child_ready(&k->child, k->generation);
    while (!k->child.stop && loop_turn(&k->child.loop))
        child_publish(&k->child);
    leave(k);
    admin_free(&k->admin);
    child_fini(&k->child);
    free(k);
    return 0;
}
