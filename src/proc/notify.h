/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service manager's notification protocol (sd_notify(3)): datagrams of NAME=VALUE lines to the
 * socket that NOTIFY_SOCKET names. Without that variable nothing happens.
 */
#ifndef PROC_NOTIFY_H
#define PROC_NOTIFY_H

/* Example: notify_send("READY=1\nMAINPID=%d", pid). Errors are ignored: the manager may be gone. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
