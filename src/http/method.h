/* SPDX-License-Identifier: BSD-2-Clause */
/* The methods the gateway routes. Everything else http-parser knows is answered with 501. */
#ifndef HTTP_METHOD_H
#define HTTP_METHOD_H

#include "base/slice.h"

enum http_method_id {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_COUNT
};

#define METHOD_BIT(m) (1u << (m))
#define METHOD_ANY    ((1u << METHOD_COUNT) - 1)

/* "GET" and so on. */
struct slice method_name(enum http_method_id m);
/* METHOD_COUNT where it is none of ours. Case matters. */
enum http_method_id method_by_name(struct slice name);

#endif
