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

/* Where the control socket is, by options and environment. Appends the path. False: the file of -c
 * cannot be read. */
bool client_socket_path(const struct options *o, struct buf *out, struct client_failure *failure)
    __attribute__((warn_unused_result));

/*
 * Where the daemon writes its process id, as far as options say; else beside the socket. Appends
 * the path.
 */
void client_pid_file(const struct options *o, const char *socket, struct buf *out);

/*
 * Sends the invocation to the daemon at path and waits for its document, at most timeout_ns. NULL:
 * it did not come, failure says why. The document may be an error document. What only looks is
 * asked again for a while when the daemon closes the connection instead.
 */
json_t *client_ask(const char *path, const struct options *o, uint64_t timeout_ns,
                   struct client_failure *failure);

void client_failure_fini(struct client_failure *f);

#endif
