/* SPDX-License-Identifier: BSD-2-Clause */
#include "failing_calloc.h"

#include <stddef.h>

int callocs_left = -1;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    if (callocs_left == 0)
        return NULL;
    callocs_left -= callocs_left > 0;
    return __real_calloc(n, size);
}
