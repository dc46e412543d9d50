/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/event.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

static bool slug_ok(struct slice s)
{
    if (s.n == 0 || s.n > EVENT_SLUG_MAX || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

/* Digits, then perhaps a point and two to four more. */
static bool price_ok(struct slice s)
{
    size_t dot = slice_find(s, '.');

    if (dot == 0 || s.n > EVENT_PRICE_MAX || (dot > 1 && s.p[0] == '0'))
        return false;
    if (dot < s.n && (s.n - dot < 3 || s.n - dot > 5))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (i != dot && (s.p[i] < '0' || s.p[i] > '9'))
            return false;
    return true;
}

static bool currency_ok(struct slice s)
{
    if (s.n != 3)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 'A' || s.p[i] > 'Z')
            return false;
    return true;
}

static bool name_ok(struct slice s)
{
    if (s.n > EVENT_NAME_MAX)
        return false;
    for (size_t i = 0, n; i < s.n; i += n) {
        n = utf8_len(slice_of(s.p + i, s.n - i));
        if (n == 0 || s.p[i] == '\0')
            return false;
    }
    return true;
}

static const char *item_wrong(const struct item_spec *it, const char **field)
{
    if (*field = "item", !slug_ok(it->slug))
        return "must be 1 to 63 of a-z, 0-9 and -, not beginning with -";
    if (*field = "name", !name_ok(it->name))
        return "must be at most 255 bytes of UTF-8";
    if (*field = "price", !price_ok(it->price))
        return "must be a decimal such as \"88.00\", with none or 2 to 4 decimals, at most 15 "
               "characters";
    if (*field = "currency", !currency_ok(it->currency))
        return "must be three capitals (ISO 4217)";
    if (*field = "quota", it->quota == 0 || it->quota > EVENT_QUOTA_MAX)
        return "must be 1 to 16777216";
    return NULL;
}

static const char *event_wrong(const struct event_spec *s, const char **field)
{
    if (*field = "slug", !slug_ok(s->slug))
        return "must be 1 to 63 of a-z, 0-9 and -, not beginning with -";
    if (*field = "name", !name_ok(s->name))
        return "must be at most 255 bytes of UTF-8";
    if (*field = "presale_end", s->presale_end_ns != 0 && s->presale_end_ns <= s->presale_start_ns)
        return "must be after presale_start";
    if (*field = "max_per_buyer", s->max_per_buyer > INT32_MAX)
        return "must not be negative";
    if (*field = "hold",
        s->hold_ns < UINT64_C(1000000000) || s->hold_ns > EVENT_HOLD_MAX_S * UINT64_C(1000000000))
        return "must be 1 s to 24 h";
    if (*field = "items", s->items_n == 0 || s->items_n > EVENT_ITEMS_MAX)
        return "must be 1 to 64";
    return NULL;
}

static bool item_is_double(const struct event_spec *s, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (slice_eq(s->items[i].slug, s->items[at].slug))
            return true;
    return false;
}

bool event_spec_check(const struct event_spec *spec, struct spec_error *err)
{
    const char *field;

    err->message = event_wrong(spec, &field);
    if (err->message != NULL) {
        snprintf(err->field, sizeof err->field, "%s", field);
        return false;
    }
    for (uint32_t i = 0; i < spec->items_n; i++) {
        err->message = item_wrong(&spec->items[i], &field);
        if (err->message == NULL && item_is_double(spec, i)) {
            field = "item";
            err->message = "is there twice";
        }
        if (err->message != NULL) {
            snprintf(err->field, sizeof err->field, "items[%u].%s", i, field);
            return false;
        }
    }
    return true;
}

static bool copy(struct slice *to, struct slice from)
{
    char *p = malloc(from.n + 1);

    if (p == NULL)
        return false;
    if (from.n > 0)
        memcpy(p, from.p, from.n);
    p[from.n] = '\0';
    *to = slice_of(p, from.n);
    return true;
}

static bool item_fill(struct item *it, struct sale_event *e, const struct item_spec *spec)
{
    it->event = e;
    return copy(&it->slug, spec->slug) && copy(&it->name, spec->name) &&
           copy(&it->price, spec->price) && copy(&it->currency, spec->currency) &&
           stock_init(&it->stock, spec->quota);
}

struct sale_event *sale_event_new(const struct event_spec *spec)
{
    struct sale_event *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->presale_start_ns = spec->presale_start_ns;
    e->presale_end_ns = spec->presale_end_ns;
    e->hold_ns = spec->hold_ns;
    e->max_per_buyer = spec->max_per_buyer;
    e->state = e->shown_state = SALE_OPEN;
    e->items = calloc(spec->items_n, sizeof *e->items);
    e->items_n = e->items == NULL ? 0 : spec->items_n;
    bool ok = e->items != NULL && copy(&e->slug, spec->slug) && copy(&e->name, spec->name);
    for (uint32_t i = 0; ok && i < e->items_n; i++)
        ok = item_fill(&e->items[i], e, &spec->items[i]);
    if (!ok)
        sale_event_free(&e);
    return e;
}

static void slice_free(struct slice *s)
{
    free((char *)(uintptr_t)s->p);
    *s = SLICE_NONE;
}

void sale_event_free(struct sale_event **ep)
{
    struct sale_event *e = *ep;

    *ep = NULL;
    if (e == NULL)
        return;
    for (uint32_t i = 0; i < e->items_n; i++) {
        struct item *it = &e->items[i];
        slice_free(&it->slug);
        slice_free(&it->name);
        slice_free(&it->price);
        slice_free(&it->currency);
        stock_fini(&it->stock);
    }
    free(e->items);
    slice_free(&e->slug);
    slice_free(&e->name);
    free(e);
}

struct item *event_item(const struct sale_event *e, struct slice slug)
{
    for (uint32_t i = 0; i < e->items_n; i++)
        if (slice_eq(e->items[i].slug, slug))
            return &e->items[i];
    return NULL;
}

void item_total(const struct item *it, uint32_t quantity, char out[EVENT_TOTAL_MAX])
{
    uint64_t minor = 0;
    size_t decimals = 0, n = 0, len;
    char digits[24];

    /* event_spec_check bounded the price to 15 digits and callers bound the quantity to 100. */
    for (size_t i = 0; i < it->price.n; i++) {
        if (it->price.p[i] == '.')
            decimals = it->price.n - i - 1;
        else
            minor = minor * 10 + (uint64_t)(it->price.p[i] - '0');
    }
    len = fmt_u64(digits, minor * quantity);
    for (; len <= decimals; len++) {
        memmove(digits + 1, digits, len);
        digits[0] = '0';
    }
    for (size_t i = 0; i < len; i++) {
        if (i == len - decimals && decimals > 0)
            out[n++] = '.';
        out[n++] = digits[i];
    }
    out[n] = '\0';
}
