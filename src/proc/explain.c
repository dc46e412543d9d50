/* SPDX-License-Identifier: BSD-2-Clause */
/* What a request would meet, for the control socket: the master's zones and a configuration for
 * gate/explain.h. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gate/explain.h"
#include "proc/master.h"

static void add_ban(const struct ban *b, struct buf *out)
{
    char text[BAN_TEXT_MAX], until[CLOCK_ISO_MAX];

    buf_add(out, text, ban_target_text(&b->what, text));
    if (b->until_ns == BAN_NEVER) {
        buf_str(out, ", without end");
    } else {
        clock_iso8601(b->until_ns, 0, until);
        buf_printf(out, ", until %s", until);
    }
    if (b->reason.n > 0)
        buf_printf(out, ", %.*s", SLICE_ARG(b->reason));
}

static void ban_text(void *arg, const struct ban_hit *hit, struct buf *out)
{
    const struct ban_book *book = &((struct master *)arg)->bans.book;

    for (size_t i = 0; i < book->n; i++)
        if (book->all[i]->cell == hit->cell && book->all[i]->serial == hit->serial)
            add_ban(book->all[i], out);
}

/* A configuration by its number. 0, or -EINVAL or -ENOENT with a text. */
static int choose_number(const struct master *m, const char *text, struct explain_sides *out,
                         struct buf *why)
{
    const struct kept *k;
    uint64_t number;

    if (!slice_to_u64(slice_str(text), &number) || number == 0) {
        buf_printf(why, "\"%s\" is no generation: a number, stable or canary", text);
        return -EINVAL;
    }
    if (number == out->current.generation)
        return 0;
    k = history_find(m, number);
    if (k == NULL) {
        buf_printf(why, "generation %s is not kept", text);
        return -ENOENT;
    }
    out->current = bank_at(m->banks, k->bank);
    out->which = "kept";
    return 0;
}

/* The configurations that are asked about, in the same way. NULL: whichever the request meets. */
static int choose(const struct master *m, const char *generation, struct explain_sides *out,
                  struct buf *why)
{
    const struct bank_canary canary = bank_canary(m->banks);
    char number[24];

    *out = (struct explain_sides){.current = bank_current(m->banks), .which = "current"};
    snprintf(number, sizeof number, "%llu", (unsigned long long)canary.ref.generation);
    if (generation == NULL) {
        out->canary = canary;
    } else if (strcmp(generation, "canary") == 0 && canary.ref.data == NULL) {
        buf_str(why, "there is no canary");
        return -ENOENT;
    } else if (strcmp(generation, "canary") == 0 ||
               (canary.ref.data != NULL && strcmp(generation, number) == 0)) {
        out->canary = canary;
        out->always = true;
    } else if (strcmp(generation, "stable") != 0) {
        return choose_number(m, generation, out, why);
    }
    return 0;
}

int master_explain(struct master *m, const struct ctl_question *q, struct buf *out, struct buf *why)
{
    struct explain_sides sides;
    int rc;
    const struct explain_context ctx = {
        .loop = &m->loop,
        .control = m->control,
        .metrics = m->metrics,
        .limits = m->limits,
        .bans = m->bans.zone,
        .closed = m->closed,
        .sent = m->sent,
        .ban_text = ban_text,
        .arg = m,
    };
    const struct explain_order order = {
        .method = q->method,
        .url = q->url,
        .headers = q->headers,
        .headers_n = q->headers_n,
        .client = q->client,
        .identity = q->identity,
        .body = q->body,
    };

    rc = choose(m, q->generation, &sides, why);
    return rc < 0 ? rc : explain(&ctx, &sides, &order, out, why);
}
