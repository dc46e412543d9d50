/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The buyers' own record: a file of JSON lines, appended to as acknowledgements arrive.
 *
 *   {"t":"order","event":…,"item":…,"buyer":…,"key":…,"code":…,"status":…,"expires":…,"quantity":2,
 *    "units":[0,1]}                       an order was acknowledged, for the first time or again
 *   {"t":"confirm","event":…,"code":…,"units":[0,1]}   the payment was acknowledged; one that came
 *                                           after the hold was over may have taken other units
 *   {"t":"cancel","event":…,"code":…}       the cancellation was acknowledged
 *   {"t":"ask-confirm","event":…,"code":…}  a payment was sent; its outcome may stay unknown
 *   {"t":"ask-cancel","event":…,"code":…}   the same of a cancellation
 *
 * and with --history, for whoever checks what happened when (tools/chaos):
 *
 *   {"t":"ask","event":…,"item":…,"buyer":…,"key":…,"quantity":2}    an order is asked for
 *   {"t":"sold-out","event":…,"item":…,"quantity":2,"available":1}   and refused for want of units
 *
 * Every line ends with its times, in nanoseconds of CLOCK_MONOTONIC: "asked", when this was asked
 * for the first time, "sent", when the request that got this answer was, and "answered".
 *
 * A line is in the file before what it says counts in any summary. The audit reads the file, so
 * what a killed stampede had recorded is audited too.
 */
#ifndef STAMPEDE_ACKS_H
#define STAMPEDE_ACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* ---- writing ---- */

/* Of a line; what is 0 is not in it. */
struct ack_times {
    uint64_t asked_ns, sent_ns, answered_ns;
};

struct acks {
    int fd;         /* owned; -1: nothing is recorded */
    bool history;   /* asks and refusals, too */
    struct buf out; /* lines of this turn */
    uint64_t lines; /* in the file */
};

/* path NULL: nothing is recorded. Truncates; dies where it cannot. */
void acks_open(struct acks *a, const char *path);

struct ack_order_line {
    struct slice event, item, buyer, key, code;
    struct slice status; /* as in the reply */
    uint32_t quantity;
    const uint32_t *units;
    uint32_t units_n;
    struct slice expires; /* as in the reply */
    uint32_t available;   /* of a refusal */
    struct ack_times times;
};
void acks_order(struct acks *a, const struct ack_order_line *line);
/* Of the line: what was asked for; with --history only. */
void acks_ask(struct acks *a, const struct ack_order_line *line);
void acks_sold_out(struct acks *a, const struct ack_order_line *line);
/* units: as in the reply; n 0: it named none */
void acks_confirm(struct acks *a, const char *event, const char *code, const uint32_t *units,
                  uint32_t n, const struct ack_times *times);
/* type: "cancel", "ask-cancel", "ask-confirm" */
void acks_action(struct acks *a, const char *type, const char *event, const char *code,
                 const struct ack_times *times);
/* Writes what was added. Dies where that fails: a record with holes proves nothing. */
void acks_flush(struct acks *a);
/* Flush, fsync, close. */
void acks_close(struct acks *a);

/* ---- reading ---- */

struct ack_order {
    char *code, *item, *buyer, *key; /* owned */
    uint32_t quantity;
    uint32_t *units; /* ascending; owned; the payment's where that named some */
    uint32_t units_n;
    int64_t expires_s; /* seconds since the epoch; 0: none was given */
    /* What the answer called the order. One that had ended by then (a replay shows an order as it
     * is, not as it was) names no units and no time. */
    enum ack_status { ACK_LIVE, ACK_EXPIRED, ACK_CANCELED } status;
    bool confirmed, confirm_asked, canceled, cancel_asked;
    bool retaken; /* the payment named other units than the order before */
};

struct ack_record {
    struct ack_order *orders; /* sorted by code; repeated acknowledgements of one order merged */
    size_t orders_n;
    uint64_t acknowledgements; /* 201 lines, repeated ones included */
    uint64_t contradictions;   /* repeated acknowledgements of one code that differ */
    uint64_t bad_lines;        /* a last line cut short by a kill is not one */
};

/* Only lines of `event`. 0 or -errno. */
int ack_record_load(struct ack_record *r, const char *path, const char *event);
void ack_record_free(struct ack_record *r);
/* NULL when no such order was acknowledged. */
struct ack_order *ack_record_find(const struct ack_record *r, const char *code);

#endif
