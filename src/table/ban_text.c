/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets of bans as people write them, and lists of them. */
#include "config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/ip.h"
#include "table/ban_book.h"

/* Shorter prefixes are refused: a slip of the finger in front of a slash bans half the world. */
#define SHORTEST_V4 8u
#define SHORTEST_V6 16u
#define ERRORS_MAX  20u

static const struct slice identity_prefix = {"identity:", 9};

static bool parse_identity(struct slice id, struct ban_target *out, struct buf *why)
{
    bool ok = id.n > 0 && id.n <= BAN_IDENTITY_MAX;

    for (size_t i = 0; ok && i < id.n; i++)
        ok = id.p[i] > ' ' && id.p[i] <= '~';
    if (!ok)
        buf_str(why, "an identity is 1 to 128 visible ASCII characters");
    out->bits = BAN_BITS_IDENTITY;
    out->identity = id;
    return ok;
}

static bool parse_address(struct slice s, uint8_t addr[16], unsigned *width)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];

    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n) != NULL)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    memcpy(addr, mapped, sizeof mapped);
    *width = 32;
    if (inet_pton(AF_INET, text, addr + 12) == 1)
        return true;
    *width = 128;
    return inet_pton(AF_INET6, text, addr) == 1;
}

static bool clear_behind(uint8_t addr[16], unsigned bits)
{
    bool any = false;

    for (unsigned i = bits; i < 128; i++) {
        uint8_t bit = (uint8_t)(0x80u >> (i % 8));
        any = any || (addr[i / 8] & bit) != 0;
        addr[i / 8] &= (uint8_t)~bit;
    }
    return any;
}

/* An IPv6 text may name an IPv4 client: ::ffff:192.0.2.0/120. */
static bool is_v4(const struct ban_target *t)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return t->bits >= 96 && memcmp(t->addr, mapped, sizeof mapped) == 0;
}

static bool too_short(const struct ban_target *t, struct buf *why)
{
    unsigned shortest = is_v4(t) ? SHORTEST_V4 : SHORTEST_V6;
    unsigned bits = is_v4(t) ? t->bits - 96u : t->bits;

    if (bits >= shortest)
        return false;
    buf_printf(why, "a prefix of /%u is too much of the %s; the shortest is /%u", bits,
               is_v4(t) ? "IPv4 Internet" : "IPv6 Internet", shortest);
    return true;
}

bool ban_target_parse(struct slice text, struct ban_target *out, struct buf *why)
{
    size_t slash = slice_find(text, '/');
    char right[BAN_TEXT_MAX];
    unsigned width;
    uint64_t bits;

    memset(out, 0, sizeof *out);
    if (slice_starts(text, identity_prefix))
        return parse_identity(slice_of(text.p + identity_prefix.n, text.n - identity_prefix.n), out,
                              why);
    if (!parse_address(slice_of(text.p, slash), out->addr, &width))
        goto bad;
    bits = width;
    if (slash < text.n &&
        (!slice_to_u64(slice_of(text.p + slash + 1, text.n - slash - 1), &bits) || bits > width))
        goto bad;
    out->bits = (uint8_t)(128 - width + bits);
    if (clear_behind(out->addr, out->bits)) {
        ban_target_text(out, right);
        buf_char(why, '"');
        buf_utf8(why, text);
        buf_printf(why, "\" has bits behind its prefix; write %s", right);
        return false;
    }
    return !too_short(out, why);
bad:
    buf_char(why, '"');
    buf_utf8(why, slice_of(text.p, text.n < 80 ? text.n : 80));
    buf_str(why, "\" is no address, prefix or identity; write 192.0.2.1, 10.2.0.0/16, "
                 "2001:db8::/32 or identity:NAME");
    return false;
}

size_t ban_target_text(const struct ban_target *t, char out[BAN_TEXT_MAX])
{
    unsigned bits = t->bits, width = 128;
    size_t n;

    if (t->bits == BAN_BITS_IDENTITY) {
        memcpy(out, identity_prefix.p, identity_prefix.n);
        memcpy(out + identity_prefix.n, t->identity.p, t->identity.n);
        n = identity_prefix.n + t->identity.n;
        out[n] = '\0';
        return n;
    }
    n = ip_text(t->addr, out);
    if (is_v4(t)) {
        width = 32;
        bits -= 96;
    }
    if (bits == width)
        return n;
    out[n++] = '/';
    n += fmt_u64(out + n, bits);
    out[n] = '\0';
    return n;
}

bool ban_reason_check(struct slice reason, struct buf *why)
{
    struct slice rest = reason;

    if (reason.n > BAN_REASON_MAX) {
        buf_printf(why, "a reason has at most %u bytes, this one %zu", BAN_REASON_MAX, reason.n);
        return false;
    }
    while (rest.n > 0) {
        size_t n = utf8_len(rest);
        if (n == 0 || (n == 1 && ((unsigned char)*rest.p < ' ' || *rest.p == 0x7f))) {
            buf_str(why, "a reason is one line of text without control characters");
            return false;
        }
        rest = slice_of(rest.p + n, rest.n - n);
    }
    return true;
}

/* Up to the comment, without blanks around. */
static struct slice content(struct slice line)
{
    size_t n = slice_find(line, '#'), semicolon = slice_find(line, ';');

    line = slice_trim(slice_of(line.p, n < semicolon ? n : semicolon));
    while (line.n > 0 && line.p[line.n - 1] == '\r')
        line = slice_trim(slice_of(line.p, line.n - 1));
    return line;
}

bool ban_list_parse(const char *file, struct slice text, struct ban **list, size_t *n,
                    struct buf *errors)
{
    unsigned wrong = 0;
    size_t room = *n;

    for (size_t number = 1; text.n > 0 && wrong < ERRORS_MAX; number++) {
        struct slice line = slice_of(text.p, slice_find(text, '\n')), what = content(line);
        struct ban_target target;
        struct buf why = {0};
        size_t skip = line.n < text.n ? line.n + 1 : line.n;
        text = slice_of(text.p + skip, text.n - skip);
        if (what.n == 0)
            continue;
        if (!ban_target_parse(what, &target, &why)) {
            buf_printf(errors, "%s:%zu:%zu: error: %s\n", file, number,
                       (size_t)(what.p - line.p) + 1, buf_cstr(&why));
            buf_free(&why);
            wrong++;
            continue;
        }
        if (*n == room) {
            room = room > 0 ? 2 * room : 256;
            *list = xrealloc(*list, room * sizeof **list);
        }
        (*list)[(*n)++] = (struct ban){.what = target};
    }
    return wrong == 0;
}
