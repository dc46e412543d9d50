/* SPDX-License-Identifier: BSD-2-Clause */
/* print_reference markdown|schema|paths: what docs/ has about the settings, to stdout. */
#include <string.h>

#include "conf/schema.h"

int main(int argc, char **argv)
{
    static const struct {
        const char *word;
        void (*print)(FILE *out);
    } forms[] = {
        {"markdown", conf_print_reference},
        {"schema", conf_print_json_schema},
        {"paths", conf_print_paths},
    };

    for (size_t i = 0; argc == 2 && i < sizeof forms / sizeof *forms; i++)
        if (strcmp(argv[1], forms[i].word) == 0) {
            forms[i].print(stdout);
            return fflush(stdout) == 0 ? 0 : 1;
        }
    fputs("usage: print_reference markdown|schema|paths\n", stderr);
    return 2;
}
