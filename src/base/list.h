/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intrusive doubly linked ring. The head is a node of its own; an unlinked node points at itself,
 * so list_del may be called twice. Where an object's state is which list it sits on, the list's
 * field says so.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define CONTAINER_OF(ptr, type, field) ((type *)(void *)((char *)(ptr)-offsetof(type, field)))

#define LIST_EACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)

/* The body may unlink or free `it`. */
#define LIST_EACH_SAFE(it, head)                                                                   \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_del(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

/* At the tail. */
static inline void list_add(struct list *head, struct list *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

static inline void list_add_head(struct list *head, struct list *n)
{
    list_add(head->next, n);
}

/* From whatever list it is on to the tail of another. */
static inline void list_move(struct list *head, struct list *n)
{
    list_del(n);
    list_add(head, n);
}

/* First node, or NULL. */
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

#endif
