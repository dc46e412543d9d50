/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/method.h"

static const struct slice names[METHOD_COUNT] = {
    [METHOD_GET] = {"GET", 3},         [METHOD_HEAD] = {"HEAD", 4},
    [METHOD_POST] = {"POST", 4},       [METHOD_PUT] = {"PUT", 3},
    [METHOD_DELETE] = {"DELETE", 6},   [METHOD_PATCH] = {"PATCH", 5},
    [METHOD_OPTIONS] = {"OPTIONS", 7},
};

struct slice method_name(enum http_method_id m)
{
    return (unsigned)m < METHOD_COUNT ? names[m] : SLICE_NONE;
}

enum http_method_id method_by_name(struct slice name)
{
    unsigned m;

    for (m = 0; m < METHOD_COUNT; m++) {
        if (slice_eq(name, names[m]))
            break;
    }
    return (enum http_method_id)m;
}
