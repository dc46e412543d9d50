/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the service share among themselves. */
#ifndef BOXOFFICE_SERVICE_PART_H
#define BOXOFFICE_SERVICE_PART_H

#include <protobuf-c/protobuf-c.h>

#include "boxoffice/service.h"

/* A method: its full path, its request, its handler; for the most frequent one a reader that knows
 * its plainest form and leaves the rest (NULL) to protobuf-c. */
struct service_method {
    struct slice path;
    const ProtobufCMessageDescriptor *request;
    void (*handle)(struct service *s, struct rpc_server_call *call, const void *request);
    const void *(*read)(struct arena *arena, struct slice message);
};

extern const struct service_method service_methods[];
extern const unsigned service_methods_n;

/* Does a text of the message, as it came, hold a NUL? Then `field` names it: "items.name". */
#define TEXT_FIELD_MAX 128u
bool text_has_nul(const ProtobufCMessageDescriptor *d, struct slice message,
                  char field[TEXT_FIELD_MAX]) __attribute__((warn_unused_result));

/* Decides a call: on its arrival, and again when the batch that it waited for has its outcome. */
void service_handle(struct service *s, struct rpc_server_call *call);

/* The handlers, by file. `request` is the unpacked message. */
void on_create_event(struct service *s, struct rpc_server_call *call, const void *request);
void on_list_events(struct service *s, struct rpc_server_call *call, const void *request);
void on_get_event(struct service *s, struct rpc_server_call *call, const void *request);
void on_list_items(struct service *s, struct rpc_server_call *call, const void *request);
void on_get_item(struct service *s, struct rpc_server_call *call, const void *request);
void on_get_availability(struct service *s, struct rpc_server_call *call, const void *request);
void on_create_order(struct service *s, struct rpc_server_call *call, const void *request);
const void *read_create_order(struct arena *arena, struct slice message);
void on_list_orders(struct service *s, struct rpc_server_call *call, const void *request);
void on_get_order(struct service *s, struct rpc_server_call *call, const void *request);
void on_confirm_order(struct service *s, struct rpc_server_call *call, const void *request);
void on_cancel_order(struct service *s, struct rpc_server_call *call, const void *request);
void on_set_sale_state(struct service *s, struct rpc_server_call *call, const void *request);
void on_stats(struct service *s, struct rpc_server_call *call, const void *request);

/* answer.c. What a call is answered with; each ends the call. */
void answer_message(struct service *s, struct rpc_server_call *call, const ProtobufCMessage *m);
/* The message whose bytes are in s->payload. */
void answer_payload(struct service *s, struct rpc_server_call *call);
/* how: DONE (200), CREATED or REPLAYED (201) */
void answer_order(struct service *s, struct rpc_server_call *call, uint32_t id, enum reason how);
void answer_event(struct service *s, struct rpc_server_call *call, const struct sale_event *e,
                  enum reason how);
void answer_refusal(struct service *s, struct rpc_server_call *call, enum reason why,
                    const struct decision *d);
/* A field of the request is wrong: INVALID, naming it. */
void answer_invalid(struct service *s, struct rpc_server_call *call, const char *field,
                    const char *message);
/* NOT_FOUND, saying what there is not: "event", "item" or "order". */
void answer_not_found(struct service *s, struct rpc_server_call *call, const char *what);
/* The answer to an operation that is durable now. */
void answer_op(struct service *s, const struct op *op);
/* REASON_LATER: nothing; AGAIN: asks again after the open batch; else the refusal. */
void answer_other(struct service *s, struct rpc_server_call *call, enum reason why,
                  const struct decision *d);

/* The word of a reason, a NUL behind it. */
struct slice service_reason_word(enum reason r);

/* Memory from the call's arena; NULL when it is out (the call is answered OVERLOADED then). */
struct Rushgate__Boxoffice__V1__Event;
struct Rushgate__Boxoffice__V1__Item;
struct Rushgate__Boxoffice__V1__Availability;
struct Rushgate__Boxoffice__V1__Event *message_event(struct service *s, const struct sale_event *e);
struct Rushgate__Boxoffice__V1__Item *message_item(struct service *s, const struct item *it);
struct Rushgate__Boxoffice__V1__Availability *message_availability(struct service *s,
                                                                   const struct item *it);
/* Orders go without a message object. Each appends bytes of its message; false when memory is out,
 * and then what was appended is of no use. */
bool message_order(struct service *s, uint32_t id, uint64_t now_ns, struct buf *out)
    __attribute__((warn_unused_result));
/* One of ListOrdersResponse's results; its next_page_token. */
bool message_order_listed(struct service *s, uint32_t id, uint64_t now_ns, struct buf *out)
    __attribute__((warn_unused_result));
bool message_next_page(struct service *s, uint32_t id, struct buf *out)
    __attribute__((warn_unused_result));

#endif
