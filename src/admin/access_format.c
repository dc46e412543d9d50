/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record as a line of JSON. Formatted by hand, since every request costs it: what is plain ASCII
 * is copied, the rest goes through buf_json.
 */
#include "config.h"

#include <string.h>

#include "admin/parts.h"
#include "base/clock.h"
#include "base/ip.h"
#include "http/method.h"

/* Room that everything but the strings needs at most. */
#define FIXED_BYTES 768

static bool plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static void put_string(struct buf *out, struct slice s)
{
    if (!plain(s)) {
        buf_json(out, s);
        return;
    }
    buf_char(out, '"');
    buf_slice(out, s);
    buf_char(out, '"');
}

#define PUT_LIT(out, text) buf_add(out, text, sizeof(text) - 1)

/* Three digits with leading zeros. */
static void put_milli(struct buf *out, unsigned n)
{
    char digits[3] = {(char)('0' + n / 100), (char)('0' + n / 10 % 10), (char)('0' + n % 10)};

    buf_add(out, digits, sizeof digits);
}

static void put_time(struct access_format *f, struct buf *out, uint64_t real_ns)
{
    uint64_t second = real_ns / NS_PER_S;

    if (second != f->second || f->text[0] == '\0') {
        char text[CLOCK_ISO_MAX];
        clock_iso8601(second * NS_PER_S, 0, text);
        memcpy(f->text, text, 19);
        f->text[19] = '.';
        f->second = second;
    }
    buf_add(out, f->text, 20);
    put_milli(out, (unsigned)(real_ns % NS_PER_S / NS_PER_MS));
    buf_char(out, 'Z');
}

/* Milliseconds with microseconds behind the point. */
static void put_ms(struct buf *out, uint64_t ns)
{
    buf_u64(out, ns / NS_PER_MS);
    buf_char(out, '.');
    put_milli(out, (unsigned)(ns % NS_PER_MS / NS_PER_US));
}

static void put_address(struct buf *out, const uint8_t addr[16])
{
    if (buf_reserve(out, IP_TEXT_MAX))
        out->n += ip_text(addr, out->p + out->n);
}

static void put_number(struct buf *out, const char *key, uint64_t n)
{
    buf_str(out, key);
    buf_u64(out, n);
}

void access_format(struct access_format *f, const struct access_record *rec, struct buf *out)
{
    if (!buf_reserve(out, FIXED_BYTES + rec->target.n + rec->user_agent.n))
        return;
    PUT_LIT(out, "{\"time\":\"");
    put_time(f, out, rec->real_ns);
    PUT_LIT(out, "\",\"request_id\":");
    put_string(out, rec->request_id);
    PUT_LIT(out, ",\"trace_id\":");
    put_string(out, rec->trace_id);
    PUT_LIT(out, ",\"client\":\"");
    put_address(out, rec->peer);
    PUT_LIT(out, "\",\"method\":\"");
    if (rec->method < METHOD_COUNT)
        buf_slice(out, method_name((enum http_method_id)rec->method));
    PUT_LIT(out, "\",\"target\":");
    put_string(out, rec->target);
    PUT_LIT(out, ",\"protocol\":\"HTTP/1.");
    buf_char(out, rec->minor == 0 ? '0' : '1');
    put_number(out, "\",\"status\":", rec->status);
    PUT_LIT(out, ",\"reason\":");
    put_string(out, rec->reason);
    PUT_LIT(out, ",\"route\":");
    put_string(out, rec->route);
    PUT_LIT(out, ",\"arm\":");
    put_string(out, rec->arm);
    PUT_LIT(out, ",\"user\":");
    put_string(out, rec->identity);
    put_number(out, ",\"bytes_in\":", rec->bytes_in);
    put_number(out, ",\"bytes_out\":", rec->bytes_out);
    PUT_LIT(out, ",\"duration_ms\":");
    put_ms(out, rec->duration_ns);
    PUT_LIT(out, ",\"upstream_ms\":");
    if (rec->upstream_ns > 0)
        put_ms(out, rec->upstream_ns);
    else
        PUT_LIT(out, "null");
    PUT_LIT(out, ",\"user_agent\":");
    put_string(out, rec->user_agent);
    put_number(out, ",\"generation\":", rec->generation);
    PUT_LIT(out, "}\n");
}
