/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of bans in the master: a sorted array of pointers. A single ban costs a memmove of
 * pointers and, on publication, a new image, about 0.1 us a ban; a list of any length is merged in
 * one pass and published once.
 */
#include "config.h"

#include "table/ban_book.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#define HEADER "rushgate bans 1\n"

void ban_book_init(struct ban_book *b, uint32_t capacity)
{
    *b = (struct ban_book){.capacity = capacity, .free_n = capacity};
    b->free_cells = xmalloc(capacity * sizeof *b->free_cells);
    for (uint32_t i = 0; i < capacity; i++)
        b->free_cells[i] = capacity - 1 - i; /* cell 0 is taken first */
    random_bytes(&b->serial, sizeof b->serial);
}

void ban_book_fini(struct ban_book *b)
{
    ban_book_clear(b);
    free(b->all);
    free(b->free_cells);
    *b = (struct ban_book){0};
}

/* --- one ban --- */

static char *keep(char *to, struct slice from, struct slice *out)
{
    if (from.n > 0)
        memcpy(to, from.p, from.n);
    *out = slice_of(to, from.n);
    return to + from.n;
}

static struct ban *copy_of(const struct ban *from)
{
    struct ban *ban = xmalloc(sizeof *ban + from->what.identity.n + from->reason.n + from->who.n);
    char *at = (char *)(ban + 1);

    *ban = *from;
    at = keep(at, from->what.identity, &ban->what.identity);
    at = keep(at, from->reason, &ban->reason);
    keep(at, from->who, &ban->who);
    return ban;
}

static void drop(struct ban_book *b, struct ban *ban)
{
    b->free_cells[b->free_n++] = ban->cell;
    free(ban);
}

/* --- the list --- */

/* Index of the first that is not before the target. */
static size_t lower_bound(const struct ban_book *b, const struct ban_target *what)
{
    size_t lo = 0, hi = b->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ban_target_cmp(&b->all[mid]->what, what) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct ban *ban_book_find(const struct ban_book *b, const struct ban_target *what)
{
    size_t i = lower_bound(b, what);

    return i < b->n && ban_target_cmp(&b->all[i]->what, what) == 0 ? b->all[i] : NULL;
}

static int by_target(const void *a, const void *b)
{
    return ban_target_cmp(&((const struct ban *)a)->what, &((const struct ban *)b)->what);
}

/* Sorted, each target once. */
static size_t tidy(struct ban *list, size_t n)
{
    size_t kept = 0;

    qsort(list, n, sizeof *list, by_target);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || by_target(&list[kept - 1], &list[i]) != 0)
            list[kept++] = list[i];
    return kept;
}

static size_t count_new(const struct ban_book *b, const struct ban *list, size_t n)
{
    size_t fresh = 0;

    for (size_t i = 0; i < n; i++)
        fresh += ban_book_find(b, &list[i].what) == NULL;
    return fresh;
}

static struct ban *replaced(struct ban *old, const struct ban *by)
{
    struct ban *ban = copy_of(by);

    ban->cell = old->cell;
    ban->serial = old->serial;
    free(old);
    return ban;
}

static struct ban *numbered(struct ban_book *b, const struct ban *by)
{
    struct ban *ban = copy_of(by);

    ban->cell = b->free_cells[--b->free_n];
    ban->serial = b->serial++;
    return ban;
}

int ban_book_put(struct ban_book *b, struct ban *list, size_t n, size_t *added)
{
    struct ban **merged;
    size_t old = 0, out = 0;

    *added = 0;
    if (n == 0)
        return 0;
    n = tidy(list, n);
    *added = count_new(b, list, n);
    if (*added > b->free_n)
        return -ENOSPC;
    b->room = b->n + *added;
    merged = xmalloc(b->room * sizeof(struct ban *));
    for (size_t i = 0; i < n; i++) {
        int order = 1;
        while (old < b->n && (order = ban_target_cmp(&b->all[old]->what, &list[i].what)) < 0)
            merged[out++] = b->all[old++];
        merged[out++] =
            old < b->n && order == 0 ? replaced(b->all[old++], &list[i]) : numbered(b, &list[i]);
    }
    while (old < b->n)
        merged[out++] = b->all[old++];
    free(b->all);
    b->all = merged;
    b->n = out;
    return 0;
}

bool ban_book_remove(struct ban_book *b, const struct ban_target *what)
{
    size_t i = lower_bound(b, what);

    if (i == b->n || ban_target_cmp(&b->all[i]->what, what) != 0)
        return false;
    drop(b, b->all[i]);
    memmove(&b->all[i], &b->all[i + 1], (b->n - i - 1) * sizeof(struct ban *));
    b->n--;
    return true;
}

void ban_book_clear(struct ban_book *b)
{
    while (b->n > 0)
        drop(b, b->all[--b->n]);
}

size_t ban_book_expire(struct ban_book *b, uint64_t now_ns)
{
    size_t kept = 0, before = b->n;

    for (size_t i = 0; i < b->n; i++)
        if (b->all[i]->until_ns <= now_ns)
            drop(b, b->all[i]);
        else
            b->all[kept++] = b->all[i];
    b->n = kept;
    return before - kept;
}

uint64_t ban_book_next_expiry(const struct ban_book *b)
{
    uint64_t next = BAN_NEVER;

    for (size_t i = 0; i < b->n; i++)
        next = b->all[i]->until_ns < next ? b->all[i]->until_ns : next;
    return next;
}

int ban_book_publish(const struct ban_book *b, struct ban_zone *z)
{
    struct ban_entry *entries = xmalloc((b->n + 1) * sizeof *entries);
    uint64_t *words;
    size_t n;
    int rc;

    for (size_t i = 0; i < b->n; i++)
        entries[i] = (struct ban_entry){.what = b->all[i]->what,
                                        .allow = b->all[i]->allow,
                                        .until_ns = b->all[i]->until_ns,
                                        .cell = b->all[i]->cell,
                                        .serial = b->all[i]->serial};
    words = ban_image_build(entries, b->n, z->seed, &n);
    rc = ban_publish(z, words, n);
    free(words);
    free(entries);
    return rc;
}

/* --- as text --- */

static void write_time(struct buf *out, uint64_t ns)
{
    char text[CLOCK_ISO_MAX];

    if (ns == BAN_NEVER) {
        buf_str(out, "never");
        return;
    }
    clock_iso8601(ns, 1, text);
    buf_str(out, text);
}

void ban_book_write(const struct ban_book *b, struct buf *out)
{
    size_t start = out->n;
    char what[BAN_TEXT_MAX];

    buf_str(out, HEADER);
    for (size_t i = 0; i < b->n; i++) {
        const struct ban *ban = b->all[i];
        buf_add(out, what, ban_target_text(&ban->what, what));
        buf_char(out, '\t');
        write_time(out, ban->since_ns);
        buf_char(out, '\t');
        write_time(out, ban->until_ns);
        buf_str(out, ban->allow ? "\tallow\t" : "\tdeny\t");
        buf_slice(out, ban->who);
        buf_char(out, '\t');
        buf_slice(out, ban->reason);
        buf_char(out, '\n');
    }
    buf_printf(out, "end %zu %016" PRIx64 "\n", b->n,
               hash64(slice_of(out->p + start, out->n - start), 0));
}

static bool read_time(struct slice s, uint64_t *ns)
{
    char text[CLOCK_ISO_MAX];
    struct tm tm = {0};
    const char *end;
    uint64_t ms;

    *ns = BAN_NEVER;
    if (slice_eq(s, SLICE_LIT("never")))
        return true;
    if (s.n != sizeof "2026-11-03T12:00:00.000Z" - 1)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (end == NULL || *end != '.' || !slice_to_u64(slice_of(end + 1, 3), &ms) || end[4] != 'Z')
        return false;
    *ns = (uint64_t)timegm(&tm) * NS_PER_S + ms * NS_PER_MS;
    return true;
}

/* Next field of a line, up to sep or the end. */
static struct slice field(struct slice *rest, char sep)
{
    size_t n = slice_find(*rest, sep), skip = n < rest->n ? n + 1 : n;
    struct slice f = slice_of(rest->p, n);

    *rest = slice_of(rest->p + skip, rest->n - skip);
    return f;
}

static bool read_line(struct slice line, struct ban *out)
{
    struct buf why = {0};
    struct slice verb;
    bool ok = ban_target_parse(field(&line, '\t'), &out->what, &why) &&
              read_time(field(&line, '\t'), &out->since_ns) &&
              read_time(field(&line, '\t'), &out->until_ns);

    verb = field(&line, '\t');
    out->allow = slice_eq(verb, SLICE_LIT("allow"));
    out->who = field(&line, '\t');
    out->reason = line;
    ok = ok && (out->allow || slice_eq(verb, SLICE_LIT("deny"))) && out->who.n <= BAN_WHO_MAX &&
         ban_reason_check(out->reason, &why);
    buf_free(&why);
    return ok;
}

/* The last line vouches for all before it. *body: the lines between; their number. */
static bool whole(struct slice text, struct slice *body, uint64_t *lines)
{
    char expected[64];
    struct slice end;
    size_t at = text.n;

    if (!slice_starts(text, SLICE_LIT(HEADER)) || text.p[text.n - 1] != '\n')
        return false;
    for (at--; at > 0 && text.p[at - 1] != '\n';)
        at--;
    end = slice_of(text.p + at, text.n - at);
    if (!slice_starts(end, SLICE_LIT("end ")))
        return false;
    end = slice_of(end.p + 4, end.n - 4);
    if (!slice_to_u64(field(&end, ' '), lines))
        return false;
    snprintf(expected, sizeof expected, "%016" PRIx64 "\n", hash64(slice_of(text.p, at), 0));
    *body = slice_of(text.p + sizeof HEADER - 1, at - (sizeof HEADER - 1));
    return slice_eq(end, slice_str(expected));
}

static struct ban *read_lines(struct slice body, uint64_t lines, uint64_t now_ns, size_t *n,
                              struct buf *why)
{
    struct ban *list = xcalloc(lines + 1, sizeof *list);
    uint64_t seen = 0;

    *n = 0;
    for (; body.n > 0 && seen < lines; seen++) {
        if (!read_line(field(&body, '\n'), &list[*n])) {
            buf_printf(why, "line %" PRIu64 " is no ban", seen + 2);
            free(list);
            return NULL;
        }
        *n += list[*n].until_ns > now_ns;
    }
    if (seen == lines && body.n == 0)
        return list;
    buf_str(why, "lines are missing or too many");
    free(list);
    return NULL;
}

bool ban_book_read(struct ban_book *b, struct slice text, uint64_t now_ns, struct buf *why)
{
    struct slice body;
    struct ban *list;
    uint64_t lines;
    size_t n, added;
    int rc;

    CHECK(b->n == 0);
    if (!whole(text, &body, &lines) || lines > body.n) {
        buf_str(why, "it is not whole: its first or last line, or its sum, is wrong");
        return false;
    }
    list = read_lines(body, lines, now_ns, &n, why);
    if (list == NULL)
        return false;
    rc = ban_book_put(b, list, n, &added);
    free(list);
    if (rc < 0)
        buf_printf(why, "more than %u bans", b->capacity);
    return rc == 0;
}
