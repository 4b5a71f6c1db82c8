/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GNTTABOP_copy: the core copies between pages of the caller and granted
 * pages.  A side of one operation that is the same in the next is kept open,
 * at most to the end of the batch.
 */
#include "hypercall/access.h"
#include "hypercall/grant_table.h"
#include "memory/frame.h"
#include "memory/window.h"
#include "vm/p2m.h"

struct side {
    bool open, granted, write;
    uint64_t page; /* ref or gfn, as the operation names it */
    domid_t id;
    struct domain *granter;
    uint64_t mfn;
};

static void side_close(struct side *s)
{
    if (!s->open) return;
    frame_put(s->mfn);
    if (s->granted) {
        grant_end(s->granter, s->page, s->write);
        domain_put(s->granter);
    } else if (s->write) {
        logdirty_mark(current_domain(), s->page);
    }
    s->open = false;
}

static int16_t open_granted(struct domain *ld, struct side *s)
{
    int16_t status = GNTST_permission_denied;

    s->granter = domain_get(s->id);
    if (!s->granter) return GNTST_bad_domain;
    if (access_allowed(ld, s->granter))
        status = grant_begin(s->granter, ld->id, s->page, s->write, &s->mfn);
    if (status != GNTST_okay) domain_put(s->granter);
    return status;
}

/* Opens a side, or finds it open. */
static int16_t side_open(struct domain *ld, struct side *s, const struct gnttab_copy_ptr *p,
                         bool granted)
{
    uint64_t page = granted ? p->u.ref : p->u.gmfn;
    int16_t status = GNTST_okay;

    if (s->open && s->page == page && s->id == p->domid && s->granted == granted) return GNTST_okay;
    side_close(s);
    s->page = page;
    s->id = p->domid;
    s->granted = granted;
    if (granted)
        status = open_granted(ld, s);
    else if (p->domid != DOMID_SELF)
        status = GNTST_permission_denied;
    else if ((s->mfn = p2m_get_frame(ld, page, s->write, true)) == MFN_INVALID)
        status = GNTST_bad_page;
    s->open = status == GNTST_okay;
    return status;
}

static int16_t copy_one(struct domain *ld, const struct gnttab_copy *op, struct side *src,
                        struct side *dst)
{
    int16_t status;

    if (op->source.offset + op->len > (int)PAGE_SIZE || op->dest.offset + op->len > (int)PAGE_SIZE)
        return GNTST_bad_copy_arg;
    status = side_open(ld, src, &op->source, op->flags & GNTCOPY_source_gref);
    if (status == GNTST_okay) status = side_open(ld, dst, &op->dest, op->flags & GNTCOPY_dest_gref);
    if (status == GNTST_okay)
        window_copy(dst->mfn, op->dest.offset, src->mfn, op->source.offset, op->len);
    return status;
}

void grant_copy_batch(struct domain *ld, void *ops, unsigned int n)
{
    struct gnttab_copy *op = ops;
    struct side src = {.write = false}, dst = {.write = true};

    for (unsigned int i = 0; i < n; i++) op[i].status = copy_one(ld, &op[i], &src, &dst);
    side_close(&src);
    side_close(&dst);
}
