/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the configuration share: options, and files to load. */
#ifndef TEST_CONF_FIXTURE_H
#define TEST_CONF_FIXTURE_H

#include <stddef.h>

#include "conf/compiled.h"
#include "conf/conf.h"

/* Prefix /srv/gate. Every host is 127.0.0.1: a broken name must not ask a name server. */
extern const struct conf_options fixture_options;

void fixture_write(const char *path, const char *text, size_t n);
void fixture_put(const char *path, const char *text);
/* The whole file with a NUL behind it; n may be NULL. The caller frees it, and may let it grow to
 * FIXTURE_FILE_MAX. */
#define FIXTURE_FILE_MAX ((size_t)1 << 16)
char *fixture_slurp(const char *path, size_t *n);
/* tests/conf/full.yaml; valid until the next call. */
const char *fixture_full_file(void);
/* Without errors, else the test fails. */
struct conf *fixture_load(const char *path);
const struct conf_root *fixture_compile(const struct conf *c, const struct conf_resolver *r,
                                        struct buf *blob);
void assert_str(const struct conf_root *r, struct conf_str s, const char *text);

#endif
