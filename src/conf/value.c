/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "conf/router.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first: value_format takes the first that divides. */
static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                        {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit sizes[] = {{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {NULL, 0}};

/* --- variables --- */

static bool name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* inside: between the braces. */
static bool expand_one(struct slice inside, struct buf *out, struct buf *why)
{
    struct slice rest;
    size_t n = 0;
    const char *value;
    char name[128];

    while (n < inside.n && name_char(inside.p[n], n == 0))
        n++;
    rest = slice_of(inside.p + n, inside.n - n);
    if (n == 0 || n >= sizeof name || (rest.n > 0 && !slice_starts(rest, SLICE_LIT(":-")))) {
        buf_str(why, "bad variable: write ${NAME} or ${NAME:-default}, and $$ for a dollar sign");
        return false;
    }
    memcpy(name, inside.p, n);
    name[n] = '\0';
    value = getenv(name);
    if (rest.n > 0 && (value == NULL || *value == '\0')) {
        buf_add(out, rest.p + 2, rest.n - 2);
        return true;
    }
    if (value == NULL) {
        buf_printf(why, "the environment has no %s and there is no default: ${%s:-default}", name,
                   name);
        return false;
    }
    buf_str(out, value);
    return true;
}

bool value_expand(struct slice text, struct buf *out, size_t *at, struct buf *why)
{
    for (size_t i = 0; i < text.n; i++) {
        struct slice inside;

        if (text.p[i] != '$' || i + 1 == text.n || (text.p[i + 1] != '$' && text.p[i + 1] != '{')) {
            buf_char(out, text.p[i]);
            continue;
        }
        if (text.p[i + 1] == '$') {
            buf_char(out, '$');
            i++;
            continue;
        }
        *at = i;
        inside = slice_of(text.p + i + 2, text.n - i - 2);
        inside.n = slice_find(inside, '}');
        if (inside.n == text.n - i - 2) {
            buf_str(why, "${ without }");
            return false;
        }
        if (!expand_one(inside, out, why))
            return false;
        i += inside.n + 2;
    }
    return true;
}

/* --- numbers --- */

static const struct unit *unit_find(const struct unit *units, struct slice name)
{
    for (; units->name != NULL; units++)
        if (slice_eq(slice_str(units->name), name))
            return units;
    return NULL;
}

static size_t digits(struct slice s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n;
}

/* Digits of s, at most INT64_MAX. */
static bool to_num(struct slice s, int64_t *out)
{
    uint64_t v;

    if (!slice_to_u64(s, &v) || v > INT64_MAX)
        return false;
    *out = (int64_t)v;
    return true;
}

static bool parse_int(struct slice s, int64_t *out, struct buf *why)
{
    if (to_num(s, out))
        return true;
    buf_printf(why, "\"%.*s\" is not a whole number", SLICE_ARG(s));
    return false;
}

static bool parse_size(struct slice s, int64_t *out, struct buf *why)
{
    size_t n = digits(s);
    const struct unit *u = unit_find(sizes, slice_of(s.p + n, s.n - n));

    if (to_num(slice_of(s.p, n), out) &&
        (n == s.n || (u != NULL && !__builtin_mul_overflow(*out, u->factor, out))))
        return true;
    if (n > 0 && n + 1 == s.n && strchr("KMG", s.p[n]) != NULL)
        buf_printf(why, "\"%.*s\" is not a size; write \"%.*s%c\": units are small letters",
                   SLICE_ARG(s), (int)n, s.p, s.p[n] | 0x20);
    else
        buf_printf(why, "\"%.*s\" is not a size; write 512, 64k, 8m or 1g", SLICE_ARG(s));
    return false;
}

/* "1h30m" too. */
static bool duration_parts(struct slice s, int64_t *out)
{
    *out = 0;
    while (s.n > 0) {
        size_t n = digits(s), len = n;
        const struct unit *u;
        int64_t v;

        while (len < s.n && (s.p[len] < '0' || s.p[len] > '9'))
            len++;
        u = unit_find(durations, slice_of(s.p + n, len - n));
        if (u == NULL || !to_num(slice_of(s.p, n), &v) ||
            __builtin_mul_overflow(v, u->factor, &v) || __builtin_add_overflow(*out, v, out))
            return false;
        s = slice_of(s.p + len, s.n - len);
    }
    return true;
}

static bool parse_duration(struct slice s, int64_t *out, struct buf *why)
{
    if (s.n > 0 && (duration_parts(s, out) || (s.n == 1 && s.p[0] == '0')))
        return true;
    if (s.n > 0 && digits(s) == s.n)
        buf_printf(why, "\"%.*s\" has no unit; write %.*ss or %.*sms", SLICE_ARG(s), SLICE_ARG(s),
                   SLICE_ARG(s));
    else
        buf_printf(why, "\"%.*s\" is not a duration; write 500ms, 10s, 5m or 7h", SLICE_ARG(s));
    return false;
}

static bool parse_percent(struct slice s, int64_t *out, struct buf *why)
{
    if (s.n > 1 && s.p[s.n - 1] == '%' && to_num(slice_of(s.p, s.n - 1), out))
        return true;
    buf_printf(why, "\"%.*s\" is not a percentage; write 10%%", SLICE_ARG(s));
    return false;
}

#define RATE_PERIOD_MAX_MS INT64_C(2592000000) /* 30 days */
#define RATE_PER_MS_MAX    1000

/* "20/s", "5/10s": a count and a duration, whose 1 may be left out. */
static bool rate_parts(struct slice s, struct value *out, int64_t *period_ms)
{
    size_t slash = slice_find(s, '/');
    struct slice count = slice_of(s.p, slash), period;
    const struct unit *u;

    if (slash == s.n)
        return false;
    period = slice_of(s.p + slash + 1, s.n - slash - 1);
    u = unit_find(durations, period);
    *period_ms = u != NULL ? u->factor : 0;
    return to_num(count, &out->num) &&
           (u != NULL || (digits(period) > 0 && duration_parts(period, period_ms)));
}

static bool parse_rate(struct slice s, struct value *out, struct buf *why)
{
    int64_t period_ms = 0;

    if (!rate_parts(s, out, &period_ms))
        buf_printf(why, "\"%.*s\" is not a rate; write 20/s, 5/10s, 100/m or 1/h", SLICE_ARG(s));
    else if (out->num == 0)
        buf_printf(why, "\"%.*s\" would admit nothing; a route without upstream can refuse",
                   SLICE_ARG(s));
    else if (period_ms == 0 || period_ms > RATE_PERIOD_MAX_MS)
        buf_str(why, "the time of a rate must be between 1ms and 30d");
    else if (out->num / period_ms > RATE_PER_MS_MAX ||
             (out->num / period_ms == RATE_PER_MS_MAX && out->num % period_ms != 0))
        buf_str(why, "above 1,000,000 a second");
    else
        out->period_ns = (uint64_t)period_ms * 1000000;
    return out->period_ns != 0;
}

static bool parse_mode(struct slice s, int64_t *out, struct buf *why)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '7' || s.n > 5)
            goto bad;
        *out = *out * 8 + (s.p[i] - '0');
    }
    if (s.n >= 3)
        return true;
bad:
    buf_printf(why, "\"%.*s\" is not an octal mode; write \"0660\"", SLICE_ARG(s));
    return false;
}

static bool parse_bool(struct slice s, int64_t *out, struct buf *why)
{
    int i = setting_word_index("false|true|off|on|no|yes", s);

    *out = i & 1;
    if (i >= 0)
        return true;
    buf_printf(why, "\"%.*s\" is neither true nor false", SLICE_ARG(s));
    return false;
}

static bool parse_word(const char *values, struct slice s, int64_t *out, struct buf *why)
{
    struct slice word;
    bool first = true;

    *out = setting_word_index(values, s);
    if (*out >= 0)
        return true;
    buf_printf(why, "\"%.*s\" is none of ", SLICE_ARG(s));
    while (setting_word(&values, &word)) {
        buf_printf(why, "%s%.*s", first ? "" : ", ", SLICE_ARG(word));
        first = false;
    }
    return false;
}

/* --- texts --- */

bool value_host_port(struct slice text, struct slice *host, uint16_t *port)
{
    size_t colon = text.n;
    uint64_t v;

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || text.n - colon > 5 ||
        !slice_to_u64(slice_of(text.p + colon, text.n - colon), &v) || v > 65535)
        return false;
    *host = slice_of(text.p, colon - 1);
    if (host->p[0] == '[') {
        if (host->n < 4 || host->p[host->n - 1] != ']')
            return false;
        *host = slice_of(host->p + 1, host->n - 2);
    } else if (slice_find(*host, ':') < host->n) {
        return false;
    }
    for (size_t i = 0; i < host->n; i++)
        if (host->p[i] <= ' ' || host->p[i] == '/' || (unsigned char)host->p[i] >= 0x7f)
            return false;
    *port = (uint16_t)v;
    return true;
}

static bool check_address(const char *forms, struct slice s, struct buf *why)
{
    struct slice host;
    uint16_t port;
    bool unix_too = setting_word_index(forms, SLICE_LIT("unix")) >= 0;

    if (slice_starts(s, SLICE_LIT("unix:@")) && unix_too) {
        buf_printf(why,
                   "\"%.*s\" is an abstract socket, which no file mode protects; write unix:PATH",
                   SLICE_ARG(s));
        return false;
    }
    if (slice_starts(s, SLICE_LIT("unix:")) && unix_too) {
        if (s.n > 5)
            return true;
    } else if (value_host_port(s, &host, &port)) {
        return true;
    }
    buf_printf(why, "\"%.*s\" is not an address; write host:port, [v6]:port%s", SLICE_ARG(s),
               unix_too ? " or unix:PATH" : "");
    return false;
}

static bool cidr_address(struct slice s, struct conf_cidr *out, unsigned *width)
{
    char text[INET6_ADDRSTRLEN];
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (strlen(text) != s.n)
        return false;
    memcpy(out->addr, mapped, sizeof mapped);
    *width = 32;
    if (inet_pton(AF_INET, text, out->addr + 12) == 1)
        return true;
    *width = 128;
    return inet_pton(AF_INET6, text, out->addr) == 1;
}

/* Clears the bits behind the prefix; true when one was set. */
static bool cidr_mask(struct conf_cidr *c)
{
    bool any = false;

    for (unsigned i = c->bits; i < 128; i++) {
        uint8_t bit = (uint8_t)(0x80u >> (i % 8));
        any = any || (c->addr[i / 8] & bit);
        c->addr[i / 8] &= (uint8_t)~bit;
    }
    return any;
}

static bool parse_cidr(struct slice s, struct conf_cidr *out, struct buf *why)
{
    size_t slash = slice_find(s, '/');
    unsigned width;
    uint64_t bits;

    if (!cidr_address(slice_of(s.p, slash), out, &width))
        goto bad;
    bits = width;
    if (slash < s.n &&
        (!slice_to_u64(slice_of(s.p + slash + 1, s.n - slash - 1), &bits) || bits > width))
        goto bad;
    out->bits = (uint32_t)(128 - width + bits);
    if (cidr_mask(out)) {
        char text[INET6_ADDRSTRLEN];
        inet_ntop(width == 32 ? AF_INET : AF_INET6, out->addr + (width == 32 ? 12 : 0), text,
                  sizeof text);
        buf_printf(why, "\"%.*s\" has bits behind its prefix; write %s/%u", SLICE_ARG(s), text,
                   (unsigned)bits);
        return false;
    }
    return true;
bad:
    buf_printf(why,
               "\"%.*s\" is not an address range; write 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32",
               SLICE_ARG(s));
    return false;
}

static bool all_in(struct slice s, const char *more)
{
    for (size_t i = 0; i < s.n; i++)
        if (!name_char(s.p[i], false) && (s.p[i] == '\0' || strchr(more, s.p[i]) == NULL))
            return false;
    return true;
}

/* "a, b or c" */
static void list_words(const char *values, struct buf *out)
{
    struct slice word;
    bool first = true;

    while (setting_word(&values, &word)) {
        buf_str(out, first ? "" : values[0] != '\0' ? ", " : " or ");
        buf_slice(out, word);
        first = false;
    }
}

/* One of the words, or its part up to ':' and a name. */
static bool parse_key(const char *values, struct slice s, struct value *out, struct buf *why)
{
    size_t colon = slice_find(s, ':');
    const char *rest = values;
    struct slice word;

    for (out->num = 0; setting_word(&rest, &word); out->num++) {
        size_t end = slice_find(word, ':');
        if (!slice_eq(slice_of(word.p, end), slice_of(s.p, colon)) ||
            (end < word.n) != (colon < s.n))
            continue;
        if (end == word.n)
            return true;
        out->name = s.p + colon + 1;
        if (s.n - colon - 1 > 0 && all_in(slice_of(out->name, s.n - colon - 1), "-."))
            return true;
        break;
    }
    buf_printf(why, "\"%.*s\" is not a key; write ", SLICE_ARG(s));
    list_words(values, why);
    return false;
}

static bool printable(struct slice s, unsigned char from)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < from || (unsigned char)s.p[i] > 0x7e)
            return false;
    return true;
}

static bool check_host(struct slice s)
{
    if (slice_starts(s, SLICE_LIT("*."))) {
        s.p += 2;
        s.n -= 2;
        if (s.n == 0)
            return false;
    }
    if (s.n > 2 && s.p[0] == '[')
        return s.p[s.n - 1] == ']' && all_in(slice_of(s.p + 1, s.n - 2), ":.");
    return s.n == 0 || (all_in(s, "-.") && s.p[0] != '.');
}

/* Texts are parsed for their form only; what they refer to is checked when everything is read. */
static bool check_text(enum setting_id id, struct slice s, size_t *at, struct buf *why)
{
    switch (setting_base(id)) {
    case T_NAME:
        if (all_in(s, "-."))
            return true;
        buf_printf(why, "\"%.*s\" is not a name: letters, digits, - _ .", SLICE_ARG(s));
        return false;
    case T_TEXT:
        if (printable(s, ' '))
            return true;
        buf_str(why, "must be printable ASCII");
        return false;
    case T_HEADER:
        if (all_in(s, "-!#$%&'*+.^`|~"))
            return true;
        buf_printf(why, "\"%.*s\" is not the name of a header field", SLICE_ARG(s));
        return false;
    case T_HOST:
        if (check_host(s))
            return true;
        buf_printf(why, "\"%.*s\" is not a host; write example.org or *.example.org, without port",
                   SLICE_ARG(s));
        return false;
    case T_URLPATH:
        if (s.p[0] == '/' && printable(s, '!'))
            return true;
        buf_str(why, "must begin with / and have neither blanks nor control characters");
        return false;
    case T_TEMPLATE:
        return router_template_check(s, at, why);
    case T_ADDRESS:
        return check_address(conf_settings[id].values, s, why);
    default:
        return true;
    }
}

static bool check_length(enum setting_id id, struct slice s, struct buf *why)
{
    const struct setting *set = &conf_settings[id];

    if ((int64_t)s.n < set->min)
        buf_str(why, "must not be empty");
    else if ((int64_t)s.n > set->max)
        buf_printf(why, "longer than %" PRId64 " bytes", set->max);
    else if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL)
        buf_str(why, "has a NUL byte");
    else
        return true;
    return false;
}

void value_format_range(enum setting_id id, struct buf *out)
{
    buf_str(out, "between ");
    value_format(setting_base(id), conf_settings[id].min, out);
    buf_str(out, " and ");
    value_format(setting_base(id), conf_settings[id].max, out);
}

static bool check_range(enum setting_id id, int64_t num, struct buf *why)
{
    const struct setting *set = &conf_settings[id];

    if (num >= set->min && num <= set->max)
        return true;
    buf_str(why, "must be ");
    value_format_range(id, why);
    return false;
}

bool value_parse(enum setting_id id, struct slice s, struct value *out, struct buf *why)
{
    const struct setting *set = &conf_settings[id];
    bool ok;

    *out = (struct value){0};
    switch (setting_base(id)) {
    case T_BOOL:
        return parse_bool(s, &out->num, why);
    case T_ENUM:
    case T_METHOD:
        return parse_word(set->values, s, &out->num, why);
    case T_CIDR:
        return parse_cidr(s, &out->cidr, why);
    case T_RATE:
        return parse_rate(s, out, why);
    case T_KEY:
        return check_length(id, s, why) && parse_key(set->values, s, out, why);
    case T_INT:
        if (set->values[0] != '\0' && slice_eq(s, slice_str(set->values)))
            return true;
        ok = parse_int(s, &out->num, why);
        if (!ok && set->values[0] != '\0')
            buf_printf(why, " or %s", set->values);
        break;
    case T_SIZE:
        ok = parse_size(s, &out->num, why);
        break;
    case T_DURATION:
        ok = parse_duration(s, &out->num, why);
        break;
    case T_PERCENT:
        ok = parse_percent(s, &out->num, why);
        break;
    case T_MODE:
        ok = parse_mode(s, &out->num, why);
        break;
    default:
        return check_length(id, s, why) && (s.n == 0 || check_text(id, s, &out->at, why));
    }
    return ok && check_range(id, out->num, why);
}

void value_format(int type, int64_t num, struct buf *out)
{
    const struct unit *u = type == T_SIZE ? sizes : type == T_DURATION ? durations : NULL;

    if (type == T_MODE) {
        buf_printf(out, "0%03" PRIo64, num);
        return;
    }
    if (num == 0 && type == T_DURATION) {
        buf_str(out, "0s");
        return;
    }
    while (u != NULL && u->name != NULL && (num == 0 || num % u->factor != 0))
        u++;
    if (u == NULL || u->name == NULL)
        buf_printf(out, "%" PRId64 "%s", num, type == T_PERCENT ? "%" : "");
    else
        buf_printf(out, "%" PRId64 "%s", num / u->factor, u->name);
}
