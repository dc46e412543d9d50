/* SPDX-License-Identifier: BSD-2-Clause */
#include "create.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"

#define PATIENCE_NS (15 * NS_PER_S)
#define PAUSE_NS    (100 * NS_PER_MS)

static void send_request(struct create *cr)
{
    const struct options *o = cr->o;
    char body[512];
    int n =
        snprintf(body, sizeof body,
                 "{\"slug\":\"%s\",\"name\":\"%s\",\"max_per_buyer\":%u,\"hold\":\"%us\",\"items\":"
                 "[{\"item\":\"%s\",\"name\":\"%s\",\"price\":\"88.00\",\"currency\":\"EUR\","
                 "\"quota\":%u}]}",
                 o->event, o->event, o->max_per_buyer, o->hold_s, o->item, o->item, o->tickets);

    buf_clear(&cr->x.request);
    buf_printf(&cr->x.request,
               "POST /api/v1/events HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
               "Content-Length: %d\r\n\r\n%s",
               o->host, o->port, n, body);
    wire_start(cr->wire, &cr->x);
}

static void wait_over(struct loop_timer *t)
{
    send_request(CONTAINER_OF(t, struct create, wait));
}

static void answered(struct exchange *x, const struct wire_result *r)
{
    struct create *cr = CONTAINER_OF(x, struct create, x);

    if (r->error == WIRE_OK && (r->status == 201 || r->status == 200 || r->status == 409)) {
        if (r->status == 409)
            fprintf(stderr, "stampede: event %s is there already\n", cr->o->event);
        cr->done(cr);
        return;
    }
    if ((r->error == WIRE_OK && r->status < 500) || loop_now(cr->wire->loop) > cr->end_ns)
        die("cannot create event %s: %s, status %u %.*s", cr->o->event, wire_error_name(r->error),
            r->status, SLICE_ARG(r->body));
    loop_timer_arm(cr->wire->loop, &cr->wait, PAUSE_NS);
}

void create_init(struct create *cr, const struct options *o, struct wire *w,
                 void (*done)(struct create *cr))
{
    *cr = (struct create){.o = o, .wire = w, .done = done};
    exchange_init(&cr->x, answered);
    loop_timer_init(&cr->wait, wait_over);
}

void create_start(struct create *cr)
{
    cr->end_ns = clock_mono_ns() + PATIENCE_NS;
    send_request(cr);
}

void create_fini(struct create *cr)
{
    exchange_fini(&cr->x);
}
