/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An order as bytes of the message Order of boxoffice.proto. Every purchase is answered with one,
 * so it goes from memory straight to the wire form: no message object, no second pass for lengths.
 * Fields come in the order of their numbers, and one that has its default value is left out, as
 * everybody's encoders do.
 */
#include "base/clock.h"
#include "boxoffice/service_part.h"

/* Numbers in boxoffice.proto. */
enum {
    ORDER_CODE = 1,
    ORDER_EVENT,
    ORDER_ITEM,
    ORDER_QUANTITY,
    ORDER_STATUS,
    ORDER_UNITS,
    ORDER_TOTAL,
    ORDER_CURRENCY,
    ORDER_CREATED,
    ORDER_EXPIRES,
    ORDER_SECRET,
    ORDER_BUYER,
};
enum { TIMESTAMP_SECONDS = 1, TIMESTAMP_NANOS = 2 };
enum { LIST_RESULTS = 1, LIST_NEXT_PAGE_TOKEN = 2 };

enum { NUMBER = 0, BYTES = 2 }; /* wire types */

#define VARINT_MAX 10u
#define ORDER_ROOM 768u /* for all but the texts below: 100 units of 5 bytes are the most of it */

static char *put_varint(char *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (char)(v | 0x80);
    *p++ = (char)v;
    return p;
}

/* All fields here have numbers below 16, so that a tag is a byte. */
static char *put_tag(char *p, unsigned field, unsigned type)
{
    *p++ = (char)(field << 3 | type);
    return p;
}

static char *put_number(char *p, unsigned field, uint64_t v)
{
    return v == 0 ? p : put_varint(put_tag(p, field, NUMBER), v);
}

static char *put_text(char *p, unsigned field, struct slice s)
{
    if (s.n == 0)
        return p;
    p = put_varint(put_tag(p, field, BYTES), s.n);
    memcpy(p, s.p, s.n);
    return p + s.n;
}

/* A message of two numbers is shorter than 128 bytes, so its length is one. */
static char *put_time(char *p, unsigned field, uint64_t ns)
{
    char *length = put_tag(p, field, BYTES);

    p = put_number(length + 1, TIMESTAMP_SECONDS, ns / NS_PER_S);
    p = put_number(p, TIMESTAMP_NANOS, ns % NS_PER_S);
    *length = (char)(p - length - 1);
    return p;
}

/* Rising, so that the answer is the same before and after a restart; nearly always they are
 * already. */
static void sort_units(uint32_t units[ORDER_QUANTITY_MAX], const struct order *o,
                       const struct item *it)
{
    uint32_t unit = o->first_unit;

    for (uint32_t i = 0; i < o->quantity; i++, unit = stock_next(&it->stock, unit)) {
        uint32_t at = i;
        for (; at > 0 && units[at - 1] > unit; at--)
            units[at] = units[at - 1];
        units[at] = unit;
    }
}

static char *put_units(char *p, const struct order *o, const struct item *it)
{
    uint32_t units[ORDER_QUANTITY_MAX];
    char packed[ORDER_QUANTITY_MAX * VARINT_MAX], *end = packed;

    sort_units(units, o, it);
    for (uint32_t i = 0; i < o->quantity; i++)
        end = put_varint(end, units[i]);
    return put_text(p, ORDER_UNITS, slice_of(packed, (size_t)(end - packed)));
}

static char *put_secret(char *p, const unsigned char secret[16])
{
    static const char digits[] = "0123456789abcdef";

    p = put_varint(put_tag(p, ORDER_SECRET, BYTES), 32);
    for (unsigned i = 0; i < 16; i++) {
        *p++ = digits[secret[i] >> 4];
        *p++ = digits[secret[i] & 15];
    }
    return p;
}

static char *put_order(char *p, const struct sale *s, uint32_t id, const struct order *o,
                       uint64_t now_ns)
{
    const struct item *it = s->items[o->item];
    const struct buyer *b = buyer_at(&s->orders, o->buyer);
    enum order_status status = sale_status(o, now_ns);
    char text[EVENT_TOTAL_MAX];

    _Static_assert(sizeof text > CODE_LEN, "holds a code, too");
    code_write(&s->code, id, text);
    p = put_text(p, ORDER_CODE, slice_of(text, CODE_LEN));
    p = put_text(p, ORDER_EVENT, it->event->slug);
    p = put_text(p, ORDER_ITEM, it->slug);
    p = put_number(p, ORDER_QUANTITY, o->quantity);
    p = put_number(p, ORDER_STATUS, status);
    if (status == ORDER_PENDING || status == ORDER_PAID)
        p = put_units(p, o, it);
    item_total(it, o->quantity, text);
    p = put_text(p, ORDER_TOTAL, slice_str(text));
    p = put_text(p, ORDER_CURRENCY, it->currency);
    p = put_time(p, ORDER_CREATED, o->created_ns);
    if (status == ORDER_PENDING)
        p = put_time(p, ORDER_EXPIRES, o->expires_ns);
    p = put_secret(p, o->secret);
    return put_text(p, ORDER_BUYER, slice_of(b->text, b->text_len));
}

bool message_order(struct service *s, uint32_t id, uint64_t now_ns, struct buf *out)
{
    const struct order *o = order_get(&s->sale->orders, id);
    const struct item *it;

    if (o == NULL)
        return false;
    it = s->sale->items[o->item];
    if (!buf_reserve(out, ORDER_ROOM + it->event->slug.n + it->slug.n + it->currency.n +
                              buyer_at(&s->sale->orders, o->buyer)->text_len))
        return false;
    out->n = (size_t)(put_order(out->p + out->n, s->sale, id, o, now_ns) - out->p);
    return true;
}

bool message_order_listed(struct service *s, uint32_t id, uint64_t now_ns, struct buf *out)
{
    size_t at = out->n, n;
    char *p;

    /* Room for the longest head, and then the order is moved up to the one that it needs. */
    if (!buf_reserve(out, 1 + VARINT_MAX))
        return false;
    out->n += 1 + VARINT_MAX;
    if (!message_order(s, id, now_ns, out))
        return false;
    n = out->n - at - 1 - VARINT_MAX;
    p = put_varint(put_tag(out->p + at, LIST_RESULTS, BYTES), n);
    memmove(p, out->p + at + 1 + VARINT_MAX, n);
    out->n = (size_t)(p - out->p) + n;
    return true;
}

bool message_next_page(struct service *s, uint32_t id, struct buf *out)
{
    char code[CODE_LEN + 1];

    if (!buf_reserve(out, 1 + VARINT_MAX + CODE_LEN))
        return false;
    code_write(&s->sale->code, id, code);
    out->n = (size_t)(put_text(out->p + out->n, LIST_NEXT_PAGE_TOKEN, slice_of(code, CODE_LEN)) -
                      out->p);
    return true;
}
