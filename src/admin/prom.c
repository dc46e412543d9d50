/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "admin/prom.h"

#include "base/clock.h"

/* Of the 104 buckets every octave from 64 us to 16.8 s: enough to draw, cheap to keep. */
#define LE_FIRST 24u
#define LE_LAST  96u
#define LE_STEP  4u

void prom_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline escaped, what is not UTF-8 replaced. */
static void label_value(struct buf *out, struct slice s)
{
    while (s.n > 0) {
        if (*s.p == '\n') {
            buf_str(out, "\\n");
            s = slice_of(s.p + 1, s.n - 1);
            continue;
        }
        if (*s.p == '\\' || *s.p == '"')
            buf_char(out, '\\');
        buf_utf8_next(out, &s);
    }
}

void prom_label(struct buf *out, const char *before, const char *name, struct slice value)
{
    buf_printf(out, "%s%s=\"", before, name);
    label_value(out, value);
    buf_char(out, '"');
}

void prom_seconds(struct buf *out, uint64_t ns)
{
    buf_printf(out, "%llu.%09llu", (unsigned long long)(ns / NS_PER_S),
               (unsigned long long)(ns % NS_PER_S));
}

void prom_value(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
    prom_head(out, name, type, help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

/* labels: complete, without braces; "" none. */
void prom_histogram(const char *name, struct slice labels, struct prom_times t, struct buf *out)
{
    const char *comma = labels.n > 0 ? "," : "", *open = labels.n > 0 ? "{" : "",
               *close = labels.n > 0 ? "}" : "";
    uint64_t seen = 0;

    for (unsigned i = 0, next = LE_FIRST; i <= LE_LAST; i++) {
        seen += t.buckets[i];
        if (i != next)
            continue;
        next += LE_STEP;
        buf_printf(out, "%s_bucket{%.*s%sle=\"%g\"} %llu\n", name, SLICE_ARG(labels), comma,
                   (double)histogram_bound_ns(i) / (double)NS_PER_S, (unsigned long long)seen);
    }
    buf_printf(out, "%s_bucket{%.*s%sle=\"+Inf\"} %llu\n%s_sum%s%.*s%s ", name, SLICE_ARG(labels),
               comma, (unsigned long long)t.count, name, open, SLICE_ARG(labels), close);
    prom_seconds(out, t.sum_ns);
    buf_printf(out, "\n%s_count%s%.*s%s %llu\n", name, open, SLICE_ARG(labels), close,
               (unsigned long long)t.count);
}
