/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors for people: collected, sorted by place, printed the GNU way with the line and a caret:
 *
 *   rushgate.yaml:41:9: error: unknown setting "upstrem" in routes[orders]
 *      41 |         upstrem: boxoffice
 *         |         ^~~~~~~ did you mean "upstream"?
 */
#ifndef CONF_DIAG_H
#define CONF_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define DIAG_SHOWN 20 /* as many are printed */
#define DIAG_KEPT                                                                                  \
    256 /* as many are kept, so that the first by place are shown; all are counted                 \
         */

/* A place in a file. Lines and columns count from 1, columns in characters; line 0 is no place. */
struct conf_pos {
    uint32_t file; /* index of a source, or DIAG_NO_FILE */
    uint32_t line, column;
    uint32_t width; /* characters to underline, at least 1 */
};

#define DIAG_NO_FILE UINT32_MAX

struct diag_source {
    char *name; /* owned; as the user wrote it */
    char *text; /* owned */
    size_t n;
    char *note; /* owned; behind the name where it is an origin, or NULL */
};

struct diag_entry {
    struct conf_pos at;
    unsigned order;
    char *message; /* owned */
    char *hint;    /* owned, or NULL */
};

struct diag {
    struct diag_source *sources; /* owned */
    uint32_t sources_n;
    struct diag_entry entries[DIAG_KEPT];
    unsigned kept, total;
};

void diag_fini(struct diag *d);

/* Takes over text; copies name. Returns the source's index. */
uint32_t diag_add_source(struct diag *d, const char *name, char *text, size_t n);

/* hint: shown behind the caret, or NULL. */
void diag_error(struct diag *d, struct conf_pos at, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * The place `off` bytes into a scalar that begins at `at` and reads `text`; `at` itself where the
 * source spells it differently (escapes, several lines, variables).
 */
struct conf_pos diag_inside(const struct diag *d, struct conf_pos at, struct slice text,
                            size_t off);

/* The errors and a last line "N errors"; nothing when there are none. */
void diag_print(struct diag *d, struct buf *out);

/* "file:line", the name and note of a source that has no lines, or "default" for no place. */
void diag_origin(const struct diag *d, struct conf_pos at, struct buf *out);

/* The line without its end, {NULL, 0} when there is no such line. */
struct slice diag_line(const struct diag_source *s, uint32_t line);

/* Bytes before a place of the source; its end where it has no such place. */
size_t diag_offset(const struct diag_source *s, struct conf_pos at);
/* A copy of the text with a NUL behind it; to be freed. */
char *diag_source_copy(const struct diag_source *s);

/* Nearest of the candidates by edit distance, if one is near enough to be meant. */
struct suggest {
    struct slice word, best; /* borrowed */
    unsigned distance;
    char hint[160];
};

void suggest_init(struct suggest *s, struct slice word);
void suggest_try(struct suggest *s, struct slice candidate);
/* `did you mean "x"?`, or NULL. Borrowed from s. */
const char *suggest_hint(struct suggest *s);

#endif
