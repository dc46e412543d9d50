/* SPDX-License-Identifier: BSD-2-Clause */
/* errors.def as data. */
#ifndef CTL_ERRORS_H
#define CTL_ERRORS_H

enum ctl_error {
#define ERROR(id, code, exit_status, meaning) CTL_##id,
#include "ctl/errors.def"
#undef ERROR
    CTL_ERROR_COUNT
};

struct ctl_error_info {
    const char *code;
    int exit_status;
    const char *meaning;
};

extern const struct ctl_error_info ctl_errors[CTL_ERROR_COUNT];

/* Of a code in a document that someone else wrote; CTL_FAILED for what is not in the table. */
enum ctl_error ctl_error_by_code(const char *code);

#endif
