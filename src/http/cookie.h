/* SPDX-License-Identifier: BSD-2-Clause */
/* The Cookie request header (RFC 6265, 4.2), read leniently, as browsers and proxies write it. */
#ifndef HTTP_COOKIE_H
#define HTTP_COOKIE_H

#include <stdbool.h>

#include "base/slice.h"

/*
 * Takes the next pair off *rest, the value of a Cookie header. Pairs are separated by ';'; blanks
 * around names and values are dropped, and a pair of quotes around the value. What has no '=' or no
 * name is passed over. False at the end. Slices are borrowed from the header.
 */
bool http_cookie_next(struct slice *rest, struct slice *name, struct slice *value);

#endif
