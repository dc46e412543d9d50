/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON as both ends of the control socket write it. */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <jansson.h>

#include "base/buf.h"

/* Text of any origin; bytes that are not UTF-8 become U+FFFD. */
json_t *ctl_text(struct slice s);
/*
 * Errors as the configuration's checks print them ("FILE:LINE:COLUMN: error: MESSAGE", a line each;
 * what else there is is passed over) as a list of {file, line, column, message}. An error of a file
 * as a whole has no line, one of no file no file: null.
 */
json_t *ctl_error_list(const char *text);
/* Appends the document as one line. */
void ctl_document_write(const json_t *document, struct buf *out);

#endif
