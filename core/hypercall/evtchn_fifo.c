/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pending events in the FIFO form: each port has a word (pending, masked,
 * linked, the next port) in pages of the guest; each vCPU has 16 queues by
 * priority, whose heads are in its control block.  A port is put on a queue's
 * end when it becomes pending while it is neither masked nor linked; the guest
 * takes it off.  What the guest writes here harms nobody but itself: links are
 * never followed, and tries are bounded.  What is pending before its port has a
 * word keeps its bit of the two-level form.
 */
#include "hypercall/evtchn_fifo.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/window.h"
#include "vm/p2m.h"
#include <xen/errno.h>

#define WORDS   (PAGE_SIZE / sizeof(event_word_t))
#define PENDING BIT(EVTCHN_FIFO_PENDING)
#define MASKED  BIT(EVTCHN_FIFO_MASKED)
#define LINKED  BIT(EVTCHN_FIFO_LINKED)

#define LINK_TRIES 16 /* the guest may change the word meanwhile, but not that often */

struct queues {
    struct evtchn_fifo_control_block *control; /* NULL: not yet */
    uint64_t mfn;
    uint32_t tail[EVTCHN_FIFO_MAX_QUEUES];
};

struct fifo {
    struct domain *domain;
    struct spinlock lock; /* guards all below, who is linked where */
    unsigned int pages;   /* of words */
    event_word_t *words[MAX_PORTS / WORDS];
    uint64_t words_mfn[MAX_PORTS / WORDS];
    unsigned int vcpus;
    struct queues queues[]; /* of each vCPU */
};

struct fifo *fifo_alloc(struct domain *d)
{
    struct fifo *f = core_alloc(sizeof(*f) + d->max_vcpus * sizeof(f->queues[0]));

    if (!f) return NULL;
    spin_init(&f->lock, RANK_EVTCHN_FIFO);
    f->domain = d;
    f->vcpus = d->max_vcpus;
    return f;
}

/* --- pages --- */

static void *map_page(struct domain *d, uint64_t gfn, uint64_t *mfn, int *rc)
{
    void *page;

    *rc = -XEN_EINVAL;
    *mfn = p2m_get_frame(d, gfn, true, false);
    if (*mfn == MFN_INVALID) return NULL;
    *rc = -XEN_ENOMEM;
    page = vmap(*mfn);
    if (!page) frame_put(*mfn);
    return page;
}

static void unmap_page(void *page, uint64_t mfn)
{
    vunmap(page);
    frame_put(mfn);
}

/* One of many, before and after their flush. */
static void stop_page(void *page, uint64_t mfn, bool flushed)
{
    if (page && !flushed) vunmap_begin(page);
    if (page && flushed) {
        vunmap_end(page);
        frame_put(mfn);
    }
}

int fifo_set_control(struct domain *d, struct fifo *f, unsigned int id, uint64_t gfn,
                     unsigned int offset)
{
    struct queues *q = &f->queues[id];
    uint64_t mfn;
    char *page;
    int rc;

    if (offset > PAGE_SIZE - sizeof(*q->control) || offset % 8) return -XEN_EINVAL;
    page = map_page(d, gfn, &mfn, &rc);
    if (!page) return rc;
    spin_lock(&f->lock);
    rc = q->control ? -XEN_EINVAL : 0;
    if (!rc) {
        q->control = (void *)(page + offset);
        q->mfn = mfn;
    }
    spin_unlock(&f->lock);
    if (rc) unmap_page(page, mfn);
    return rc;
}

int fifo_add_words(struct domain *d, struct fifo *f, uint64_t gfn)
{
    uint64_t mfn;
    int rc;
    event_word_t *page = map_page(d, gfn, &mfn, &rc);

    if (!page) return rc;
    spin_lock(&f->lock);
    rc = f->pages < ARRAY_SIZE(f->words) ? 0 : -XEN_EINVAL;
    if (!rc) {
        f->words_mfn[f->pages] = mfn;
        f->words[f->pages++] = page;
    }
    spin_unlock(&f->lock);
    if (rc) unmap_page(page, mfn);
    return rc;
}

void fifo_stop(struct fifo *f)
{
    spin_lock(&f->lock);
    for (int flushed = 0; flushed < 2; flushed++) {
        if (flushed) flush_core_tlb_all();
        for (unsigned int i = 0; i < f->vcpus; i++)
            stop_page(f->queues[i].control, f->queues[i].mfn, flushed);
        for (unsigned int i = 0; i < f->pages; i++)
            stop_page(f->words[i], f->words_mfn[i], flushed);
    }
    memset(f->queues, 0, f->vcpus * sizeof(f->queues[0]));
    memset(f->words, 0, sizeof(f->words));
    f->pages = 0;
    spin_unlock(&f->lock);
}

/* --- queues; f is locked --- */

/* NULL: there is none yet. */
static event_word_t *word_of(struct fifo *f, uint32_t port)
{
    event_word_t *page = f->words[port / WORDS];

    return page ? &page[port % WORDS] : NULL;
}

/* Makes `port` the next of the one that is last, if that is still linked. */
static bool append(event_word_t *last, uint32_t port)
{
    event_word_t old = READ_ONCE(*last), new;

    for (unsigned int i = 0; i < LINK_TRIES && old & LINKED; i++) {
        new = (old & ~(event_word_t)EVTCHN_FIFO_LINK_MASK) | port;
        if (__atomic_compare_exchange_n(last, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

/* Puts a pending port on its queue, and tells the vCPU if it was empty. */
static void link_port(struct fifo *f, struct evtchn *c, uint32_t port, event_word_t *word)
{
    unsigned int id = READ_ONCE(c->vcpu), p = c->priority;
    struct queues *q = &f->queues[id], *before = &f->queues[c->linked_vcpu];
    uint32_t last;

    if (!q->control || __atomic_fetch_or(word, LINKED, __ATOMIC_SEQ_CST) & LINKED) return;
    /* It is no end of a queue any more that it was taken off. */
    if (before->tail[c->linked_priority] == port) before->tail[c->linked_priority] = 0;
    c->linked_vcpu = id;
    c->linked_priority = p;
    last = q->tail[p];
    q->tail[p] = port;
    if (last && append(&f->words[last / WORDS][last % WORDS], port)) return;
    WRITE_ONCE(q->control->head[p], port);
    if (!(__atomic_fetch_or(&q->control->ready, 1u << p, __ATOMIC_SEQ_CST) >> p & 1))
        evtchn_upcall(READ_ONCE(f->domain->vcpus[id]));
}

static bool change(struct fifo *f, struct evtchn *c, uint32_t port, event_word_t set,
                   event_word_t clear)
{
    unsigned long *early = f->domain->shared_info->evtchn_pending;
    event_word_t *word, old;
    bool was;

    spin_lock(&f->lock);
    word = word_of(f, port);
    was = test_bit(port, early);
    if (word) {
        if (was) clear_bit(port, early);
        old = __atomic_fetch_or(word, was ? PENDING : set, __ATOMIC_SEQ_CST);
        was |= (old & PENDING) != 0;
        if (clear) __atomic_fetch_and(word, ~clear, __ATOMIC_SEQ_CST);
        old &= ~clear;
        if ((was || set) && !(old & (MASKED | LINKED))) link_port(f, c, port, word);
    } else if (set) {
        set_bit(port, early); /* until it has a word */
    }
    spin_unlock(&f->lock);
    return was;
}

bool fifo_raise(struct fifo *f, struct evtchn *c, uint32_t port)
{
    return change(f, c, port, PENDING, 0);
}

void fifo_unmask(struct fifo *f, struct evtchn *c, uint32_t port)
{
    change(f, c, port, 0, MASKED);
}

void fifo_check(struct fifo *f, struct evtchn *c, uint32_t port)
{
    change(f, c, port, 0, 0);
}

bool fifo_pending(struct fifo *f, uint32_t port)
{
    const event_word_t *word;
    bool is;

    spin_lock(&f->lock);
    word = word_of(f, port);
    is = word ? READ_ONCE(*word) & PENDING : test_bit(port, f->domain->shared_info->evtchn_pending);
    spin_unlock(&f->lock);
    return is;
}

void fifo_close(struct fifo *f, struct evtchn *c, uint32_t port)
{
    event_word_t *word;

    spin_lock(&f->lock);
    c->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    word = word_of(f, port);
    if (word) __atomic_fetch_and(word, ~(event_word_t)PENDING, __ATOMIC_SEQ_CST);
    spin_unlock(&f->lock);
}

void fifo_set_priority(struct fifo *f, struct evtchn *c, unsigned int priority)
{
    spin_lock(&f->lock);
    c->priority = priority;
    spin_unlock(&f->lock);
}
