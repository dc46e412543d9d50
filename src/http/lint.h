/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What http-parser lets pass and we do not. It is lenient (and Debian builds it without its strict
 * mode), so each line of a head is checked here before the parser sees it, and what the parser
 * cannot judge is checked after it.
 *
 * Decided where the RFCs leave room:
 * - a line ends with CR LF, never with LF alone; CR, NUL and every control character but the tab
 * inside a line are refused;
 * - the request line has exactly two single spaces; the target is visible ASCII without '#';
 * - an escape in the path must be %XX with hexadecimal digits and not %00. Escapes of letters,
 * digits and - . _ ~ are decoded, so that what is routed, checked against an allow list and passed
 * on is one spelling; all others stay, with their digits in upper case. "." and ".." segments,
 * escaped or not, also where they end at an escaped slash, a backslash or a ';', and empty ones but
 * the last are refused rather than resolved, since whoever is behind may resolve them differently;
 * - the absolute form is accepted for http, its authority replaces Host, as RFC 9112 wants;
 * - a header that would become Content-Length or Transfer-Encoding when '_' is read as '-' (as CGI
 * does) is refused like the real one beside its twin.
 */
#ifndef HTTP_LINT_H
#define HTTP_LINT_H

#include <stdbool.h>

#include "base/slice.h"

enum http_fault {
    FAULT_NONE,
#define FAULT(id, status, reason, detail) FAULT_##id,
#include "http/fault.def"
#undef FAULT
    FAULT_COUNT
};

struct http_fault_info {
    unsigned status;
    const char *reason, *detail;
};

const struct http_fault_info *http_fault_info(enum http_fault f);

/* A line without its CR LF. */
enum http_fault lint_request_line(struct slice line);
enum http_fault lint_status_line(struct slice line);
enum http_fault lint_field(struct slice line);
/* A field line of a trailer section; framing and routing fields do not belong there. */
enum http_fault lint_trailer(struct slice line);

/* The path of an origin or absolute form. */
enum http_fault lint_path(struct slice path);
/*
 * Brings a path that lint_path let pass into its normal form (RFC 3986, 6.2.2), in place; returns
 * its length, which never grows. Without '%' nothing is written.
 */
size_t lint_path_decode(char *p, size_t n);
/* An authority without user information; *host is it without its port. */
enum http_fault lint_host(struct slice authority, struct slice *host);
/* What is behind the colon of an authority; it may be empty. */
bool lint_port(struct slice port);
/* True when no byte of a chunk extension is a control character. */
bool lint_text(struct slice s);

#endif
