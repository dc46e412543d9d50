/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "output.h"

#define ANSWER_NS (10 * NS_PER_S)

/* Counters that become rates, and what tells one row from another. */
static const struct {
    const char *view, *row, *counter, *rate;
} rates[] = {
    {"routes", "route", "requests", "requests_per_s"},
    {"split", "label", "requests", "requests_per_s"},
    {"sales", "event", "sold_total", "sold_per_s"},
    {"bans", "ban", "hits", "hits_per_s"},
};

static const json_t *same_row(const json_t *rows, const char *key, const char *name)
{
    size_t i;
    const json_t *row;

    json_array_foreach(rows, i, row)
    {
        const char *other = json_string_value(json_object_get(row, key));
        if (other != NULL && name != NULL && strcmp(other, name) == 0)
            return row;
    }
    return NULL;
}

/* Adds rates to the rows that the answer before had too. A counter that went back began anew. */
static void add_rates(json_t *doc, const json_t *before, double elapsed_s)
{
    char view[32];
    json_t *row;
    size_t i;

    document_view(doc, view);
    for (unsigned r = 0; r < sizeof rates / sizeof *rates; r++) {
        if (strcmp(view, rates[r].view) != 0 || elapsed_s <= 0)
            continue;
        json_array_foreach(json_object_get(doc, "data"), i, row)
        {
            const char *name = json_string_value(json_object_get(row, rates[r].row));
            const json_t *old = same_row(json_object_get(before, "data"), rates[r].row, name);
            json_int_t now = json_integer_value(json_object_get(row, rates[r].counter));
            json_int_t then = json_integer_value(json_object_get(old, rates[r].counter));
            if (old != NULL && now >= then)
                json_object_set_new(row, rates[r].rate,
                                    json_real((double)(now - then) / elapsed_s));
            else
                json_object_set_new(row, rates[r].rate, json_null());
        }
    }
}

static void clear_screen(const struct options *o)
{
    static const char clear[] = "\033[H\033[2J";
    struct buf out = {0};

    if (option_given(o, OPT_JSON) || !isatty(STDOUT_FILENO))
        return;
    buf_str(&out, clear);
    output_write(&out);
    buf_free(&out);
}

/* Nobody reads any more: the only way a watch into a pipe ends by itself. */
static bool reader_gone(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

int watch_run(const struct options *o, const char *path)
{
    json_t *before = NULL;
    uint64_t before_ns = 0, next_ns = clock_mono_ns();
    int status = 0;

    while (status == 0 && !reader_gone()) {
        struct client_failure failure = {0};
        json_t *doc = client_ask(path, o, ANSWER_NS, &failure);
        uint64_t now = clock_mono_ns();
        if (doc == NULL) {
            status = output_failure(o, &failure);
            break;
        }
        add_rates(doc, before, before_ns > 0 ? (double)(now - before_ns) / (double)NS_PER_S : 0);
        json_decref(before);
        before = json_deep_copy(doc); /* printing narrows the rows */
        before_ns = now;
        clear_screen(o);
        status = output_document(o, doc);
        json_decref(doc);
        next_ns += (uint64_t)(o->watch_s * (double)NS_PER_S);
        now = clock_mono_ns();
        if (next_ns > now)
            (void)poll(NULL, 0, (int)((next_ns - now) / NS_PER_MS));
        else
            next_ns = now;
    }
    json_decref(before);
    return status;
}
