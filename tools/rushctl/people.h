/* SPDX-License-Identifier: BSD-2-Clause */
/* Documents in the form that people read: tables, and for each document that is none its lines. */
#ifndef RUSHCTL_PEOPLE_H
#define RUSHCTL_PEOPLE_H

#include <jansson.h>

#include "base/buf.h"
#include "options.h"

/* Appends a document that is no error. */
void people_print(const struct options *o, const json_t *doc, struct buf *out);

/* ": ok (1 file, 3 settings)" and the line's end: of a configuration that was checked. */
void people_counts(struct buf *out, long long files, long long settings);

#endif
