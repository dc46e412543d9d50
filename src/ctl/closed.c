/* SPDX-License-Identifier: BSD-2-Clause */
/* show closed: what the workers refuse from memory because a service said so. */
#include "config.h"

#include "base/clock.h"
#include "ctl/request.h"
#include "table/closed.h"
#include "table/sent.h"

static json_t *seconds(uint64_t ns)
{
    return json_real((double)(ns / NS_PER_MS) / 1000);
}

/* How long until refusals are answered from memory at all. */
static uint64_t wait_ns(const struct sent_zone *sent, uint64_t now_ns)
{
    return sent_is_complete(sent, now_ns) ? 0 : sent->since_ns + sent->period_ns - now_ns;
}

static json_t *row_of(const struct closed_answer *a, uint64_t left_ns, uint64_t acts_ns)
{
    json_t *row = json_object();

    json_object_set_new(row, "upstream", ctl_text(a->upstream));
    json_object_set_new(row, "key", ctl_text(a->key));
    json_object_set_new(row, "reason", ctl_text(a->reason));
    json_object_set_new(row, "status", json_integer((json_int_t)a->status));
    json_object_set_new(row, "left_s", seconds(left_ns));
    json_object_set_new(row, "acts_in_s", seconds(acts_ns));
    return row;
}

void ctl_do_SHOW_CLOSED(struct ctl_request *r)
{
    const struct ctl_config *cfg = &r->ctl->cfg;
    uint64_t now_ns = clock_mono_ns(), until_ns;
    json_t *rows = json_array();
    struct closed_copy copy;
    struct closed_answer a;

    for (uint32_t i = 0; i < CLOSED_ALL; i++)
        if ((until_ns = closed_at(cfg->closed, i, now_ns, &copy, &a)) != 0)
            json_array_append_new(rows, row_of(&a, until_ns - now_ns, wait_ns(cfg->sent, now_ns)));
    ctl_answer(r, ctl_document(r->ctl, "closed", rows));
}
