/* SPDX-License-Identifier: BSD-2-Clause */
/* RFC 9457 problem details, the body of every refusal. Content type: HTTP_PROBLEM_TYPE. */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "base/buf.h"
#include "base/slice.h"

#define HTTP_PROBLEM_TYPE "application/problem+json"

/*
 * Appends {"type": base + reason, "title": ..., "status": ..., "detail": ...} to out. An empty
 * title is the status's phrase; an empty detail is left out. `extra` is raw JSON members without
 * the leading comma ("\"item\":\"standard\",\"left\":0"), or "".
 */
void http_problem(struct buf *out, struct slice base, struct slice reason, struct slice title,
                  unsigned status, struct slice detail, struct slice extra);

#endif
