/* SPDX-License-Identifier: BSD-2-Clause */
#include "audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

static void finding(struct audit *a, uint64_t *counter, uint64_t n, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void finding(struct audit *a, uint64_t *counter, uint64_t n, const char *fmt, ...)
{
    va_list ap;

    *counter += n;
    if (a->findings++ >= AUDIT_FINDINGS)
        return;
    fputs("audit: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static bool live(const struct store_order *o)
{
    return o->status == STORE_PENDING || o->status == STORE_PAID;
}

/* ---- acknowledged against stored ------------------------------------------------------------ */

static bool same_units(const struct ack_order *ack, const struct store_order *o)
{
    return ack->units_n == o->units_n &&
           memcmp(ack->units, o->units, ack->units_n * sizeof *ack->units) == 0;
}

/*
 * A payment whose answer was lost may have come after the hold was over: then the order has what
 * was free, and the units that were told are others' since.
 */
static bool moved(const struct ack_order *ack, const struct store_order *o, int64_t now_s)
{
    return ack->confirm_asked && !ack->confirmed && o->status == STORE_PAID &&
           ack->expires_s != 0 && ack->expires_s <= now_s && !same_units(ack, o);
}

static const char *difference(const struct ack_order *ack, const struct store_order *o,
                              int64_t now_s)
{
    if (strcmp(ack->buyer, o->buyer) != 0)
        return "has another buyer";
    if (strcmp(ack->key, o->key) != 0)
        return "has another key";
    if (strcmp(ack->item, o->item) != 0)
        return "is for another item";
    /* The units of an order that ended are free again, and an answer after that names none. */
    if (ack->quantity != o->quantity ||
        ack->units_n != (ack->status == ACK_LIVE ? ack->quantity : 0))
        return "has another quantity";
    if (ack->status == ACK_LIVE && live(o) && !same_units(ack, o) && !moved(ack, o, now_s))
        return "has other units";
    return NULL;
}

/* What may have become of an acknowledged order. */
static const char *bad_status(const struct ack_order *ack, const struct store_order *o,
                              int64_t now_s)
{
    if (ack->confirmed && o->status != STORE_PAID)
        return "was confirmed and is not paid";
    if (ack->retaken && (ack->expires_s == 0 || ack->expires_s > now_s))
        return "was paid with other units before its time was over";
    if (ack->canceled && o->status != STORE_CANCELED)
        return "was canceled and is not";
    if (o->status == STORE_CANCELED && !ack->canceled && !ack->cancel_asked)
        return "is canceled and nobody asked for it";
    /* Of an order whose first answer was lost its time is not known; a later one may say that it is
     * over. */
    if (o->status == STORE_EXPIRED && ack->expires_s == 0 && ack->status != ACK_EXPIRED)
        return "is expired and no time was given";
    if (o->status == STORE_EXPIRED && ack->expires_s > now_s)
        return "is expired before its time";
    return NULL;
}

static void check_acknowledged(struct audit *a, const struct ack_record *acks,
                               const struct store_view *store, int64_t now_s)
{
    for (size_t i = 0; i < acks->orders_n; i++) {
        const struct ack_order *ack = &acks->orders[i];
        const struct store_order *o = store_view_find(store, ack->code);
        const char *wrong;

        if (o == NULL) {
            finding(a, &a->lost, 1, "lost: order %s of %s is not in the store", ack->code,
                    ack->buyer);
            continue;
        }
        wrong = difference(ack, o, now_s);
        if (wrong == NULL)
            wrong = bad_status(ack, o, now_s);
        if (wrong != NULL)
            finding(a, &a->lost, 1, "lost: order %s of %s %s", ack->code, ack->buyer, wrong);
    }
    if (acks->contradictions > 0)
        finding(a, &a->lost, acks->contradictions, "lost: repeated answers for one order differ");
    if (acks->bad_lines > 0)
        finding(a, &a->lost, acks->bad_lines, "lost: lines of the record make no sense");
}

static int by_buyer_key(const void *x, const void *y)
{
    const struct ack_order *a = *(const struct ack_order *const *)x;
    const struct ack_order *b = *(const struct ack_order *const *)y;
    int c = strcmp(a->buyer, b->buyer);

    return c != 0 ? c : strcmp(a->key, b->key);
}

/* One key, one order: whatever happened to it. */
static void check_acknowledged_keys(struct audit *a, const struct ack_record *acks)
{
    const struct ack_order **sorted = xcalloc(acks->orders_n + 1, sizeof *sorted);

    for (size_t i = 0; i < acks->orders_n; i++)
        sorted[i] = &acks->orders[i];
    qsort(sorted, acks->orders_n, sizeof *sorted, by_buyer_key);
    for (size_t i = 1; i < acks->orders_n; i++) {
        if (by_buyer_key(&sorted[i - 1], &sorted[i]) == 0)
            finding(a, &a->duplicates, 1, "duplicate: %s was acknowledged two orders for key %s",
                    sorted[i]->buyer, sorted[i]->key);
    }
    free(sorted);
}

/* ---- units ---------------------------------------------------------------------------------- */

struct unit_use {
    const char *item, *code;
    uint32_t unit;
};

struct unit_list {
    struct unit_use *p; /* owned */
    size_t n, cap;
};

static void unit_add(struct unit_list *l, const char *item, const char *code, const uint32_t *units,
                     uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (l->n == l->cap) {
            l->cap = l->cap ? l->cap * 2 : 1024;
            l->p = xrealloc(l->p, l->cap * sizeof *l->p);
        }
        l->p[l->n++] = (struct unit_use){item, code, units[i]};
    }
}

static int by_unit(const void *x, const void *y)
{
    const struct unit_use *a = x, *b = y;
    int c = strcmp(a->item, b->item);

    return c != 0 ? c : (a->unit > b->unit) - (a->unit < b->unit);
}

static void check_units(struct audit *a, struct unit_list *l, const char *where)
{
    if (l->n > 0)
        qsort(l->p, l->n, sizeof *l->p, by_unit);
    for (size_t i = 1; i < l->n; i++) {
        if (by_unit(&l->p[i - 1], &l->p[i]) == 0)
            finding(a, &a->duplicates, 1, "duplicate: unit %u of %s is in orders %s and %s (%s)",
                    l->p[i].unit, l->p[i].item, l->p[i - 1].code, l->p[i].code, where);
    }
    free(l->p);
}

/* An acknowledged unit that may be free again is left out; the store has the last word on those. */
static void check_acknowledged_units(struct audit *a, const struct ack_record *acks,
                                     const struct store_view *store, int64_t now_s)
{
    struct unit_list l = {0};

    for (size_t i = 0; i < acks->orders_n; i++) {
        const struct ack_order *ack = &acks->orders[i];
        const struct store_order *o = store_view_find(store, ack->code);
        bool ended = o != NULL && (!live(o) || moved(ack, o, now_s));

        if (!ended && !ack->canceled)
            unit_add(&l, ack->item, ack->code, ack->units, ack->units_n);
    }
    check_units(a, &l, "acknowledged");
}

static void check_stored_units(struct audit *a, const struct store_view *store)
{
    struct unit_list l = {0};

    for (size_t i = 0; i < store->orders_n; i++) {
        const struct store_order *o = &store->orders[i];

        unit_add(&l, o->item, o->code, o->units, o->units_n);
        if (o->units_n != (live(o) ? o->quantity : 0))
            finding(a, &a->oversold, 1, "conservation: order %s asks for %u units and holds %u",
                    o->code, o->quantity, o->units_n);
    }
    if (store->stray_units > 0)
        finding(a, &a->oversold, store->stray_units, "conservation: units without an order");
    check_units(a, &l, "store");
}

static void check_item(struct audit *a, const struct store_view *store,
                       const struct store_item *item)
{
    int64_t used = 0;

    for (size_t i = 0; i < store->orders_n; i++) {
        const struct store_order *o = &store->orders[i];

        if (strcmp(o->item, item->slug) != 0)
            continue;
        used += o->units_n;
        a->paid += o->status == STORE_PAID ? o->units_n : 0;
        for (uint32_t u = 0; u < o->units_n; u++) {
            if (o->units[u] >= item->quota)
                finding(a, &a->oversold, 1, "oversold: unit %u of %s is beyond the quota %lld",
                        o->units[u], item->slug, (long long)item->quota);
        }
    }
    a->quota += item->quota;
    a->sold += used;
    if (used > item->quota)
        finding(a, &a->oversold, (uint64_t)(used - item->quota), "oversold: %lld of %lld of %s",
                (long long)used, (long long)item->quota, item->slug);
    else
        a->free += item->quota - used;
}

/* ---- keys and limits in the store ----------------------------------------------------------- */

static int by_stored_key(const void *x, const void *y)
{
    const struct store_order *a = *(const struct store_order *const *)x;
    const struct store_order *b = *(const struct store_order *const *)y;
    int c = strcmp(a->buyer, b->buyer);

    return c != 0 ? c : strcmp(a->key, b->key);
}

static void check_buyers(struct audit *a, const struct store_view *store)
{
    const struct store_order **sorted = xcalloc(store->orders_n + 1, sizeof *sorted);
    size_t n = 0;
    uint64_t held = 0;

    for (size_t i = 0; i < store->orders_n; i++) {
        if (live(&store->orders[i]))
            sorted[n++] = &store->orders[i];
    }
    qsort(sorted, n, sizeof *sorted, by_stored_key);
    for (size_t i = 0; i < n; i++) {
        bool same = i > 0 && strcmp(sorted[i - 1]->buyer, sorted[i]->buyer) == 0;
        bool last = i + 1 == n || strcmp(sorted[i + 1]->buyer, sorted[i]->buyer) != 0;

        held = (same ? held : 0) + sorted[i]->units_n;
        if (same && strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            finding(a, &a->duplicates, 1, "duplicate: %s has two live orders for key %s",
                    sorted[i]->buyer, sorted[i]->key);
        if (last && store->max_per_buyer > 0 && held > store->max_per_buyer)
            finding(a, &a->over_limit, 1, "over limit: %s has %llu units of at most %u",
                    sorted[i]->buyer, (unsigned long long)held, store->max_per_buyer);
    }
    free(sorted);
}

/* ---- the whole ------------------------------------------------------------------------------ */

void audit_compare(struct audit *a, const struct ack_record *acks, const struct store_view *store,
                   int64_t now_s)
{
    *a = (struct audit){.acknowledged = acks->orders_n};
    check_acknowledged(a, acks, store, now_s);
    check_acknowledged_keys(a, acks);
    check_acknowledged_units(a, acks, store, now_s);
    check_stored_units(a, store);
    for (size_t i = 0; i < store->items_n; i++)
        check_item(a, store, &store->items[i]);
    check_buyers(a, store);
    for (size_t i = 0; i < store->orders_n; i++) {
        const struct store_order *o = &store->orders[i];

        a->ordered += o->quantity;
        a->given_back += live(o) ? 0 : o->quantity;
        if (ack_record_find(acks, o->code) == NULL) {
            a->unanswered += o->quantity;
            a->unacknowledged += live(o);
        }
    }
    if (a->findings > AUDIT_FINDINGS)
        fprintf(stderr, "audit: %u more findings\n", a->findings - AUDIT_FINDINGS);
}

bool audit_files(struct audit *a, const char *acks, const char *store, const char *event,
                 uint32_t ahead_s)
{
    struct ack_record record;
    struct store_view view;
    int rc = ack_record_load(&record, acks, event);

    if (rc != 0) {
        fprintf(stderr, "stampede: %s: %s\n", acks, strerror(-rc));
        return false;
    }
    if (!store_view_load(&view, store, event)) {
        ack_record_free(&record);
        return false;
    }
    audit_compare(a, &record, &view, (int64_t)time(NULL) + ahead_s);
    store_view_free(&view);
    ack_record_free(&record);
    return true;
}

bool audit_clean(const struct audit *a)
{
    return a->oversold == 0 && a->duplicates == 0 && a->lost == 0 && a->over_limit == 0;
}

void audit_json(const struct audit *a, json_t *obj)
{
    const struct {
        const char *name;
        int64_t n;
    } fields[] = {
        {"quota", a->quota},
        {"ordered", a->ordered},
        {"unanswered", a->unanswered},
        {"given_back", a->given_back},
        {"sold", a->sold},
        {"paid", a->paid},
        {"held", a->sold - a->paid},
        {"free", a->free},
        {"oversold", (int64_t)a->oversold},
        {"duplicates", (int64_t)a->duplicates},
        {"lost", (int64_t)a->lost},
        {"over_limit", (int64_t)a->over_limit},
        {"acknowledged", (int64_t)a->acknowledged},
        {"unacknowledged", (int64_t)a->unacknowledged},
    };

    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++)
        json_object_set_new(obj, fields[i].name, json_integer(fields[i].n));
    json_object_set_new(obj, "clean", json_boolean(audit_clean(a)));
}
