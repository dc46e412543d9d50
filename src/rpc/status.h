/* SPDX-License-Identifier: BSD-2-Clause */
/* google.rpc.Code, and the HTTP status each maps to. */
#ifndef RPC_STATUS_H
#define RPC_STATUS_H

enum rpc_status {
    RPC_OK = 0,
    RPC_CANCELLED = 1,
    RPC_UNKNOWN = 2,
    RPC_INVALID_ARGUMENT = 3,
    RPC_DEADLINE_EXCEEDED = 4,
    RPC_NOT_FOUND = 5,
    RPC_ALREADY_EXISTS = 6,
    RPC_PERMISSION_DENIED = 7,
    RPC_RESOURCE_EXHAUSTED = 8,
    RPC_FAILED_PRECONDITION = 9,
    RPC_ABORTED = 10,
    RPC_OUT_OF_RANGE = 11,
    RPC_UNIMPLEMENTED = 12,
    RPC_INTERNAL = 13,
    RPC_UNAVAILABLE = 14,
    RPC_DATA_LOSS = 15,
    RPC_UNAUTHENTICATED = 16
};

/* As google/rpc/code.proto says: 3 -> 400, 5 -> 404, 14 -> 503, ...; 500 for what it does not know.
 */
unsigned rpc_status_http(int status);
/* "UNAVAILABLE" and so on; "UNKNOWN" for what is not in the table. */
const char *rpc_status_name(int status);

#endif
