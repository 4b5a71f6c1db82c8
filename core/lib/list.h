/* SPDX-License-Identifier: Apache-2.0 */
/* Doubly linked lists with the links inside the elements. */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include "lib/base.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(l) \
    {                \
        &(l), &(l)   \
    }
#define list_entry(p, type, member) container_of(p, type, member)
#define list_for_each(p, head)      for ((p) = (head)->next; (p) != (head); (p) = (p)->next)
#define list_for_each_safe(p, n, head) \
    for ((p) = (head)->next, (n) = (p)->next; (p) != (head); (p) = (n), (n) = (p)->next)

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* Puts e behind pos; with pos the head, e becomes the first. */
static inline void list_add(struct list *pos, struct list *e)
{
    e->next = pos->next;
    e->prev = pos;
    pos->next->prev = e;
    pos->next = e;
}

static inline void list_add_tail(struct list *head, struct list *e)
{
    list_add(head->prev, e);
}

/* Takes e out; e may be taken out again without harm. */
static inline void list_del(struct list *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
    list_init(e);
}

#endif
