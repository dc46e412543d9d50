/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/cookie.h"

static struct slice unquote(struct slice s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return slice_of(s.p + 1, s.n - 2);
    return s;
}

bool http_cookie_next(struct slice *rest, struct slice *name, struct slice *value)
{
    while (rest->n > 0) {
        size_t end = slice_find(*rest, ';');
        struct slice pair = slice_of(rest->p, end);
        size_t eq = slice_find(pair, '=');

        *rest = end < rest->n ? slice_of(rest->p + end + 1, rest->n - end - 1) : SLICE_NONE;
        if (eq == pair.n)
            continue;
        *name = slice_trim(slice_of(pair.p, eq));
        *value = unquote(slice_trim(slice_of(pair.p + eq + 1, pair.n - eq - 1)));
        if (name->n > 0)
            return true;
    }
    return false;
}
