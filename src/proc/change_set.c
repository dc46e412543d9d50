/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/change_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static void change_fini(struct change *c)
{
    free(c->path);
    free(c->value);
    free(c->reason);
}

void change_set_fini(struct change_set *s)
{
    for (unsigned i = 0; i < s->n; i++)
        change_fini(&s->all[i]);
    free(s->all);
    *s = (struct change_set){0};
}

static struct change copy_of(const struct change *c)
{
    struct change copy = *c;

    copy.path = xstrdup(c->path);
    copy.value = xstrdup(c->value);
    copy.reason = xstrdup(c->reason);
    return copy;
}

static void append(struct change_set *s, const struct change *c)
{
    s->all = xrealloc(s->all, (s->n + 1) * sizeof *s->all);
    s->all[s->n++] = copy_of(c);
}

void change_set_copy(struct change_set *to, const struct change_set *from)
{
    *to = (struct change_set){.last_id = from->last_id};
    for (unsigned i = 0; i < from->n; i++)
        append(to, &from->all[i]);
}

void change_set_remove(struct change_set *s, unsigned index)
{
    change_fini(&s->all[index]);
    s->n--;
    memmove(&s->all[index], &s->all[index + 1], (s->n - index) * sizeof *s->all);
}

uint32_t change_set_put(struct change_set *s, const struct change *c)
{
    for (unsigned i = 0; i < s->n; i++)
        if (strcmp(s->all[i].path, c->path) == 0) {
            change_set_remove(s, i);
            break;
        }
    append(s, c);
    if (c->id == 0)
        s->all[s->n - 1].id = s->last_id + 1;
    if (s->all[s->n - 1].id > s->last_id)
        s->last_id = s->all[s->n - 1].id;
    return s->all[s->n - 1].id;
}

const struct change *change_set_find(const struct change_set *s, uint32_t id)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->all[i].id == id)
            return &s->all[i];
    return NULL;
}

const struct change *change_set_of_path(const struct change_set *s, const char *path)
{
    for (unsigned i = 0; i < s->n; i++)
        if (strcmp(s->all[i].path, path) == 0)
            return &s->all[i];
    return NULL;
}

unsigned change_set_expire(struct change_set *s, uint64_t now_real_ns)
{
    unsigned over = 0;

    for (unsigned i = s->n; i-- > 0;)
        if (s->all[i].until_real_ns != 0 && s->all[i].until_real_ns <= now_real_ns) {
            change_set_remove(s, i);
            over++;
        }
    return over;
}

uint64_t change_set_next_end(const struct change_set *s)
{
    uint64_t next = 0;

    for (unsigned i = 0; i < s->n; i++) {
        uint64_t end = s->all[i].until_real_ns;
        if (end != 0 && (next == 0 || end < next))
            next = end;
    }
    return next;
}

struct conf_overlay change_set_overlay(const struct change_set *s, struct conf_runtime_value *out)
{
    unsigned n = 0;

    for (; n < s->n && n < CHANGES_MAX; n++)
        out[n] = (struct conf_runtime_value){s->all[n].id, s->all[n].path, s->all[n].value,
                                             s->all[n].until_real_ns};
    return (struct conf_overlay){out, n};
}
