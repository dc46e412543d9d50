/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/concurrency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/word.h"
#include "gate/request.h"

static void store(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, n, memory_order_relaxed);
}

static void publish(const struct concurrency *c)
{
    struct metric_concurrency *w = c->words;

    if (w == NULL)
        return;
    store(&w->limit_milli, (uint64_t)(c->gradient.limit * 1000));
    store(&w->in_flight, c->in_flight);
    store(&w->long_ns, (uint64_t)c->gradient.long_ns);
    store(&w->short_ns, (uint64_t)c->gradient.short_ns);
}

static struct gradient_config settings_of(const struct conf_concurrency *conf)
{
    bool fixed = conf->mode == CONF_CONCURRENCY_FIXED;

    return (struct gradient_config){
        .min = fixed ? conf->max : conf->min,
        .max = conf->max,
        .initial = conf->initial,
        .tolerance = conf->tolerance_percent / 100.0,
    };
}

/* What the process before this one in the slot had learnt. Another process wrote it: anything
 * outside the bounds is brought inside. */
static void start(struct concurrency *c, const struct conf_concurrency *conf, uint64_t now_ns)
{
    struct gradient_config cfg = settings_of(conf);
    uint64_t milli = c->words != NULL ? word_read(&c->words->limit_milli) : 0;
    uint64_t long_ns = c->words != NULL ? word_read(&c->words->long_ns) : 0;

    if (milli != 0)
        cfg.initial = (double)milli / 1000;
    gradient_init(&c->gradient, &cfg, now_ns, long_ns < 3600 * NS_PER_S ? (double)long_ns : 0);
    publish(c);
}

static struct concurrency *find(struct gate *g, struct slice name, bool canary)
{
    LIST_EACH (it, &g->concurrency) {
        struct concurrency *c = CONTAINER_OF(it, struct concurrency, node);
        if (c->canary == canary && slice_eq(slice_str(c->name), name))
            return c;
    }
    return NULL;
}

static struct concurrency *create(struct gate *g, struct slice name,
                                  const struct conf_concurrency *conf, bool canary)
{
    struct concurrency *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->name = strndup(name.p, name.n);
    if (c->name == NULL) {
        free(c);
        return NULL;
    }
    c->mode = (enum conf_concurrency_mode)conf->mode;
    c->canary = canary;
    if (!canary && conf->stat != 0 && conf->stat < METRIC_CONCURRENCY)
        c->words = &g->ctx.metrics->concurrency[conf->stat];
    start(c, conf, clock_mono_ns());
    list_add(&g->concurrency, &c->node);
    return c;
}

int concurrency_get(struct gate *g, const struct conf_root *root,
                    const struct conf_concurrency *conf, bool canary, struct concurrency **out)
{
    struct slice name = conf_slice(root, conf->name);

    *out = NULL;
    if (conf->mode == CONF_CONCURRENCY_OFF)
        return 0;
    *out = find(g, name, canary);
    if (*out == NULL)
        *out = create(g, name, conf, canary);
    if (*out == NULL)
        return -ENOMEM;
    (*out)->generations++;
    return 0;
}

void concurrency_update(struct concurrency *c, const struct conf_concurrency *conf)
{
    struct gradient_config cfg = settings_of(conf);

    c->mode = (enum conf_concurrency_mode)conf->mode;
    gradient_configure(&c->gradient, &cfg);
    publish(c);
}

void concurrency_put(struct concurrency **cp)
{
    struct concurrency *c = *cp;

    *cp = NULL;
    if (--c->generations > 0)
        return;
    CHECK(c->in_flight == 0);
    list_del(&c->node);
    free(c->name);
    free(c);
}

static void count(struct concurrency *c, size_t word_off)
{
    if (c->words != NULL)
        metric_add((_Atomic uint64_t *)(void *)((char *)c->words + word_off), 1);
}

bool concurrency_has_room(struct concurrency *const of[2])
{
    for (unsigned i = 0; i < 2; i++) {
        struct concurrency *c = of[i];
        if (c == NULL || c->in_flight < gradient_limit(&c->gradient))
            continue;
        if (c->mode != CONF_CONCURRENCY_SHADOW) {
            count(c, offsetof(struct metric_concurrency, refused));
            return false;
        }
    }
    return true;
}

void concurrency_enter(struct concurrency_places *p, struct concurrency *const of[2],
                       uint64_t now_ns)
{
    p->start_ns = now_ns;
    for (unsigned i = 0; i < 2; i++) {
        struct concurrency *c = p->of[i] = of[i];
        if (c == NULL)
            continue;
        if (c->in_flight >= gradient_limit(&c->gradient))
            count(c, offsetof(struct metric_concurrency, shadow_refused));
        count(c, offsetof(struct metric_concurrency, admitted));
        p->in_flight[i] = ++c->in_flight;
        publish(c);
    }
}

static void learn(struct concurrency *c, const struct concurrency_places *p, uint32_t in_flight,
                  enum call_outcome outcome, uint64_t now_ns)
{
    if (outcome == CALL_ANSWERED) {
        gradient_answered(&c->gradient, now_ns, p->start_ns, in_flight);
    } else if (outcome == CALL_FAILED) {
        gradient_failed(&c->gradient, now_ns, p->start_ns, in_flight);
        count(c, offsetof(struct metric_concurrency, failed));
    }
}

void concurrency_leave(struct concurrency_places *p, enum call_outcome outcome, uint64_t now_ns)
{
    for (unsigned i = 0; i < 2; i++) {
        struct concurrency *c = p->of[i];
        p->of[i] = NULL;
        if (c == NULL)
            continue;
        CHECK(c->in_flight > 0);
        c->in_flight--;
        learn(c, p, p->in_flight[i], outcome, now_ns);
        publish(c);
    }
}
