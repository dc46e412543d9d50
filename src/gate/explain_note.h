/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the phases tell about a request that is only asked about (explain.h). They run as ever;
 * where they would take, count, call or answer, they look and note instead. So an explanation is
 * what the phases do, and no second set of rules that could differ from it. Private to src/gate.
 */
#ifndef GATE_EXPLAIN_NOTE_H
#define GATE_EXPLAIN_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "gate/explain.h"
#include "gate/request.h"

struct explanation {
    const struct explain_context *ctx;
    const struct explain_sides *sides;
    uint64_t generation; /* that the request meets */
    bool body_given;
    uint64_t body_n;  /* bytes: what was given, else what Content-Length says */
    struct buf steps; /* JSON objects, one for each step, separated by commas */
    struct buf text;  /* scratch */
    const char *by;   /* the phase that answered or called; NULL: none yet */
    bool concurrency_told;
    struct buf provided;   /* what only the request itself would show, and the outcome depends on */
    struct buf refused_by; /* names of the limits that refuse */
    /* The answer, or the call. */
    bool answered, called;
    unsigned status;
    const char *reason; /* literal or in the request's arena; NULL: it was not refused */
    struct buf detail;  /* of a refusal */
    struct buf target;  /* whom the request goes to */
    struct buf type, headers, body; /* of the answer */
};

/* One step: `{"step":name,"text":...` without its end, so that members can follow. */
void explain_open(struct explanation *e, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void explain_member(struct explanation *e, const char *name, struct slice value);
void explain_number(struct explanation *e, const char *name, uint64_t value);
void explain_flag(struct explanation *e, const char *name, bool value);
void explain_close(struct explanation *e);

/* --- what the phases call --- */

void explain_config(struct explanation *e, const struct generation *gen);
/* When it is known who asks. */
void explain_client(struct gate_request *q);
/* After each phase: what it found, for those that do not tell it themselves. */
void explain_phase(struct gate_request *q, const char *phase, enum phase_verdict v);
void explain_ban(struct gate_request *q, const struct ban_hit *hit);
/* After the route phase: the route, or the nearest one. */
void explain_route(struct gate_request *q, bool found);
/* The arm has been chosen; where a fresh cookie would choose it, the likeliest is taken. */
void explain_split(struct gate_request *q);
/* After limit_look. */
void explain_limit(struct gate_request *q, const struct conf_route_limit *rl,
                   const struct limit_ask *a, uint64_t now_ns);
/* Whether every worker is at the limits of the request's calls. */
bool explain_overloaded(const struct gate_request *q);
/* Whether the body would matter, but is not known. */
bool explain_body_unknown(const struct gate_request *q);
/* False after a refusal: the body that was given is larger than the route takes. */
bool explain_body_fits(struct gate_request *q);
/* In place of the call. */
enum phase_verdict explain_call(struct gate_request *q);
/* The outcome is as told, provided that ... */
void explain_provided(struct explanation *e, const char *that);
/* Before the answer that refuses. */
void explain_refusal(struct gate_request *q, const struct refusal *why);
/* In place of http_reply. */
void explain_answer(struct gate_request *q, const struct http_answer *a);

#endif
