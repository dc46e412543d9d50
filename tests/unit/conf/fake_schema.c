/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In place of src/transcode: a schema whose services the configuration's tests know by heart. A
 * descriptor set is any file that begins with "fake".
 */
#include "transcode/schema.h"

#define BINDING(s, m, http, path, streams)                                                         \
    {                                                                                              \
        SLICE_LIT(s), SLICE_LIT(m), SLICE_LIT("/" s "/" m), SLICE_LIT(http), SLICE_LIT(path),      \
            streams                                                                                \
    }

static const struct schema_binding bindings[] = {
    BINDING("shop.v1.Shop", "GetItem", "GET", "/shop/{event}/items/{item}", false),
    BINDING("shop.v1.Shop", "GetItem", "GET", "/shop/items/{item}", false),
    BINDING("shop.v1.Shop", "Buy", "POST", "/shop/{event}/orders", false),
    BINDING("shop.v1.Shop", "CancelOrder", "POST", "/shop/{event}/orders/{code}:cancel", false),
    BINDING("shop.v1.Feed", "Watch", "GET", "/feed", true),
    BINDING("shop.v1.Odd", "Link", "LINK", "/odd", false),
    BINDING("shop.v1.Shop", "GetItem", "", "", false),
    BINDING("shop.v1.Shop", "Buy", "", "", false),
    BINDING("shop.v1.Shop", "CancelOrder", "", "", false),
    BINDING("shop.v1.Feed", "Watch", "", "", true),
    BINDING("shop.v1.Odd", "Link", "", "", false),
    BINDING("shop.v1.Quiet", "Ask", "", "", false),
};

bool schema_compile(struct slice descriptor_set, unsigned options, struct buf *out, struct buf *err)
{
    if (!slice_starts(descriptor_set, SLICE_LIT("fake"))) {
        buf_str(err, "not a descriptor set");
        return false;
    }
    buf_slice(out, descriptor_set);
    buf_char(out, (char)('0' + options));
    return true;
}

uint32_t schema_bindings(struct slice schema)
{
    (void)schema;
    return sizeof bindings / sizeof *bindings;
}

void schema_binding_get(struct slice schema, uint32_t binding, struct schema_binding *out)
{
    (void)schema;
    *out = bindings[binding];
}

bool schema_check_vars(struct slice schema, uint32_t binding, const struct slice *names, unsigned n,
                       struct buf *err)
{
    (void)schema;
    (void)binding;
    for (unsigned i = 0; i < n; i++)
        if (slice_eq(names[i], SLICE_LIT("wrong"))) {
            buf_str(err, "path variable \"wrong\" is not a field");
            return false;
        }
    return true;
}

/* Messages have the fields "event", "item" and "quantity". */
uint32_t schema_field_number(struct slice schema, uint32_t binding, struct slice name)
{
    (void)schema;
    (void)binding;
    return slice_eq(name, SLICE_LIT("event"))      ? 1
           : slice_eq(name, SLICE_LIT("item"))     ? 2
           : slice_eq(name, SLICE_LIT("quantity")) ? 3
                                                   : 0;
}

struct slice schema_request_name(struct slice schema, uint32_t binding)
{
    (void)schema;
    (void)binding;
    return SLICE_LIT("fake.Request");
}
