/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verdict: what buyers were told, compared with what is on disk.
 *
 *   oversold    live units beyond the quota, outside of it, or not matching their orders' quantity
 *   duplicates  a unit sold twice (in the store or by acknowledgements), two orders for one key
 *   lost        acknowledged and then missing, different, or undone without a reason
 *   over_limit  buyers with more live units than the event allows
 */
#ifndef STAMPEDE_AUDIT_H
#define STAMPEDE_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "acks.h"
#include "store_view.h"

struct audit {
    /* Units in the store: ordered - given_back = sold = paid + held, and sold + free = quota. */
    int64_t quota;
    int64_t ordered;    /* of all orders there ever were */
    int64_t unanswered; /* of them, in orders that are not in the record */
    int64_t given_back; /* of those that were canceled or expired */
    int64_t sold;       /* held or sold */
    int64_t paid;       /* of them, in paid orders */
    int64_t free;
    uint64_t oversold, duplicates, lost, over_limit;
    uint64_t acknowledged;   /* orders in the record */
    uint64_t unacknowledged; /* live orders in the store that are not in the record */
    unsigned findings;       /* lines printed on stderr; the first AUDIT_FINDINGS are */
};
#define AUDIT_FINDINGS 20u

/* now_s: seconds since the epoch, the latest that any box office's clock showed: to know what may
 * have expired. */
void audit_compare(struct audit *a, const struct ack_record *acks, const struct store_view *store,
                   int64_t now_s);
/* Loads both and compares; false with a message on stderr where one cannot be read. ahead_s: how
 * far ahead of ours the box office's clock may have been. */
bool audit_files(struct audit *a, const char *acks, const char *store, const char *event,
                 uint32_t ahead_s);
bool audit_clean(const struct audit *a);
void audit_json(const struct audit *a, json_t *obj);

#endif
