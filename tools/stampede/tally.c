/* SPDX-License-Identifier: BSD-2-Clause */
#include "tally.h"

#include <stdio.h>
#include <string.h>

static void count_reason(struct tally *t, struct slice reason)
{
    unsigned i = 0;

    for (; i < TALLY_REASONS - 1; i++) {
        if (t->reasons[i].n == 0) {
            snprintf(t->reasons[i].name, sizeof t->reasons[i].name, "%.*s", SLICE_ARG(reason));
            break;
        }
        if (slice_eq(slice_str(t->reasons[i].name), reason))
            break;
    }
    if (i == TALLY_REASONS - 1)
        strcpy(t->reasons[i].name, "other");
    t->reasons[i].n++;
}

void tally_answer(struct tally *t, const struct wire_result *r)
{
    t->errors[r->error]++;
    if (r->error != WIRE_OK)
        return;
    t->status[r->status < 600 ? r->status : 599]++;
    if (r->status >= 400)
        count_reason(t, r->reason.n > 0 ? r->reason : SLICE_LIT("(no reason)"));
}

double tally_purchases_per_s(const struct tally *t)
{
    uint64_t ns = t->last_created_ns - t->first_created_ns;

    return t->sale_created > 1 && ns > 0 ? (double)(t->sale_created - 1) * 1e9 / (double)ns : 0;
}

static double run_seconds(const struct tally *t)
{
    return t->end_ns > t->begin_ns ? (double)(t->end_ns - t->begin_ns) / 1e9 : 0;
}

static double per_second(const struct tally *t, uint64_t n)
{
    double s = run_seconds(t);

    return s > 0 ? (double)n / s : 0;
}

static json_t *rounded(double v, double unit)
{
    return json_real((double)(int64_t)(v / unit + 0.5) * unit);
}

static json_t *status_json(const struct tally *t)
{
    json_t *obj = json_object();
    char name[8];

    for (unsigned i = 0; i < 600; i++) {
        if (t->status[i] == 0)
            continue;
        snprintf(name, sizeof name, "%u", i);
        json_object_set_new(obj, name, json_integer((json_int_t)t->status[i]));
    }
    return obj;
}

static json_t *reasons_json(const struct tally *t)
{
    json_t *obj = json_object();

    for (unsigned i = 0; i < TALLY_REASONS; i++) {
        if (t->reasons[i].n > 0)
            json_object_set_new(obj, t->reasons[i].name, json_integer((json_int_t)t->reasons[i].n));
    }
    return obj;
}

static json_t *errors_json(const struct tally *t)
{
    json_t *obj = json_object();

    for (enum wire_error e = WIRE_OK + 1; e < WIRE_ERRORS; e++)
        json_object_set_new(obj, wire_error_name(e), json_integer((json_int_t)t->errors[e]));
    return obj;
}

void tally_json(const struct tally *t, json_t *obj)
{
    const struct {
        const char *name;
        uint64_t n;
    } counts[] = {
        {"buyers", t->buyers},     {"offered", t->offered},     {"answered", t->answered},
        {"created", t->created},   {"replayed", t->replayed},   {"confirmed", t->confirmed},
        {"canceled", t->canceled}, {"unknown", t->unknown},     {"unsettled", t->unsettled},
        {"retries", t->retries},   {"malformed", t->malformed},
    };

    json_object_set_new(obj, "p50_ms", rounded(latency_quantile_ms(&t->all, 0.5), 0.001));
    json_object_set_new(obj, "p99_ms", rounded(latency_quantile_ms(&t->all, 0.99), 0.001));
    json_object_set_new(obj, "bought_p50_ms", rounded(latency_quantile_ms(&t->bought, 0.5), 0.001));
    json_object_set_new(obj, "bought_p99_ms",
                        rounded(latency_quantile_ms(&t->bought, 0.99), 0.001));
    json_object_set_new(obj, "purchases_per_s", rounded(tally_purchases_per_s(t), 0.1));
    json_object_set_new(obj, "offered_per_s", rounded(per_second(t, t->offered), 0.1));
    json_object_set_new(obj, "answered_per_s", rounded(per_second(t, t->answered), 0.1));
    json_object_set_new(obj, "seconds", rounded(run_seconds(t), 0.001));
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++)
        json_object_set_new(obj, counts[i].name, json_integer((json_int_t)counts[i].n));
    json_object_set_new(obj, "status", status_json(t));
    json_object_set_new(obj, "reasons", reasons_json(t));
    json_object_set_new(obj, "errors", errors_json(t));
}

void tally_print(const struct tally *t, const struct wire *w)
{
    printf("buyers    %llu in %.1f s: %.1f orders/s offered, %.1f/s answered, backlog at most %u\n",
           (unsigned long long)t->buyers, run_seconds(t), per_second(t, t->offered),
           per_second(t, t->answered), w->backlog_max);
    printf(
        "orders    %llu offered, %llu created (for %llu tickets), of these %llu then paid and %llu "
        "canceled; %llu answers repeated\n",
        (unsigned long long)t->offered, (unsigned long long)t->created,
        (unsigned long long)t->units, (unsigned long long)t->confirmed,
        (unsigned long long)t->canceled, (unsigned long long)t->replayed);
    printf("answers  ");
    for (unsigned i = 0; i < 600; i++) {
        if (t->status[i] > 0)
            printf(" %u: %llu", i, (unsigned long long)t->status[i]);
    }
    printf("\nrefused  ");
    for (unsigned i = 0; i < TALLY_REASONS; i++) {
        if (t->reasons[i].n > 0)
            printf(" %s: %llu", t->reasons[i].name, (unsigned long long)t->reasons[i].n);
    }
    printf("\ntrouble   retries %llu", (unsigned long long)t->retries);
    for (enum wire_error e = WIRE_OK + 1; e < WIRE_ERRORS; e++)
        printf(", %s %llu", wire_error_name(e), (unsigned long long)t->errors[e]);
    printf("; outcomes unknown at the end %llu, after settling %llu\n",
           (unsigned long long)t->unknown, (unsigned long long)t->unsettled);
}
