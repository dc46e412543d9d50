/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands that change the daemon: reload, stop, drain, reopen. The work is the master's (ctl_ops).
 * What a rollback answers is here too, since it is the same.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/request.h"

#define WAIT_DEFAULT_NS (30 * NS_PER_S)
#define LOOK_AGAIN_NS   (20 * NS_PER_MS)

static json_t *change_rows(const struct ctl_reload_result *res)
{
    json_t *rows = json_array();

    for (unsigned i = 0; i < res->changes_n; i++) {
        const struct conf_change *ch = &res->changes[i];
        json_t *row = json_object();
        json_object_set_new(row, "setting", ctl_text(slice_str(ch->path)));
        json_object_set_new(row, "old", ctl_text(slice_str(ch->old_text)));
        json_object_set_new(row, "new", ctl_text(slice_str(ch->new_text)));
        json_object_set_new(row, "applied", json_boolean(!ch->restart));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *reload_data(const struct ctl *c, const struct ctl_reload_result *res)
{
    json_t *d = json_object();
    const char *file = c->cfg.ops->conf_file(c->cfg.arg);

    json_object_set_new(d, "file", ctl_text(slice_str(file)));
    json_object_set_new(d, "files", json_integer(res->files));
    json_object_set_new(d, "settings", json_integer(res->settings));
    json_object_set_new(d, "old_generation", json_integer((json_int_t)res->old_generation));
    json_object_set_new(d, "generation", json_integer((json_int_t)res->new_generation));
    json_object_set_new(d, "processes_on_it", json_integer(res->workers_acked));
    json_object_set_new(d, "processes_total", json_integer(res->workers_total));
    json_object_set_new(d, "duration_s", ctl_seconds(res->duration_ns));
    json_object_set_new(d, "changes", change_rows(res));
    json_object_set_new(d, "warnings", ctl_text(slice_str(res->warnings ? res->warnings : "")));
    json_object_set_new(d, "differs", ctl_differs_from_file(c));
    json_object_set_new(d, "canary", ctl_canary(c));
    return d;
}

/* A failed reload: the list of errors goes along whole, line by line as `check` prints it. */
static void reload_failed(struct ctl_request *r, const struct ctl_reload_result *res)
{
    json_t *doc, *details;
    struct buf text = {0};

    if (r->inv.id == CMD_CONFIG_ROLLBACK)
        buf_printf(&text, "not rolled back; generation %llu keeps running",
                   (unsigned long long)res->old_generation);
    else if (res->invalid)
        buf_printf(&text, "the configuration is invalid; generation %llu keeps running",
                   (unsigned long long)res->old_generation);
    else
        buf_printf(&text, "not reloaded; generation %llu keeps running",
                   (unsigned long long)res->old_generation);
    doc = ctl_error_document(res->invalid        ? CTL_INVALID
                             : res->hint != NULL ? CTL_REFUSED
                                                 : CTL_FAILED,
                             buf_cstr(&text), res->hint != NULL ? res->hint : "");
    details = ctl_text(slice_str(res->errors != NULL ? res->errors : ""));
    json_object_set_new(json_object_get(doc, "error"), "details", details);
    json_object_set_new(json_object_get(doc, "error"), "errors",
                        ctl_error_list(res->errors != NULL ? res->errors : ""));
    buf_free(&text);
    ctl_answer(r, doc);
}

static unsigned number_of(const json_t *object, const char *key)
{
    return (unsigned)json_integer_value(json_object_get(object, key));
}

/* ", but not yet by worker 1 (process 4711)": those that follow the configuration and have not
 * said that they use this generation. */
static void name_late(const struct ctl *c, uint64_t generation, struct buf *out)
{
    const char *sep = ", but not yet by ";

    for (unsigned i = 0; i <= CONTROL_KEEPER; i++) {
        const struct slot *s = &c->cfg.control->slots[i];
        uint32_t state = atomic_load_explicit(&s->state, memory_order_relaxed);
        if ((state != SLOT_READY && state != SLOT_DRAINING) ||
            atomic_load_explicit(&s->generation, memory_order_relaxed) >= generation)
            continue;
        if (i == CONTROL_KEEPER)
            buf_printf(out, "%sthe keeper", sep);
        else
            buf_printf(out, "%sworker %u", sep, i);
        buf_printf(out, " (process %u)", atomic_load_explicit(&s->pid, memory_order_relaxed));
        sep = ", ";
    }
}

json_t *ctl_late_document(const struct ctl *c, uint64_t generation, unsigned on_it, unsigned total)
{
    struct buf text = {0};
    json_t *doc;

    buf_printf(&text, "generation %llu is published and used by %u of %u processes",
               (unsigned long long)generation, on_it, total);
    /* A canary's number is in no slot. */
    if (generation == bank_current(c->cfg.banks).generation)
        name_late(c, generation, &text);
    doc = ctl_error_document(CTL_TIMEOUT, buf_cstr(&text),
                             "rushctl show workers; one that does not answer can be killed, a new "
                             "one starts with what is in force");
    buf_free(&text);
    return doc;
}

static const char *document_name(const struct ctl_request *r)
{
    return r->inv.id == CMD_CONFIG_ROLLBACK                                         ? "rollback"
           : r->inv.id == CMD_CONFIG_PROMOTE                                        ? "promote"
           : r->inv.id == CMD_CONFIG_CANARY || r->inv.flag[CTL_FLAG_CANARY] != NULL ? "canary"
                                                                                    : "reload";
}

/* The answer to a reload that is in force; data (taken over) says in how many processes. */
static void reload_answer(struct ctl_request *r, json_t *data, bool incomplete)
{
    json_t *doc, *change, *warnings = json_incref(json_object_get(data, "warnings"));
    unsigned restart = 0;
    size_t i;

    json_object_del(data, "warnings");
    json_array_foreach(json_object_get(data, "changes"), i, change) restart +=
        json_is_false(json_object_get(change, "applied"));
    if (incomplete) {
        doc = ctl_late_document(r->ctl, number_of(data, "generation"),
                                number_of(data, "processes_on_it"),
                                number_of(data, "processes_total"));
        json_object_set_new(doc, "data", data);
    } else {
        doc = ctl_document(r->ctl, document_name(r), data);
        if (r->inv.id == CMD_CONFIG_ROLLBACK && !json_is_null(json_object_get(data, "differs")))
            ctl_document_warn(doc,
                              "%s still holds what was rolled back: mend it before the next "
                              "reload, which is refused until then",
                              r->ctl->cfg.ops->conf_file(r->ctl->cfg.arg));
        ctl_document_warn_lines(doc, json_string_value(warnings));
        if (restart > 0)
            ctl_document_warn(doc, "%u changed setting%s not applied: needs a restart", restart,
                              restart == 1 ? " is" : "s are");
    }
    json_decref(warnings);
    ctl_answer(r, doc);
}

/*
 * The master waits for the processes that were there. Workers that the reload has brought back
 * after a drain are started, or called back, meanwhile and use the new generation from the start:
 * counted here are all that should be at work. False while one of them is on its way.
 */
static bool all_arrived(const struct ctl *c, unsigned *ready, unsigned *total)
{
    const struct control *z = c->cfg.control;
    bool draining = atomic_load_explicit(&z->draining, memory_order_relaxed), arrived = true;
    unsigned workers = atomic_load_explicit(&z->workers, memory_order_relaxed);

    *ready = 0;
    *total = workers + 1; /* and the keeper */
    for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
        uint32_t state = atomic_load_explicit(&z->slots[i].state, memory_order_relaxed);
        if (i == CONTROL_BOXOFFICE || (i >= workers && i < CONTROL_WORKERS))
            continue;
        if (state == SLOT_STARTING || (state == SLOT_DRAINING && !draining))
            arrived = false;
        *ready += state == SLOT_READY;
    }
    return arrived;
}

static void look_again(struct loop_timer *t)
{
    struct ctl_request *r = CONTAINER_OF(t, struct ctl_request, timer);
    struct loop *loop = r->ctl->cfg.loop;
    unsigned ready, total;
    bool arrived = all_arrived(r->ctl, &ready, &total);
    json_t *data = r->held;

    if (!arrived && loop_now(loop) < r->until_ns) {
        loop_timer_arm(loop, t, LOOK_AGAIN_NS);
        return;
    }
    /* Who does not wait is told what the master knows: a process at work may not have adopted. */
    if (r->until_ns != 0)
        json_object_set_new(data, "processes_on_it", json_integer(ready));
    json_object_set_new(data, "processes_total", json_integer(total));
    r->held = NULL;
    reload_answer(r, data, !arrived && r->until_ns != 0);
}

void ctl_on_changed(void *request, const struct ctl_reload_result *res)
{
    struct ctl_request *r = request;

    if (!res->ok) {
        reload_failed(r, res);
    } else if (res->incomplete) {
        reload_answer(r, reload_data(r->ctl, res), true);
    } else {
        r->held = reload_data(r->ctl, res);
        r->timer.fn = look_again;
        look_again(&r->timer);
    }
}

uint64_t ctl_take_wait(struct ctl_request *r)
{
    const char *wait = r->inv.flag[CTL_FLAG_WAIT];
    uint64_t wait_ns = WAIT_DEFAULT_NS;

    if (wait != NULL && !ctl_duration(wait, &wait_ns))
        wait_ns = WAIT_DEFAULT_NS; /* ctl_parse has refused that already */
    r->until_ns = wait_ns != 0 ? loop_now(r->ctl->cfg.loop) + wait_ns : 0;
    return wait_ns;
}

struct ctl_order ctl_order_of(struct ctl_request *r)
{
    struct ctl_order order = {.wait_ns = ctl_take_wait(r),
                              .reason = r->inv.flag[CTL_FLAG_REASON],
                              .force = r->inv.flag[CTL_FLAG_FORCE] != NULL};

    snprintf(order.by, sizeof order.by, "uid %u", (unsigned)r->peer.uid);
    return order;
}

void ctl_do_RELOAD(struct ctl_request *r)
{
    struct ctl_order order = ctl_order_of(r);

    if (r->inv.flag[CTL_FLAG_CANARY] != NULL)
        ctl_reload_canary(r, &order);
    else
        r->ctl->cfg.ops->reload(r->ctl->cfg.arg, &order, ctl_on_changed, r);
}

/* What stop and drain answer: whom to watch end. */
static json_t *going_document(const struct ctl *c, const char *name, const char *state)
{
    json_t *d = json_object();
    uint32_t pid = atomic_load_explicit(&c->cfg.control->master_pid, memory_order_relaxed);

    json_object_set_new(d, "state", json_string(state));
    json_object_set_new(d, "pid", json_integer(pid));
    return ctl_document(c, name, d);
}

void ctl_do_STOP(struct ctl_request *r)
{
    struct ctl *c = r->ctl;
    bool fast = r->inv.flag[CTL_FLAG_FAST] != NULL;

    ctl_answer(r, going_document(c, "stop", fast ? "stopping" : "draining"));
    c->cfg.ops->stop(c->cfg.arg, fast);
}

void ctl_do_DRAIN(struct ctl_request *r)
{
    struct ctl *c = r->ctl;

    c->cfg.ops->drain(c->cfg.arg);
    ctl_answer(r, going_document(c, "drain", "draining"));
}

void ctl_do_REOPEN(struct ctl_request *r)
{
    int rc = r->ctl->cfg.ops->reopen_logs(r->ctl->cfg.arg);

    if (rc < 0)
        ctl_refuse(r, CTL_FAILED, "", "cannot open the logs: %s", strerror(-rc));
    else
        ctl_answer(r, ctl_document(r->ctl, "reopen", json_object()));
}
