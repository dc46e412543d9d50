/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/status.h"

#include <stddef.h>

static const struct {
    const char *name;
    unsigned http;
} statuses[] = {
    [RPC_OK] = {"OK", 200},
    [RPC_CANCELLED] = {"CANCELLED", 499},
    [RPC_UNKNOWN] = {"UNKNOWN", 500},
    [RPC_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", 400},
    [RPC_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", 504},
    [RPC_NOT_FOUND] = {"NOT_FOUND", 404},
    [RPC_ALREADY_EXISTS] = {"ALREADY_EXISTS", 409},
    [RPC_PERMISSION_DENIED] = {"PERMISSION_DENIED", 403},
    [RPC_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", 429},
    [RPC_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", 400},
    [RPC_ABORTED] = {"ABORTED", 409},
    [RPC_OUT_OF_RANGE] = {"OUT_OF_RANGE", 400},
    [RPC_UNIMPLEMENTED] = {"UNIMPLEMENTED", 501},
    [RPC_INTERNAL] = {"INTERNAL", 500},
    [RPC_UNAVAILABLE] = {"UNAVAILABLE", 503},
    [RPC_DATA_LOSS] = {"DATA_LOSS", 500},
    [RPC_UNAUTHENTICATED] = {"UNAUTHENTICATED", 401},
};

#define STATUSES (int)(sizeof statuses / sizeof statuses[0])

unsigned rpc_status_http(int status)
{
    return status >= 0 && status < STATUSES ? statuses[status].http : 500;
}

const char *rpc_status_name(int status)
{
    return status >= 0 && status < STATUSES ? statuses[status].name : "UNKNOWN";
}
