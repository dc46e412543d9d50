/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "acks.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

/* ---- writing -------------------------------------------------------------------------------- */

void acks_open(struct acks *a, const char *path)
{
    *a = (struct acks){.fd = -1};
    if (path == NULL)
        return;
    a->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (a->fd < 0)
        die("%s: %s", path, strerror(errno));
}

static void member(struct buf *out, const char *name, struct slice value)
{
    buf_printf(out, ",\"%s\":", name);
    buf_json(out, value);
}

static void member_units(struct buf *out, const uint32_t *units, uint32_t n)
{
    buf_str(out, ",\"units\":[");
    for (uint32_t i = 0; i < n; i++)
        buf_printf(out, "%s%u", i > 0 ? "," : "", units[i]);
    buf_char(out, ']');
}

static void member_time(struct buf *out, const char *name, uint64_t ns)
{
    if (ns != 0)
        buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)ns);
}

static void line_end(struct acks *a, const struct ack_times *times)
{
    member_time(&a->out, "asked", times->asked_ns);
    member_time(&a->out, "sent", times->sent_ns);
    member_time(&a->out, "answered", times->answered_ns);
    buf_str(&a->out, "}\n");
    a->lines++;
}

void acks_order(struct acks *a, const struct ack_order_line *line)
{
    struct buf *out = &a->out;

    if (a->fd < 0)
        return;
    buf_str(out, "{\"t\":\"order\"");
    member(out, "event", line->event);
    member(out, "item", line->item);
    member(out, "buyer", line->buyer);
    member(out, "key", line->key);
    member(out, "code", line->code);
    member(out, "status", line->status);
    member(out, "expires", line->expires);
    buf_printf(out, ",\"quantity\":%u", line->quantity);
    member_units(out, line->units, line->units_n);
    line_end(a, &line->times);
}

void acks_ask(struct acks *a, const struct ack_order_line *line)
{
    struct buf *out = &a->out;

    if (a->fd < 0 || !a->history)
        return;
    buf_str(out, "{\"t\":\"ask\"");
    member(out, "event", line->event);
    member(out, "item", line->item);
    member(out, "buyer", line->buyer);
    member(out, "key", line->key);
    buf_printf(out, ",\"quantity\":%u", line->quantity);
    line_end(a, &line->times);
}

void acks_sold_out(struct acks *a, const struct ack_order_line *line)
{
    struct buf *out = &a->out;

    if (a->fd < 0 || !a->history)
        return;
    buf_str(out, "{\"t\":\"sold-out\"");
    member(out, "event", line->event);
    member(out, "item", line->item);
    buf_printf(out, ",\"quantity\":%u,\"available\":%u", line->quantity, line->available);
    line_end(a, &line->times);
}

static void action(struct acks *a, const char *type, const char *event, const char *code)
{
    buf_printf(&a->out, "{\"t\":\"%s\"", type);
    member(&a->out, "event", slice_str(event));
    member(&a->out, "code", slice_str(code));
}

void acks_confirm(struct acks *a, const char *event, const char *code, const uint32_t *units,
                  uint32_t n, const struct ack_times *times)
{
    if (a->fd < 0)
        return;
    action(a, "confirm", event, code);
    member_units(&a->out, units, n);
    line_end(a, times);
}

void acks_action(struct acks *a, const char *type, const char *event, const char *code,
                 const struct ack_times *times)
{
    if (a->fd < 0)
        return;
    action(a, type, event, code);
    line_end(a, times);
}

void acks_flush(struct acks *a)
{
    size_t done = 0;

    if (a->out.failed)
        die("out of memory");
    while (done < a->out.n) {
        ssize_t n = write(a->fd, a->out.p + done, a->out.n - done);
        if (n < 0 && errno != EINTR)
            die("cannot write the acknowledgements: %s", strerror(errno));
        if (n > 0)
            done += (size_t)n;
    }
    buf_clear(&a->out);
}

void acks_close(struct acks *a)
{
    acks_flush(a);
    if (a->fd >= 0 && (fsync(a->fd) != 0 || close(a->fd) != 0))
        die("cannot write the acknowledgements: %s", strerror(errno));
    a->fd = -1;
    buf_free(&a->out);
}

/* ---- reading -------------------------------------------------------------------------------- */

struct loader {
    struct ack_record *r;
    const char *event;
    size_t cap;
    /* Actions are kept by code until all orders are known: their lines may come first. */
    struct action {
        char *code;
        uint32_t *units; /* of a confirm; ascending; owned */
        uint32_t units_n;
        char type; /* 'p' confirm, 'c' cancel; in capitals: asked */
    } * actions;
    size_t actions_n, actions_cap;
};

static char *text(const json_t *line, const char *name)
{
    const char *s = json_string_value(json_object_get(line, name));

    return xstrdup(s != NULL ? s : "");
}

static int64_t iso_seconds(const char *s)
{
    struct tm tm = {0};

    return s != NULL && strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) != NULL ? (int64_t)timegm(&tm) : 0;
}

static enum ack_status status_of(const char *s)
{
    if (s != NULL && strcmp(s, "expired") == 0)
        return ACK_EXPIRED;
    return s != NULL && strcmp(s, "canceled") == 0 ? ACK_CANCELED : ACK_LIVE;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* The line's units, ascending; the caller frees them. */
static uint32_t *units_of(const json_t *line, uint32_t *n)
{
    json_t *list = json_object_get(line, "units");
    uint32_t *units;

    *n = (uint32_t)json_array_size(list);
    units = xcalloc(*n + 1, sizeof *units);
    for (uint32_t i = 0; i < *n; i++)
        units[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    qsort(units, *n, sizeof *units, by_number);
    return units;
}

static void load_order(struct loader *l, const json_t *line)
{
    struct ack_order *o;

    if (l->r->orders_n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 1024;
        l->r->orders = xrealloc(l->r->orders, l->cap * sizeof *o);
    }
    o = &l->r->orders[l->r->orders_n++];
    *o = (struct ack_order){
        .code = text(line, "code"),
        .item = text(line, "item"),
        .buyer = text(line, "buyer"),
        .key = text(line, "key"),
        .quantity = (uint32_t)json_integer_value(json_object_get(line, "quantity")),
        .expires_s = iso_seconds(json_string_value(json_object_get(line, "expires"))),
        .status = status_of(json_string_value(json_object_get(line, "status"))),
    };
    o->units = units_of(line, &o->units_n);
    l->r->acknowledgements++;
}

static void load_action(struct loader *l, const json_t *line, char type)
{
    struct action *a;

    if (l->actions_n == l->actions_cap) {
        l->actions_cap = l->actions_cap ? l->actions_cap * 2 : 256;
        l->actions = xrealloc(l->actions, l->actions_cap * sizeof *l->actions);
    }
    a = &l->actions[l->actions_n++];
    *a = (struct action){.code = text(line, "code"), .type = type};
    a->units = units_of(line, &a->units_n);
}

static void load_line(struct loader *l, const char *bytes, size_t n)
{
    json_t *line = json_loadb(bytes, n, 0, NULL);
    const char *type = json_string_value(json_object_get(line, "t"));
    const char *event = json_string_value(json_object_get(line, "event"));

    if (type == NULL || event == NULL)
        l->r->bad_lines++;
    else if (strcmp(event, l->event) != 0)
        ;
    else if (strcmp(type, "order") == 0)
        load_order(l, line);
    else if (strcmp(type, "confirm") == 0)
        load_action(l, line, 'p');
    else if (strcmp(type, "cancel") == 0)
        load_action(l, line, 'c');
    else if (strcmp(type, "ask-confirm") == 0)
        load_action(l, line, 'P');
    else if (strcmp(type, "ask-cancel") == 0)
        load_action(l, line, 'C');
    json_decref(line);
}

static int by_code(const void *a, const void *b)
{
    return strcmp(((const struct ack_order *)a)->code, ((const struct ack_order *)b)->code);
}

static void order_free(struct ack_order *o)
{
    free(o->code);
    free(o->item);
    free(o->buyer);
    free(o->key);
    free(o->units);
}

static bool same_units(const struct ack_order *a, const struct ack_order *b)
{
    return a->units_n == b->units_n &&
           memcmp(a->units, b->units, a->units_n * sizeof *a->units) == 0;
}

static bool same_order(const struct ack_order *a, const struct ack_order *b)
{
    bool live = a->status == ACK_LIVE && b->status == ACK_LIVE;

    return strcmp(a->buyer, b->buyer) == 0 && strcmp(a->key, b->key) == 0 &&
           strcmp(a->item, b->item) == 0 && a->quantity == b->quantity &&
           (!live || same_units(a, b));
}

/* Keeps of two acknowledgements of one order the one that says more; frees the other. */
static void keep_fuller(struct ack_order *kept, struct ack_order *other)
{
    struct ack_order swap = *kept;

    if (kept->status != ACK_LIVE && other->status == ACK_LIVE) {
        *kept = *other;
        *other = swap;
    }
    if (kept->expires_s == 0)
        kept->expires_s = other->expires_s;
    order_free(other);
}

/* Sorts; a repeated acknowledgement (a replay of the same key) must say what the first one said,
 * but for units where the order had ended meanwhile. */
static void merge(struct ack_record *r)
{
    size_t kept = 0;

    if (r->orders_n > 0)
        qsort(r->orders, r->orders_n, sizeof *r->orders, by_code);
    for (size_t i = 0; i < r->orders_n; i++) {
        if (kept > 0 && strcmp(r->orders[kept - 1].code, r->orders[i].code) == 0) {
            if (!same_order(&r->orders[kept - 1], &r->orders[i]))
                r->contradictions++;
            keep_fuller(&r->orders[kept - 1], &r->orders[i]);
        } else {
            r->orders[kept++] = r->orders[i];
        }
    }
    r->orders_n = kept;
}

/* From now on the order has the units that its payment named. */
static void apply_confirm(struct ack_order *o, struct action *a)
{
    uint32_t *before = o->units;

    o->confirmed = true;
    if (a->units_n == 0)
        return;
    if (o->status == ACK_LIVE &&
        (a->units_n != o->units_n || memcmp(a->units, before, a->units_n * sizeof *before) != 0))
        o->retaken = true;
    o->status = ACK_LIVE;
    o->units = a->units;
    o->units_n = a->units_n;
    a->units = before;
}

static void apply_actions(struct loader *l)
{
    for (size_t i = 0; i < l->actions_n; i++) {
        struct action *a = &l->actions[i];
        struct ack_order *o = ack_record_find(l->r, a->code);

        if (o == NULL)
            l->r->bad_lines++;
        else if (a->type == 'p')
            apply_confirm(o, a);
        else if (a->type == 'P')
            o->confirm_asked = true;
        else if (a->type == 'c')
            o->canceled = true;
        else
            o->cancel_asked = true;
        free(a->code);
        free(a->units);
    }
    free(l->actions);
}

int ack_record_load(struct ack_record *r, const char *path, const char *event)
{
    struct loader l = {.r = r, .event = event};
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    *r = (struct ack_record){0};
    if (f == NULL)
        return -errno;
    while ((n = getline(&line, &cap, f)) > 0) {
        if (line[n - 1] == '\n')
            load_line(&l, line, (size_t)n);
    }
    free(line);
    fclose(f);
    merge(r);
    apply_actions(&l);
    return 0;
}

void ack_record_free(struct ack_record *r)
{
    for (size_t i = 0; i < r->orders_n; i++)
        order_free(&r->orders[i]);
    free(r->orders);
    *r = (struct ack_record){0};
}

struct ack_order *ack_record_find(const struct ack_record *r, const char *code)
{
    struct ack_order key = {.code = (char *)(uintptr_t)code};

    if (r->orders_n == 0)
        return NULL;
    return bsearch(&key, r->orders, r->orders_n, sizeof *r->orders, by_code);
}
