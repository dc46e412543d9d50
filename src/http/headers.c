/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/headers.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

#define STATUSES(X)                                                                                \
    X(100, "Continue")                                                                             \
    X(101, "Switching Protocols")                                                                  \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(203, "Non-Authoritative Information")                                                        \
    X(204, "No Content")                                                                           \
    X(205, "Reset Content")                                                                        \
    X(206, "Partial Content")                                                                      \
    X(300, "Multiple Choices")                                                                     \
    X(301, "Moved Permanently")                                                                    \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(402, "Payment Required")                                                                     \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(416, "Range Not Satisfiable")                                                                \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(425, "Too Early")                                                                            \
    X(426, "Upgrade Required")                                                                     \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(451, "Unavailable For Legal Reasons")                                                        \
    X(499, "Client Closed Request")                                                                \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(502, "Bad Gateway")                                                                          \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")                                                           \
    X(507, "Insufficient Storage")                                                                 \
    X(511, "Network Authentication Required")

#define LINE_PREFIX 13 /* "HTTP/1.1 404 " */

/* Indexed by status - 100. The phrase is a part of its line. */
static const struct slice lines[] = {
#define X(code, phrase) [(code)-100] = SLICE_LIT("HTTP/1.1 " #code " " phrase "\r\n"),
    STATUSES(X)
#undef X
};

struct slice http_status_line(unsigned status)
{
    unsigned i = status - 100;

    return status >= 100 && i < sizeof lines / sizeof lines[0] ? lines[i] : SLICE_NONE;
}

struct slice http_status_reason(unsigned status)
{
    struct slice s = http_status_line(status);

    return s.n == 0 ? SLICE_LIT("Unknown") : slice_of(s.p + LINE_PREFIX, s.n - LINE_PREFIX - 2);
}

bool http_hop_by_hop(struct slice name)
{
    static const struct slice hop[] = {
        SLICE_LIT("connection"), SLICE_LIT("keep-alive"),          SLICE_LIT("proxy-authenticate"),
        SLICE_LIT("te"),         SLICE_LIT("proxy-authorization"), SLICE_LIT("proxy-connection"),
        SLICE_LIT("trailer"),    SLICE_LIT("transfer-encoding"),   SLICE_LIT("upgrade"),
    };

    for (size_t i = 0; i < sizeof hop / sizeof hop[0]; i++) {
        if (slice_eq_nocase(name, hop[i]))
            return true;
    }
    return false;
}

bool http_list_has(struct slice list, struct slice token)
{
    while (list.n > 0) {
        size_t n = slice_find(list, ',');
        if (slice_eq_nocase(slice_trim(slice_of(list.p, n)), token))
            return true;
        n += n < list.n;
        list = slice_of(list.p + n, list.n - n);
    }
    return false;
}

bool http_percent_decode(struct slice s, char *out, size_t *out_n)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int value = hex_escape(s.p + i, s.n - i);
            if (value < 0)
                return false;
            c = (char)value;
            i += 2;
        }
        out[n++] = c;
    }
    *out_n = n;
    return true;
}

void http_date_init(struct http_date *d, struct slice server_name)
{
    *d = (struct http_date){0};
    if (server_name.n > HTTP_DATE_NAME)
        server_name.n = HTTP_DATE_NAME;
    if (server_name.n > 0)
        d->name_n =
            (uint32_t)snprintf(d->line, sizeof d->line, "Server: %.*s\r\n", SLICE_ARG(server_name));
    d->n = d->name_n;
}

void http_date_refresh(struct http_date *d, uint64_t now_ns)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t real = clock_real_ns();
    time_t t = (time_t)(real / NS_PER_S);
    struct tm tm;

    gmtime_r(&t, &tm);
    snprintf(d->line + d->name_n, sizeof d->line - d->name_n,
             "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday % 7],
             tm.tm_mday % 100, months[tm.tm_mon % 12], (tm.tm_year + 1900) % 10000,
             tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
    d->n = d->name_n + HTTP_DATE_LINE;
    d->until_ns = now_ns + (NS_PER_S - real % NS_PER_S);
}
