/* SPDX-License-Identifier: BSD-2-Clause */
/* Error replies of Redis in words for an operator. */
#ifndef REDIS_TROUBLE_H
#define REDIS_TROUBLE_H

/* What to do about an error reply: a literal, "see its log" for what troubles.def does not know. */
const char *redis_advice(const char *error);

#endif
