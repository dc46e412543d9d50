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
#include "table.h"

#define ANSWER_NS (10 * NS_PER_S)

/* Views whose first field does not tell one row from another: what does with it. */
static const struct {
    const char *view, *field;
} second_keys[] = {
    {"concurrency", "worker"},
    {"split", "arm"},
};

static const char *second_key(const char *view)
{
    for (unsigned i = 0; i < sizeof second_keys / sizeof *second_keys; i++)
        if (strcmp(second_keys[i].view, view) == 0)
            return second_keys[i].field;
    return NULL;
}

static bool agree(const json_t *a, const json_t *b, const char *field)
{
    return field == NULL || json_equal(json_object_get(a, field), json_object_get(b, field));
}

static const json_t *same_row(const char *view, const json_t *rows, const json_t *as)
{
    size_t i;
    const json_t *row;

    json_array_foreach(rows, i, row)
    {
        if (agree(row, as, table_first_field(view)) && agree(row, as, second_key(view)))
            return row;
    }
    return NULL;
}

/* The counter behind rate "NAME_per_s": "NAME_total" where NAME itself is a gauge, else "NAME". */
static const json_t *counter_of(const json_t *row, const char *rate)
{
    int n = (int)(strlen(rate) - strlen("_per_s"));
    char name[64];
    const json_t *counter;

    snprintf(name, sizeof name, "%.*s_total", n, rate);
    counter = json_object_get(row, name);
    if (counter != NULL)
        return counter;
    snprintf(name, sizeof name, "%.*s", n, rate);
    return json_object_get(row, name);
}

/* Null where there is nothing to compare with: a new row, or a counter that began anew. */
static json_t *rate_of(const json_t *row, const json_t *old, const char *rate, double elapsed_s)
{
    json_int_t now = json_integer_value(counter_of(row, rate));
    json_int_t then = json_integer_value(counter_of(old, rate));

    if (old == NULL || now < then || elapsed_s <= 0)
        return json_null();
    return json_real((double)(now - then) / elapsed_s);
}

/* before: the answer before, or NULL. Which rates a view has, columns.def says. */
static void add_rates(json_t *doc, const json_t *before, double elapsed_s)
{
    char view[32];
    const char *rate;
    json_t *row;
    size_t i;

    document_view(doc, view);
    json_array_foreach(json_object_get(doc, "data"), i, row)
    {
        const json_t *old = same_row(view, json_object_get(before, "data"), row);
        for (unsigned r = 0; (rate = table_rate(view, r)) != NULL; r++)
            json_object_set_new(row, rate, rate_of(row, old, rate, elapsed_s));
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
