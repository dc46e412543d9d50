/* SPDX-License-Identifier: BSD-2-Clause */
/* The conversation with the daemon: a request, an answer, each within a time. */
#ifndef RUSHCTL_CLIENT_H
#define RUSHCTL_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#include "ctl/errors.h"
#include "options.h"

/* Why there is no answer. */
struct client_failure {
    enum ctl_error error;
    struct buf message, hint;
};

/* Where the control socket is, by options and environment. Appends the path. */
void client_socket_path(const struct options *o, struct buf *out);

/*
 * Sends the invocation to the daemon at path and waits for its document, at most timeout_ns. NULL:
 * it did not come, failure says why. The document may be an error document.
 */
json_t *client_ask(const char *path, const struct options *o, uint64_t timeout_ns,
                   struct client_failure *failure);

void client_failure_fini(struct client_failure *f);

#endif
