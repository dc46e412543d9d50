/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands about bans. What was typed is checked here, all of it before anything changes; the list
 * is the master's (ctl_ops). */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "ctl/attachment.h"
#include "ctl/request.h"
#include "table/ban_book.h"

#define ROWS_MAX 10000u

/* --- what was typed --- */

/* All arguments as targets; false: refused, r is gone. */
static bool read_targets(struct ctl_request *r, struct ban_target out[CTL_ARGS_MAX])
{
    struct buf why = {0};

    for (unsigned i = 0; i < r->inv.args_n; i++) {
        if (ban_target_parse(slice_str(r->inv.args[i]), &out[i], &why))
            continue;
        ctl_refuse(r, CTL_USAGE, "", "%s", buf_cstr(&why));
        buf_free(&why);
        return false;
    }
    return true;
}

/* What the flags say of every ban of the command. */
static bool read_terms(struct ctl_request *r, struct ban *out, char who[BAN_WHO_MAX])
{
    const char *reason = r->inv.flag[CTL_FLAG_REASON], *time = r->inv.flag[CTL_FLAG_FOR];
    uint64_t now = clock_real_ns(), ns = 0;
    struct buf why = {0};

    *out = (struct ban){.since_ns = now, .until_ns = BAN_NEVER};
    out->reason = slice_str(reason != NULL ? reason : "");
    out->allow = r->inv.flag[CTL_FLAG_ALLOW] != NULL;
    out->who = slice_of(who, (size_t)snprintf(who, BAN_WHO_MAX, "uid %u", (unsigned)r->peer.uid));
    if (!ban_reason_check(out->reason, &why)) {
        ctl_refuse(r, CTL_USAGE, "", "--reason: %s", buf_cstr(&why));
        buf_free(&why);
        return false;
    }
    if (time != NULL && (!ctl_duration(time, &ns) || ns == 0)) {
        ctl_refuse(r, CTL_USAGE, "without --for it has no end", "--for: a ban of %s", time);
        return false;
    }
    if (ns > 0)
        out->until_ns = (now + ns + NS_PER_MS - 1) / NS_PER_MS * NS_PER_MS;
    return true;
}

/* --- answers --- */

static json_t *target_json(const struct ban_target *what)
{
    char text[BAN_TEXT_MAX];
    size_t n = ban_target_text(what, text);

    return ctl_text(slice_of(text, n));
}

static json_t *until_json(uint64_t until_ns)
{
    return until_ns == BAN_NEVER ? json_null() : ctl_time(until_ns);
}

/* Done, but: where the file could not be written the answer says so. */
static void answer(struct ctl_request *r, const char *name, json_t *data, struct buf *why)
{
    json_t *doc = ctl_document(r->ctl, name, data);

    if (why->n > 0)
        ctl_document_warn(doc,
                          "in force, but it would not survive a restart: %s; it is tried again",
                          buf_cstr(why));
    buf_free(why);
    ctl_answer(r, doc);
}

static const struct ban_book *book_of(const struct ctl_request *r)
{
    return r->ctl->cfg.ops->bans(r->ctl->cfg.arg);
}

/* For the audit log: the state of a target, before or after. */
static void state_text(const struct ban *ban, struct buf *out)
{
    char until[CLOCK_ISO_MAX];

    if (ban == NULL)
        return;
    buf_str(out, ban->allow ? "allow" : "deny");
    if (ban->until_ns == BAN_NEVER)
        return;
    clock_iso8601(ban->until_ns, 0, until);
    buf_printf(out, " until %s", until);
}

static void note_change(struct ctl_request *r, const struct ban_target *what,
                        const struct ban *after)
{
    char target[BAN_TEXT_MAX];
    struct buf old = {0}, new = {0};

    ban_target_text(what, target);
    state_text(ban_book_find(book_of(r), what), &old);
    state_text(after, &new);
    ctl_audit_change(r, target, buf_cstr(&old), buf_cstr(&new));
    buf_free(&old);
    buf_free(&new);
}

/* --- add --- */

static void put(struct ctl_request *r, const char *name, struct ban *list, size_t n,
                const struct ban *terms)
{
    const struct ctl_config *cfg = &r->ctl->cfg;
    struct buf why = {0};
    size_t added;
    json_t *data;

    if (cfg->ops->ban_put(cfg->arg, list, n, &added, &why) < 0) {
        ctl_refuse(r, CTL_REFUSED, "rushctl show bans lists them",
                   "there is no room for %zu bans; nothing changed", n);
        return;
    }
    data = json_object();
    json_object_set_new(data, "added", json_integer((json_int_t)added));
    json_object_set_new(data, "bans", json_integer((json_int_t)book_of(r)->n));
    json_object_set_new(data, "until", until_json(terms->until_ns));
    answer(r, name, data, &why);
}

void ctl_do_BAN_ADD(struct ctl_request *r)
{
    struct ban_target what[CTL_ARGS_MAX];
    struct ban list[CTL_ARGS_MAX], terms;
    char who[BAN_WHO_MAX];
    size_t n = r->inv.args_n;

    if (!read_targets(r, what) || !read_terms(r, &terms, who))
        return;
    for (size_t i = 0; i < n; i++) {
        list[i] = terms;
        list[i].what = what[i];
        if (terms.allow && what[i].bits == BAN_BITS_IDENTITY) {
            ctl_refuse(r, CTL_USAGE, "ban rm takes one back",
                       "--allow is an exception from a prefix, for addresses and prefixes");
            return;
        }
    }
    for (size_t i = 0; i < n; i++)
        note_change(r, &what[i], &list[i]);
    put(r, "ban", list, n, &terms);
}

/* --- load --- */

/* The list is wrong: all its errors, as reload has those of a configuration. */
static void refuse_list(struct ctl_request *r, struct buf *errors)
{
    struct buf text = {0};
    json_t *doc, *error;

    buf_printf(&text, "%s has errors; nothing changed", r->inv.args[0]);
    doc = ctl_error_document(CTL_USAGE, buf_cstr(&text), "");
    error = json_object_get(doc, "error");
    json_object_set_new(error, "details", ctl_text(buf_view(errors)));
    json_object_set_new(error, "errors", ctl_error_list(buf_cstr(errors)));
    buf_free(&text);
    ctl_answer(r, doc);
}

static void load_text(struct ctl_request *r, struct slice text, const struct ban *terms)
{
    struct buf errors = {0};
    struct ban *list = NULL;
    size_t n = 0;

    if (ban_list_parse(r->inv.args[0], text, &list, &n, &errors)) {
        for (size_t i = 0; i < n; i++) {
            struct ban_target what = list[i].what;
            list[i] = *terms;
            list[i].what = what;
        }
        put(r, "ban", list, n, terms);
    } else {
        refuse_list(r, &errors);
    }
    free(list);
    buf_free(&errors);
}

void ctl_do_BAN_LOAD(struct ctl_request *r)
{
    int fd = ctl_client_attached(r->client), rc;
    struct buf text = {0};
    char who[BAN_WHO_MAX];
    struct ban terms;

    if (!read_terms(r, &terms, who))
        return;
    rc = fd >= 0 ? attachment_read(fd, &text) : -EINVAL;
    if (rc < 0)
        ctl_refuse(r, CTL_USAGE, "rushctl sends it by itself", "no usable file came along: %s",
                   strerror(-rc));
    else
        load_text(r, buf_view(&text), &terms);
    buf_free(&text);
}

/* --- rm --- */

/* Whether inner lies in outer and is another target. */
static bool lies_in(const struct ban_target *inner, const struct ban_target *outer)
{
    unsigned whole = outer->bits / 8, rest = outer->bits % 8;

    if (inner->bits == BAN_BITS_IDENTITY || outer->bits >= inner->bits)
        return false;
    return memcmp(inner->addr, outer->addr, whole) == 0 &&
           (rest == 0 || (inner->addr[whole] ^ outer->addr[whole]) >> (8 - rest) == 0);
}

static void refuse_unknown(struct ctl_request *r, const struct ban_target *what)
{
    const struct ban_book *book = book_of(r);
    char text[BAN_TEXT_MAX], outer[BAN_TEXT_MAX] = "";
    struct buf hint = {0};

    for (size_t i = 0; i < book->n; i++)
        if (lies_in(what, &book->all[i]->what))
            ban_target_text(&book->all[i]->what, outer);
    if (outer[0] != '\0')
        buf_printf(&hint, "it lies in %s, which is; ban add --allow makes an exception", outer);
    ban_target_text(what, text);
    ctl_refuse(r, CTL_NOT_FOUND, outer[0] != '\0' ? buf_cstr(&hint) : "rushctl show bans",
               "%s is not banned; nothing changed", text);
    buf_free(&hint);
}

void ctl_do_BAN_RM(struct ctl_request *r)
{
    const struct ctl_config *cfg = &r->ctl->cfg;
    bool all = r->inv.flag[CTL_FLAG_ALL] != NULL;
    struct ban_target what[CTL_ARGS_MAX];
    struct buf why = {0};
    size_t removed;

    if (all == (r->inv.args_n > 0)) {
        ctl_refuse(r, CTL_USAGE, "", "which bans: name them, or --all");
        return;
    }
    if (!read_targets(r, what))
        return;
    for (unsigned i = 0; i < r->inv.args_n; i++)
        if (ban_book_find(book_of(r), &what[i]) == NULL) {
            refuse_unknown(r, &what[i]);
            return;
        }
    for (unsigned i = 0; i < r->inv.args_n; i++)
        note_change(r, &what[i], NULL);
    removed = cfg->ops->ban_remove(cfg->arg, all ? NULL : what, r->inv.args_n, &why);
    answer(
        r, "ban",
        json_pack("{s:I, s:I}", "removed", (json_int_t)removed, "bans", (json_int_t)book_of(r)->n),
        &why);
}

/* --- show --- */

static json_t *row_of(const struct ctl *c, const struct ban *ban, uint64_t now_ns)
{
    uint64_t last, hits = c->cfg.ops->ban_hits(c->cfg.arg, ban, &last);
    json_t *row = json_object();

    json_object_set_new(row, "ban", target_json(&ban->what));
    json_object_set_new(row, "action", json_string(ban->allow ? "allow" : "deny"));
    json_object_set_new(row, "since", ctl_time(ban->since_ns));
    json_object_set_new(row, "until", until_json(ban->until_ns));
    json_object_set_new(row, "left_s",
                        ban->until_ns == BAN_NEVER ? json_null()
                                                   : ctl_seconds(ban->until_ns - now_ns));
    json_object_set_new(row, "by", ctl_text(ban->who));
    json_object_set_new(row, "hits", json_integer((json_int_t)hits));
    json_object_set_new(row, "last_hit", last >= ban->since_ns ? ctl_time(last) : json_null());
    json_object_set_new(row, "reason", ctl_text(ban->reason));
    return row;
}

/* With arguments: those about them, and those around and in them. */
static bool wanted(const struct ban *ban, const struct ban_target *what, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (ban_target_cmp(&ban->what, &what[i]) == 0 || lies_in(&what[i], &ban->what) ||
            lies_in(&ban->what, &what[i]))
            return true;
    return n == 0;
}

void ctl_do_SHOW_BANS(struct ctl_request *r)
{
    const struct ban_book *book = book_of(r);
    struct ban_target what[CTL_ARGS_MAX];
    uint64_t now_ns = clock_real_ns();
    json_t *rows, *doc;
    size_t more = 0;

    if (!read_targets(r, what))
        return;
    rows = json_array();
    for (size_t i = 0; i < book->n; i++) {
        if (book->all[i]->until_ns <= now_ns || !wanted(book->all[i], what, r->inv.args_n))
            continue;
        if (json_array_size(rows) < ROWS_MAX)
            json_array_append_new(rows, row_of(r->ctl, book->all[i], now_ns));
        else
            more++;
    }
    doc = ctl_document(r->ctl, "bans", rows);
    if (more > 0)
        ctl_document_warn(doc, "and %zu more; give addresses or prefixes to look for", more);
    ctl_answer(r, doc);
}
