/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/stock.h"

#include <stdlib.h>

#include "base/check.h"

static uint32_t words(uint32_t quota)
{
    return quota / 64 + (quota % 64 != 0);
}

bool stock_init(struct stock *s, uint32_t quota)
{
    *s = (struct stock){.quota = quota, .top = STOCK_NONE};
    /* Large ones are fresh pages from the kernel, so that a quota costs memory only as it sells. */
    s->next = calloc(quota, sizeof *s->next);
    s->used = calloc(words(quota), sizeof *s->used);
    if (s->next != NULL && s->used != NULL)
        return true;
    stock_fini(s);
    return false;
}

void stock_fini(struct stock *s)
{
    free(s->next);
    free(s->used);
    *s = (struct stock){.top = STOCK_NONE};
}

static bool is_out(const struct stock *s, uint32_t unit)
{
    return s->used[unit / 64] >> (unit % 64) & 1;
}

static void mark(struct stock *s, uint32_t unit)
{
    CHECK(unit < s->quota && !is_out(s, unit));
    s->used[unit / 64] |= UINT64_C(1) << (unit % 64);
}

static void unmark(struct stock *s, uint32_t unit)
{
    CHECK(unit < s->quota && is_out(s, unit));
    s->used[unit / 64] &= ~(UINT64_C(1) << (unit % 64));
}

uint32_t stock_take(struct stock *s, uint32_t n, uint32_t *out)
{
    uint32_t fresh = s->quota - s->cursor < n ? s->quota - s->cursor : n;

    CHECK(n > 0 && n <= stock_free(s));
    for (uint32_t i = 0; i < n; i++) {
        if (i < fresh) {
            out[i] = s->cursor++;
        } else {
            out[i] = s->top;
            s->top = s->next[s->top];
            s->returned--;
        }
        mark(s, out[i]);
        if (i > 0)
            s->next[out[i - 1]] = out[i];
    }
    s->next[out[n - 1]] = STOCK_NONE;
    return fresh;
}

void stock_untake(struct stock *s, const uint32_t *units, uint32_t n, uint32_t fresh)
{
    while (n-- > 0) {
        unmark(s, units[n]);
        if (n < fresh) {
            CHECK(units[n] == s->cursor - 1);
            s->cursor--;
        } else {
            s->next[units[n]] = s->top;
            s->top = units[n];
            s->returned++;
        }
    }
}

void stock_give(struct stock *s, uint32_t first, uint32_t n)
{
    uint32_t last = first;

    unmark(s, first);
    for (uint32_t i = 1; i < n; i++) {
        last = s->next[last];
        unmark(s, last);
    }
    CHECK(s->next[last] == STOCK_NONE);
    s->next[last] = s->top;
    s->top = first;
    s->returned += n;
}

void stock_ungive(struct stock *s, uint32_t first, uint32_t n)
{
    uint32_t last = first;

    CHECK(s->top == first && s->returned >= n);
    mark(s, first);
    for (uint32_t i = 1; i < n; i++) {
        last = s->next[last];
        mark(s, last);
    }
    s->top = s->next[last];
    s->next[last] = STOCK_NONE;
    s->returned -= n;
}

bool stock_load(struct stock *s, uint32_t unit, uint32_t first)
{
    if (unit >= s->quota || is_out(s, unit))
        return false;
    mark(s, unit);
    s->next[unit] = first;
    if (unit >= s->cursor)
        s->cursor = unit + 1;
    return true;
}

void stock_load_end(struct stock *s)
{
    for (uint32_t unit = s->cursor; unit-- > 0;)
        if (!is_out(s, unit)) {
            s->next[unit] = s->top;
            s->top = unit;
            s->returned++;
        }
}

uint32_t stock_count(const struct stock *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0, end = words(s->quota); i < end; i++)
        n += (uint32_t)__builtin_popcountll(s->used[i]);
    return n;
}
