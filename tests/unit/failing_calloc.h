/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that runs out where a test wants it: for programs linked with -Wl,--wrap=calloc. */
#ifndef TEST_FAILING_CALLOC_H
#define TEST_FAILING_CALLOC_H

/* Allocations until memory is out; negative: it never is. */
extern int callocs_left;

#endif
