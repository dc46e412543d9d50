/* SPDX-License-Identifier: BSD-2-Clause */
/* The form of every answer: snake_case, base units, one document; members are only ever added. */
#include "config.h"

#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/request.h"

/* A process that has not passed its loop for so long does not count as reporting. */
#define SILENT_NS (3 * NS_PER_S)

json_t *ctl_time(uint64_t real_ns)
{
    char text[CLOCK_ISO_MAX];

    clock_iso8601(real_ns, 0, text);
    return json_string(text);
}

json_t *ctl_seconds(uint64_t ns)
{
    return json_real((double)ns / (double)NS_PER_S);
}

void ctl_count_workers(const struct ctl *c, unsigned *reporting, unsigned *total)
{
    const struct control *z = c->cfg.control;
    uint64_t now = clock_mono_ns();

    *reporting = 0;
    *total = atomic_load_explicit(&z->workers, memory_order_relaxed);
    for (unsigned i = 0; i < *total && i < CONTROL_WORKERS; i++) {
        uint32_t state = atomic_load_explicit(&z->slots[i].state, memory_order_relaxed);
        uint64_t beat = atomic_load_explicit(&z->slots[i].heartbeat_ns, memory_order_relaxed);
        if ((state == SLOT_READY || state == SLOT_DRAINING) && beat + SILENT_NS > now)
            ++*reporting;
    }
}

json_t *ctl_document(const struct ctl *c, const char *name, json_t *data)
{
    unsigned reporting, total;
    json_t *d = json_object();

    ctl_count_workers(c, &reporting, &total);
    json_object_set_new(d, "schema", json_sprintf("rushgate.%s/1", name));
    json_object_set_new(d, "generation",
                        json_integer((json_int_t)bank_current(c->cfg.banks).generation));
    json_object_set_new(d, "workers",
                        json_pack("{s:i, s:i}", "reporting", (int)reporting, "total", (int)total));
    json_object_set_new(d, "time", ctl_time(clock_real_ns()));
    json_object_set_new(d, "warnings", json_array());
    json_object_set_new(d, "data", data);
    if (reporting < total)
        ctl_document_warn(d, "only %u of %u workers report", reporting, total);
    return d;
}

void ctl_document_warn(json_t *document, const char *fmt, ...)
{
    struct buf text = {0};
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    json_array_append_new(json_object_get(document, "warnings"), ctl_text(buf_view(&text)));
    buf_free(&text);
}

void ctl_document_warn_lines(json_t *document, const char *text)
{
    for (size_t n; text != NULL && (n = strcspn(text, "\n")) > 0; text += n + (text[n] != '\0'))
        ctl_document_warn(document, "%.*s", (int)n, text);
}

json_t *ctl_error_document(enum ctl_error error, const char *message, const char *hint)
{
    json_t *e = json_object(), *d = json_object();

    json_object_set_new(e, "code", json_string(ctl_errors[error].code));
    json_object_set_new(e, "message", ctl_text(slice_str(message)));
    json_object_set_new(e, "hint", ctl_text(slice_str(hint)));
    json_object_set_new(d, "schema", json_string("rushgate.error/1"));
    json_object_set_new(d, "error", e);
    return d;
}
