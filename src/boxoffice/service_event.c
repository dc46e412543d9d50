/* SPDX-License-Identifier: BSD-2-Clause */
/* Events and items: creating, reading; and what operators call. */
#include <stdio.h>

#include "base/clock.h"
#include "boxoffice/service_part.h"
#include "boxoffice.pb-c.h"

#define PAGE_DEFAULT   50
#define PAGE_MAX       1000
#define PAGE_MAX_BYTES (1u << 20) /* a page ends with the event that reaches this */

/* Nanoseconds of a time a buyer may see: from 1970 on, within 64 signed bits. 0 when absent. */
static bool read_time(const Google__Protobuf__Timestamp *t, uint64_t *ns)
{
    *ns = 0;
    if (t == NULL)
        return true;
    if (t->seconds < 1 || t->seconds > INT64_MAX / (int64_t)NS_PER_S - 1 || t->nanos < 0 ||
        t->nanos >= (int32_t)NS_PER_S)
        return false;
    *ns = (uint64_t)t->seconds * NS_PER_S + (uint64_t)t->nanos;
    return true;
}

static bool read_hold(const Google__Protobuf__Duration *d, uint64_t *ns)
{
    *ns = EVENT_HOLD_S * NS_PER_S;
    if (d == NULL)
        return true;
    if (d->seconds < 0 || d->seconds > EVENT_HOLD_MAX_S || d->nanos < 0 ||
        d->nanos >= (int32_t)NS_PER_S)
        return false;
    *ns = (uint64_t)d->seconds * NS_PER_S + (uint64_t)d->nanos;
    return true;
}

/* What event_spec_check cannot see, since the spec cannot express it. Returns the message or NULL.
 */
static const char *read_event(const Rushgate__Boxoffice__V1__Event *m, struct event_spec *spec,
                              const char **field)
{
    *spec = (struct event_spec){.slug = slice_str(m->slug), .name = slice_str(m->name)};
    if (*field = "presale_start", !read_time(m->presale_start, &spec->presale_start_ns))
        return "is not a time after 1970";
    if (*field = "presale_end", !read_time(m->presale_end, &spec->presale_end_ns))
        return "is not a time after 1970";
    if (*field = "hold", !read_hold(m->hold, &spec->hold_ns))
        return "must be 1 s to 24 h";
    if (*field = "max_per_buyer", m->max_per_buyer < 0)
        return "must not be negative";
    if (*field = "items", m->n_items > EVENT_ITEMS_MAX)
        return "must be 1 to 64";
    spec->max_per_buyer = (uint32_t)m->max_per_buyer;
    spec->items_n = (uint32_t)m->n_items;
    for (size_t i = 0; i < m->n_items; i++) {
        const Rushgate__Boxoffice__V1__Item *it = m->items[i];
        spec->items[i] =
            (struct item_spec){slice_str(it->item), slice_str(it->name), slice_str(it->price),
                               slice_str(it->currency), it->quota < 0 ? 0 : (uint32_t)it->quota};
    }
    return NULL;
}

void on_create_event(struct service *s, struct rpc_server_call *call, const void *request)
{
    struct event_spec spec;
    struct spec_error err;
    struct decision d;
    const char *field, *message = read_event(request, &spec, &field);

    if (message != NULL)
        answer_invalid(s, call, field, message);
    else if (!event_spec_check(&spec, &err))
        answer_invalid(s, call, err.field, err.message);
    else
        answer_other(s, call, sale_create_event(s->sale, &spec, call, &d), &d);
}

/* Fills one page with durable events from *id on, and leaves the first of the next page there.
 * False when memory is out. */
static bool fill_events(struct service *s, uint64_t *id, uint32_t size,
                        Rushgate__Boxoffice__V1__ListEventsResponse *out)
{
    size_t bytes = 0;

    out->results = arena_alloc(&s->arena, size * sizeof *out->results);
    if (out->results == NULL)
        return false;
    for (; *id <= s->sale->events_n && out->n_results < size && bytes < PAGE_MAX_BYTES; ++*id) {
        const struct sale_event *e = *id == 0 ? NULL : s->sale->events[*id];
        Rushgate__Boxoffice__V1__Event *m;

        if (!sale_event_durable(s->sale, e))
            continue;
        if ((m = message_event(s, e)) == NULL)
            return false;
        out->results[out->n_results++] = m;
        bytes += protobuf_c_message_get_packed_size(&m->base);
    }
    return true;
}

void on_list_events(struct service *s, struct rpc_server_call *call, const void *request)
{
    const Rushgate__Boxoffice__V1__ListEventsRequest *m = request;
    Rushgate__Boxoffice__V1__ListEventsResponse out =
        RUSHGATE__BOXOFFICE__V1__LIST_EVENTS_RESPONSE__INIT;
    uint32_t size = m->page_size == 0 ? PAGE_DEFAULT : (uint32_t)m->page_size;
    uint64_t id = 1;
    char next[16];

    if (m->page_size < 0 || size > PAGE_MAX) {
        answer_invalid(s, call, "page_size", "must be 1 to 1000");
        return;
    }
    if (m->page_token[0] != '\0' && !slice_to_u64(slice_str(m->page_token), &id)) {
        answer_invalid(s, call, "page_token", "is not one of ours");
        return;
    }
    if (!fill_events(s, &id, size, &out)) {
        answer_refusal(s, call, REASON_OVERLOADED, NULL);
        return;
    }
    if (id <= s->sale->events_n) {
        snprintf(next, sizeof next, "%u", (unsigned)id);
        out.next_page_token = next;
    }
    answer_message(s, call, &out.base);
}

void on_get_event(struct service *s, struct rpc_server_call *call, const void *request)
{
    const Rushgate__Boxoffice__V1__GetEventRequest *m = request;
    const struct sale_event *e = sale_event(s->sale, slice_str(m->event));

    if (e != NULL)
        answer_event(s, call, e, REASON_DONE);
    else
        answer_not_found(s, call, "event");
}

void on_list_items(struct service *s, struct rpc_server_call *call, const void *request)
{
    const Rushgate__Boxoffice__V1__ListItemsRequest *m = request;
    Rushgate__Boxoffice__V1__ListItemsResponse out =
        RUSHGATE__BOXOFFICE__V1__LIST_ITEMS_RESPONSE__INIT;
    const struct sale_event *e = sale_event(s->sale, slice_str(m->event));
    Rushgate__Boxoffice__V1__Event *all = e == NULL ? NULL : message_event(s, e);

    if (e == NULL) {
        answer_not_found(s, call, "event");
        return;
    }
    if (all == NULL) {
        answer_refusal(s, call, REASON_OVERLOADED, NULL);
        return;
    }
    out.results = all->items;
    out.n_results = all->n_items;
    answer_message(s, call, &out.base);
}

/* The item that is asked for; NULL: there is none, and the call is answered. */
static const struct item *find_item(struct service *s, struct rpc_server_call *call,
                                    const void *request)
{
    const Rushgate__Boxoffice__V1__GetItemRequest *m = request;
    const struct sale_event *e = sale_event(s->sale, slice_str(m->event));
    const struct item *it = e == NULL ? NULL : event_item(e, slice_str(m->item));

    if (it == NULL)
        answer_not_found(s, call, e == NULL ? "event" : "item");
    return it;
}

void on_get_item(struct service *s, struct rpc_server_call *call, const void *request)
{
    const struct item *it = find_item(s, call, request);
    Rushgate__Boxoffice__V1__Item *m = it == NULL ? NULL : message_item(s, it);

    if (it != NULL)
        answer_message(s, call, m ? &m->base : NULL);
}

void on_get_availability(struct service *s, struct rpc_server_call *call, const void *request)
{
    const struct item *it = find_item(s, call, request);
    Rushgate__Boxoffice__V1__Availability *m = it == NULL ? NULL : message_availability(s, it);

    if (it != NULL)
        answer_message(s, call, m ? &m->base : NULL);
}
