/* SPDX-License-Identifier: BSD-2-Clause */
/* From documents to what is printed. In --json mode stdout gets documents and nothing else. */
#ifndef RUSHCTL_OUTPUT_H
#define RUSHCTL_OUTPUT_H

#include <jansson.h>

#include "client.h"
#include "options.h"

/* Writes to stdout at once. A reader that went away is no error; any other failure exits 1. */
void output_write(const struct buf *b);

/* Prints an error in the form the options want and returns the exit status it means. */
int output_error(const struct options *o, enum ctl_error error, const char *message,
                 const char *hint);
int output_failure(const struct options *o, const struct client_failure *f);
int output_complaint(const struct options *o, const struct ctl_complaint *c);

/* Prints a document of the daemon, an error document too; returns the exit status. */
int output_document(const struct options *o, json_t *doc);

/* 0, or the exit status of a complaint about --fields or --filter that was printed. Narrows the
 * document's data to them. */
int output_select(const struct options *o, json_t *doc);

/* "workers" of "rushgate.workers/1", in a static buffer of the caller. */
void document_view(const json_t *doc, char out[32]);
bool document_is_error(const json_t *doc);
/* A member that is a string; "" where there is none. */
const char *document_text(const json_t *object, const char *key);

#endif
