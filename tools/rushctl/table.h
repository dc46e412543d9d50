/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows of a document as a table for people: aligned, numbers to the right, nothing that moves a
 * cursor. */
#ifndef RUSHCTL_TABLE_H
#define RUSHCTL_TABLE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

struct table_style {
    bool header; /* line of headings */
    bool colour;
};

/*
 * Appends the rows (objects) of the view. fields: list of field names separated by commas, or NULL
 * for the columns of the view that at least one row has.
 */
void table_write(struct buf *out, const char *view, const json_t *rows, const char *fields,
                 const struct table_style *style);

/* The first field of the view, NULL for a view without columns; and its n-th field that is a rate,
 * NULL when there are no more. */
const char *table_first_field(const char *view);
const char *table_rate(const char *view, unsigned n);

/* A value as a cell shows it. */
void table_cell(struct buf *out, const char *view, const char *field, const json_t *value);

/* Columns that text takes on a terminal. */
unsigned text_width(struct slice s);
/* Text of any origin, made harmless: control characters become '?', bad UTF-8 U+FFFD. */
void text_clean(struct buf *out, struct slice s);
/* 0.041 -> "41ms" */
void text_seconds(struct buf *out, double s);

#endif
