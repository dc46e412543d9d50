/* SPDX-License-Identifier: BSD-2-Clause */
/* explain: what a request would meet. The master knows (ctl_ops). */
#include "config.h"

#include <errno.h>

#include "ctl/request.h"

static void refuse(struct ctl_request *r, int rc, struct buf *why)
{
    if (rc == -EINVAL)
        ctl_refuse(r, CTL_USAGE, "rushctl explain GET /path -H 'Name: value'", "%s", buf_cstr(why));
    else if (rc == -ENOENT)
        ctl_refuse(r, CTL_NOT_FOUND, "rushctl show generations lists them", "%s", buf_cstr(why));
    else
        ctl_refuse(r, CTL_FAILED, "", "no memory for an explanation");
}

void ctl_do_EXPLAIN(struct ctl_request *r)
{
    const struct ctl_config *cfg = &r->ctl->cfg;
    const struct ctl_question q = {
        .method = r->inv.args[0],
        .url = r->inv.args[1],
        .headers = r->inv.many,
        .headers_n = r->inv.many_n,
        .client = r->inv.flag[CTL_FLAG_CLIENT],
        .identity = r->inv.flag[CTL_FLAG_IDENTITY],
        .body = r->inv.flag[CTL_FLAG_DATA],
        .generation = r->inv.flag[CTL_FLAG_GENERATION],
    };
    struct buf out = {0}, why = {0};
    int rc = cfg->ops->explain(cfg->arg, &q, &out, &why);
    json_t *data = rc == 0 && !out.failed ? json_loadb(out.p, out.n, 0, NULL) : NULL;

    if (data != NULL)
        ctl_answer(r, ctl_document(r->ctl, "explain", data));
    else
        refuse(r, rc, &why);
    buf_free(&out);
    buf_free(&why);
}
