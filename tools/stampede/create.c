/* SPDX-License-Identifier: BSD-2-Clause */
#include "create.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

/* Longer than a box office may be away and a few requests take to time out. */
#define PATIENCE_NS (60 * NS_PER_S)
#define PAUSE_NS    (100 * NS_PER_MS)

static void send_post(struct create *cr)
{
    const struct options *o = cr->o;
    char body[512];
    int n =
        snprintf(body, sizeof body,
                 "{\"slug\":\"%s\",\"name\":\"%s\",\"max_per_buyer\":%u,\"hold\":\"%us\",\"items\":"
                 "[{\"item\":\"%s\",\"name\":\"%s\",\"price\":\"88.00\",\"currency\":\"EUR\","
                 "\"quota\":%u}]}",
                 o->event, o->event, o->max_per_buyer, o->hold_s, o->item, o->item, o->tickets);

    buf_printf(&cr->x.request,
               "POST /api/v1/events HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
               "Content-Length: %d\r\n\r\n%s",
               o->host, o->port, n, body);
}

static void send_request(struct create *cr)
{
    const struct options *o = cr->o;

    buf_clear(&cr->x.request);
    if (cr->looking)
        buf_printf(&cr->x.request, "GET /api/v1/events/%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n",
                   o->event, o->host, o->port);
    else
        send_post(cr);
    wire_start(cr->wire, &cr->x);
}

static void wait_over(struct loop_timer *t)
{
    send_request(CONTAINER_OF(t, struct create, wait));
}

/* What may become better by itself. A gateway that is about to start refuses connections. */
static bool worth_another(const struct wire_result *r)
{
    return r->error != WIRE_OK || r->status == 408 || r->status == 425 || r->status == 429 ||
           r->status >= 500;
}

static void again_or_die(struct create *cr, const struct wire_result *r)
{
    if (!worth_another(r) || loop_now(cr->wire->loop) > cr->end_ns)
        die("cannot create event %s: %s, status %u %.*s", cr->o->event, wire_error_name(r->error),
            r->status, SLICE_ARG(r->body));
    if (!cr->said)
        fprintf(stderr,
                "stampede: event %s is not created yet (%s, status %u): asking for up to "
                "%u s\n",
                cr->o->event, wire_error_name(r->error), r->status,
                (unsigned)(PATIENCE_NS / NS_PER_S));
    cr->said = true;
    loop_timer_arm(cr->wire->loop, &cr->wait, PAUSE_NS);
}

/* An absent number is 0: a gateway may leave out what has its default. */
static bool has_number(const json_t *obj, const char *name, uint32_t wanted)
{
    return json_integer_value(json_object_get(obj, name)) == (json_int_t)wanted;
}

static bool has_text(const json_t *obj, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(obj, name));

    return text != NULL && strcmp(text, wanted) == 0;
}

/* Whether buyers would meet what the options say. */
static bool is_wanted(const struct options *o, struct slice body)
{
    json_t *obj = json_loadb(body.p, body.n, 0, NULL);
    const json_t *items = json_object_get(obj, "items"), *item = json_array_get(items, 0);
    char hold[16];
    bool same;

    snprintf(hold, sizeof hold, "%us", o->hold_s);
    same = has_number(obj, "max_per_buyer", o->max_per_buyer) && has_text(obj, "hold", hold) &&
           json_array_size(items) == 1 && has_text(item, "item", o->item) &&
           has_number(item, "quota", o->tickets);
    json_decref(obj);
    return same;
}

static void looked(struct create *cr, const struct wire_result *r)
{
    if (r->error != WIRE_OK || r->status != 200) {
        again_or_die(cr, r);
        return;
    }
    if (!is_wanted(cr->o, r->body))
        die("event %s is there already and is another one: choose another --event, or leave out "
            "--create to buy for it as it is: %.*s",
            cr->o->event, SLICE_ARG(r->body));
    if (!cr->unknown)
        fprintf(stderr, "stampede: event %s is there already\n", cr->o->event);
    cr->done(cr);
}

static void posted(struct create *cr, const struct wire_result *r)
{
    if (r->error == WIRE_OK && (r->status == 201 || r->status == 200)) {
        cr->done(cr);
    } else if (r->error == WIRE_OK && r->status == 409) {
        cr->looking = true;
        send_request(cr);
    } else {
        cr->unknown |= worth_another(r) && r->error != WIRE_CONNECT;
        again_or_die(cr, r);
    }
}

static void answered(struct exchange *x, const struct wire_result *r)
{
    struct create *cr = CONTAINER_OF(x, struct create, x);

    if (cr->looking)
        looked(cr, r);
    else
        posted(cr, r);
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
