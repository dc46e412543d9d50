/* SPDX-License-Identifier: BSD-2-Clause */
/* Look-ups in a compiled schema that are too long to be inline. */
#include "transcode/schema_layout.h"

const struct schema_root *schema_root_of(struct slice schema)
{
    const struct schema_root *r = (const void *)schema.p;

    if (schema.n < sizeof *r || r->magic != SCHEMA_MAGIC || r->version != SCHEMA_VERSION ||
        r->size > schema.n)
        return NULL;
    return r;
}

int schema_field_by_number_sparse(const struct schema_root *r, const struct schema_msg *m,
                                  uint32_t number)
{
    const struct schema_field *fields = schema_fields(r, m);
    const uint16_t *sorted = schema_at(r, m->sorted.off);
    uint32_t lo = 0, hi = m->sorted.n;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        uint32_t at = fields[sorted[mid]].number;
        if (at == number)
            return sorted[mid];
        if (at < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

const struct schema_value *schema_value_by_number(const struct schema_root *r,
                                                  const struct schema_enum *e, int32_t number)
{
    const struct schema_value *values = schema_at(r, e->values.off);
    uint32_t lo = 0, hi = e->values.n;

    if (e->dense) {
        int64_t i = (int64_t)number - values[0].number;
        return i >= 0 && i < e->values.n ? &values[i] : NULL;
    }
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (values[mid].number == number)
            return &values[mid];
        if (values[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static int name_order(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int by_bytes = n ? memcmp(a.p, b.p, n) : 0;

    return by_bytes ? by_bytes : (a.n > b.n) - (a.n < b.n);
}

/* The compiler leaves messages sorted by name. */
const struct schema_msg *schema_msg_by_name(const struct schema_root *r, struct slice name)
{
    const struct schema_msg *messages = schema_at(r, r->messages.off);
    uint32_t lo = 0, hi = r->messages.n;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        int order = name_order(schema_slice(r, messages[mid].name), name);
        if (order == 0)
            return &messages[mid];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const struct schema_msg *schema_msg_by_url(const struct schema_root *r, struct slice url)
{
    size_t slash = url.n;

    while (slash > 0 && url.p[slash - 1] != '/')
        slash--;
    return slash > 0 ? schema_msg_by_name(r, slice_of(url.p + slash, url.n - slash)) : NULL;
}
