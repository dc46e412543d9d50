/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/wire.h"

#include "base/clock.h"
#include "rpc/status.h"

#include <nghttp2/nghttp2.h>

void wire_prefix(char out[WIRE_PREFIX], uint32_t n)
{
    out[0] = 0;
    out[1] = (char)(n >> 24);
    out[2] = (char)(n >> 16);
    out[3] = (char)(n >> 8);
    out[4] = (char)n;
}

enum wire_body wire_body_check(struct slice body, uint32_t max)
{
    const unsigned char *p = (const unsigned char *)body.p;
    uint32_t n;

    if (body.n == 0)
        return WIRE_BODY_PART;
    if (p[0] > 1)
        return WIRE_BODY_BAD_FLAG;
    if (p[0] == 1)
        return WIRE_BODY_COMPRESSED;
    if (body.n < WIRE_PREFIX)
        return WIRE_BODY_PART;
    n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (n > max)
        return WIRE_BODY_TOO_LARGE;
    if (body.n - WIRE_PREFIX == n)
        return WIRE_BODY_ONE;
    return body.n - WIRE_PREFIX < n ? WIRE_BODY_PART : WIRE_BODY_SEVERAL;
}

size_t wire_timeout_format(char out[WIRE_TIMEOUT_MAX], uint64_t ns)
{
    static const struct {
        uint64_t ns;
        char unit;
    } units[] = {{NS_PER_US, 'u'}, {NS_PER_MS, 'm'}, {NS_PER_S, 'S'}, {60 * NS_PER_S, 'M'}};
    unsigned u = ns < NS_PER_MS ? 0 : 1;
    uint64_t v = 0;
    size_t n;

    for (; u < sizeof units / sizeof units[0]; u++) {
        v = ns / units[u].ns + (ns % units[u].ns != 0);
        if (v < 100000000)
            break;
    }
    if (u == sizeof units / sizeof units[0]) { /* nearly two centuries */
        u--;
        v = 99999999;
    }
    n = fmt_u64(out, v > 0 ? v : 1);
    out[n] = units[u].unit;
    return n + 1;
}

bool wire_timeout_parse(struct slice s, uint64_t *ns)
{
    uint64_t v, unit;

    if (s.n < 2 || s.n > 9 || !slice_to_u64(slice_of(s.p, s.n - 1), &v))
        return false;
    switch (s.p[s.n - 1]) {
    case 'H':
        unit = 3600 * NS_PER_S;
        break;
    case 'M':
        unit = 60 * NS_PER_S;
        break;
    case 'S':
        unit = NS_PER_S;
        break;
    case 'm':
        unit = NS_PER_MS;
        break;
    case 'u':
        unit = NS_PER_US;
        break;
    case 'n':
        unit = 1;
        break;
    default:
        return false;
    }
    /* Far enough from the end of time to be added to a clock. */
    *ns = v > UINT64_MAX / 4 / unit ? UINT64_MAX / 4 : v * unit;
    return true;
}

void wire_percent_encode(struct buf *out, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_char(out, (char)c);
        } else {
            buf_char(out, '%');
            buf_char(out, hex[c >> 4]);
            buf_char(out, hex[c & 15]);
        }
    }
}

void wire_percent_decode(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        int value = hex_escape(s.p + i, s.n - i);

        buf_char(out, value >= 0 ? (char)value : s.p[i]);
        i += value >= 0 ? 2 : 0;
    }
}

int wire_status_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return RPC_INTERNAL;
    case 401:
        return RPC_UNAUTHENTICATED;
    case 403:
        return RPC_PERMISSION_DENIED;
    case 404:
        return RPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return RPC_UNAVAILABLE;
    default:
        return RPC_UNKNOWN;
    }
}

int wire_status_of_reset(uint32_t error_code)
{
    switch (error_code) {
    case NGHTTP2_REFUSED_STREAM:
        return RPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return RPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return RPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return RPC_PERMISSION_DENIED;
    default:
        return RPC_INTERNAL;
    }
}

bool wire_is_grpc(struct slice content_type)
{
    static const struct slice grpc = {"application/grpc", 16};

    if (!slice_starts(content_type, grpc))
        return false;
    return content_type.n == grpc.n || content_type.p[grpc.n] == '+' ||
           content_type.p[grpc.n] == ';' || content_type.p[grpc.n] == ' ';
}

void wire_recycle(struct buf *b)
{
    if (b->cap > WIRE_KEEP_BYTES)
        buf_free(b);
    buf_clear(b);
}

void meta_clear(struct meta_set *m)
{
    buf_clear(&m->text);
    m->n = 0;
    m->overflow = false;
}

void meta_free(struct meta_set *m)
{
    buf_free(&m->text);
}

void meta_add(struct meta_set *m, struct slice name, struct slice value)
{
    uint32_t at = (uint32_t)m->text.n;

    if (m->n == WIRE_META_MAX || name.n + value.n > WIRE_META_BYTES_MAX - at ||
        !buf_reserve(&m->text, name.n + value.n)) {
        m->overflow = true;
        return;
    }
    buf_slice(&m->text, name);
    buf_slice(&m->text, value);
    m->at[m->n].name = at;
    m->at[m->n].name_n = (uint32_t)name.n;
    m->at[m->n].value = at + (uint32_t)name.n;
    m->at[m->n].value_n = (uint32_t)value.n;
    m->n++;
}

const struct rpc_meta *meta_view(struct meta_set *m)
{
    for (unsigned i = 0; i < m->n; i++) {
        m->view[i].name = slice_of(m->text.p + m->at[i].name, m->at[i].name_n);
        m->view[i].value = slice_of(m->text.p + m->at[i].value, m->at[i].value_n);
    }
    return m->view;
}
