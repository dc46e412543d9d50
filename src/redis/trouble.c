/* SPDX-License-Identifier: BSD-2-Clause */
#include "redis/trouble.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *begins, *advice;
} troubles[] = {
#define TROUBLE(begins, advice) {begins, advice},
#include "redis/troubles.def"
#undef TROUBLE
};

const char *redis_advice(const char *error)
{
    for (size_t i = 0; i < sizeof(troubles) / sizeof(*troubles); i++)
        if (strncmp(error, troubles[i].begins, strlen(troubles[i].begins)) == 0)
            return troubles[i].advice;
    return "see its log";
}
