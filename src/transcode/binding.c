/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP bindings: the google.api.http option of every method, checked against the messages it names,
 * and one binding without annotation for each method.
 */
#include "base/check.h"
#include "google/api/http.pb-c.h"
#include "transcode/compiler.h"
#include "transcode/field_path.h"
#include "transcode/schema.h"
#include "transcode/wire.h"

#define HTTP_OPTION 72295728u /* google.api.http, an extension of MethodOptions */

typedef Google__Api__HttpRule http_rule;
typedef Google__Protobuf__MethodDescriptorProto method_proto;

/* One method while its bindings are compiled. */
struct method {
    struct slice service, name;
    const method_proto *proto;
    const struct type *request, *reply;
    struct schema_bind common; /* what all its bindings have alike */
    struct buf *annotated;     /* struct schema_bind, those of the annotation */
};

static bool rule_fail(struct compiler *c, const struct method *m, const char *rule, const char *fmt,
                      ...) __attribute__((format(printf, 4, 5)));

static bool rule_fail(struct compiler *c, const struct method *m, const char *rule, const char *fmt,
                      ...)
{
    va_list ap;

    buf_printf(c->err, "%.*s.%.*s: http rule \"%s\": ", SLICE_ARG(m->service), SLICE_ARG(m->name),
               rule);
    va_start(ap, fmt);
    buf_vprintf(c->err, fmt, ap);
    va_end(ap);
    return false;
}

static const struct schema_root *root_of(const struct compiler *c)
{
    return (const void *)c->run.p;
}

/* Whether the path may set a field that b's body sets, too, or excludes. */
static const char *body_problem(const struct schema_root *root, const struct schema_bind *b,
                                const struct field_path *path)
{
    const struct schema_field *fields = schema_fields(root, schema_at(root, b->request));
    const struct schema_field *var = fields + path->at[0], *body = fields + b->body_field;

    if (b->body != BODY_FIELD)
        return NULL;
    if (var == body)
        return path->n == 1 ? "cannot be bound by a path: it is the body, in" : NULL;
    return var->oneof != SCHEMA_NO_ONEOF && var->oneof == body->oneof
               ? "cannot be bound by a path: it excludes the body, a member of the same oneof in"
               : NULL;
}

static const char *var_problem(const struct schema_root *root, const struct schema_bind *b,
                               struct slice name, struct slice *of)
{
    struct field_path path;
    const char *why = field_path_resolve(root, schema_at(root, b->request), name, &path, of);

    if (why != NULL)
        return why;
    if (path.leaf->flags & FIELD_REPEATED)
        return "cannot be bound by a path: it is a repeated field in";
    if (field_path_text(root, path.leaf) != NULL)
        return "cannot be bound by a path: it is a message in";
    *of = schema_slice(root, ((const struct schema_msg *)schema_at(root, b->request))->name);
    return body_problem(root, b, &path);
}

/* Each {name} or {name=pattern} of the template must be a field that text can fill. */
static bool check_template(struct compiler *c, const struct method *m, const char *template,
                           const struct schema_bind *b)
{
    unsigned vars = 0;

    if (template[0] != '/')
        return rule_fail(c, m, template, "the path does not start with '/'");
    for (const char *p = strchr(template, '{'); p != NULL; p = strchr(p, '{')) {
        const char *end = strchr(++p, '}');
        struct slice name, of;
        const char *why;

        if (end == NULL)
            return rule_fail(c, m, template, "'{' without '}'");
        name = slice_of(p, (size_t)(end - p));
        name.n = slice_find(name, '=');
        why = var_problem(root_of(c), b, name, &of);
        if (why != NULL)
            return rule_fail(c, m, template, "\"%.*s\" %s %.*s", SLICE_ARG(name), why,
                             SLICE_ARG(of));
        if (++vars > SCHEMA_VARS_MAX)
            return rule_fail(c, m, template, "more than %d variables", SCHEMA_VARS_MAX);
    }
    return true;
}

static bool set_body(struct compiler *c, const struct method *m, const http_rule *rule,
                     const char *template, struct schema_bind *b)
{
    const struct schema_root *root = root_of(c);
    const struct schema_msg *request = schema_at(root, m->request->off);
    const struct schema_msg *reply = schema_at(root, m->reply->off);
    const char *body = rule->body ? rule->body : "";
    const char *response = rule->response_body ? rule->response_body : "";
    const struct schema_field *f;

    b->body = body[0] == '\0' ? BODY_NONE : strcmp(body, "*") == 0 ? BODY_ALL : BODY_FIELD;
    if (b->body == BODY_FIELD) {
        f = schema_field_by_name(root, request, slice_str(body));
        if (f == NULL)
            return rule_fail(c, m, template, "body \"%s\" is not a field of %s", body,
                             m->request->name);
        b->body_field = (uint32_t)(f - schema_fields(root, request));
    }
    if (response[0] == '\0')
        return true;
    f = schema_field_by_name(root, reply, slice_str(response));
    if (f == NULL)
        return rule_fail(c, m, template, "response_body \"%s\" is not a field of %s", response,
                         m->reply->name);
    b->response_field = (uint32_t)(f - schema_fields(root, reply)) + 1;
    return true;
}

static const char *rule_pattern(const http_rule *rule, const char **http_method)
{
    switch (rule->pattern_case) {
    case GOOGLE__API__HTTP_RULE__PATTERN_GET:
        *http_method = "GET";
        return rule->get;
    case GOOGLE__API__HTTP_RULE__PATTERN_PUT:
        *http_method = "PUT";
        return rule->put;
    case GOOGLE__API__HTTP_RULE__PATTERN_POST:
        *http_method = "POST";
        return rule->post;
    case GOOGLE__API__HTTP_RULE__PATTERN_DELETE:
        *http_method = "DELETE";
        return rule->delete_;
    case GOOGLE__API__HTTP_RULE__PATTERN_PATCH:
        *http_method = "PATCH";
        return rule->patch;
    case GOOGLE__API__HTTP_RULE__PATTERN_CUSTOM:
        if (rule->custom == NULL || rule->custom->kind == NULL || rule->custom->kind[0] == '\0')
            return NULL;
        *http_method = rule->custom->kind;
        return rule->custom->path;
    default:
        return NULL;
    }
}

static bool compile_rule(struct compiler *c, struct method *m, const http_rule *rule)
{
    struct schema_bind b = m->common;
    const char *http_method = "", *template = rule_pattern(rule, &http_method);

    if (template == NULL)
        return rule_fail(c, m, "", "it names no method and path");
    if (!set_body(c, m, rule, template, &b) || !check_template(c, m, template, &b))
        return false;
    b.http_method = run_str(c, slice_str(http_method));
    b.template = run_str(c, slice_str(template));
    buf_add(m->annotated, &b, sizeof b);
    if (c->run.failed || m->annotated->failed)
        return compile_fail(c, "out of memory");
    return true;
}

static bool compile_rules(struct compiler *c, struct method *m, const http_rule *rule)
{
    if (!compile_rule(c, m, rule))
        return false;
    for (size_t i = 0; i < rule->n_additional_bindings; i++) {
        const http_rule *more = rule->additional_bindings[i];
        if (more->n_additional_bindings > 0)
            return rule_fail(c, m, "", "additional_bindings cannot have additional_bindings");
        if (!compile_rule(c, m, more))
            return false;
    }
    return true;
}

/* protobuf-c keeps the length in front of an unknown field's bytes. Several runs are one message.
 */
static bool option_bytes(const method_proto *p, struct buf *out)
{
    const ProtobufCMessage *options = p->options ? &p->options->base : NULL;

    for (unsigned i = 0; options != NULL && i < options->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *u = &options->unknown_fields[i];
        struct wire w = wire_of(slice_of((const char *)u->data, u->len));
        struct slice bytes;

        if (u->tag != HTTP_OPTION)
            continue;
        if (u->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || !wire_bytes(&w, &bytes))
            return false;
        buf_slice(out, bytes);
        buf_reserve(out, 1); /* an empty rule is a rule too */
    }
    return !out->failed;
}

static bool compile_annotation(struct compiler *c, struct method *m)
{
    static const uint32_t descend[] = {11}; /* additional_bindings */
    struct buf bytes = {0};
    http_rule *rule = NULL;
    bool ok;

    ok = option_bytes(m->proto, &bytes) && nesting_ok(buf_view(&bytes), descend, 1, 4);
    if (ok && bytes.p != NULL)
        ok = (rule = google__api__http_rule__unpack(NULL, bytes.n, (const uint8_t *)bytes.p)) !=
             NULL;
    buf_free(&bytes);
    if (!ok)
        return rule_fail(c, m, "", "it is not a google.api.HttpRule");
    if (rule == NULL)
        return true;
    ok = compile_rules(c, m, rule);
    google__api__http_rule__free_unpacked(rule, NULL);
    return ok;
}

static bool method_types(struct compiler *c, struct method *m)
{
    const method_proto *p = m->proto;
    bool ok;

    m->request = type_find(c, p->input_type);
    m->reply = type_find(c, p->output_type);
    ok = m->request != NULL && m->request->message != NULL && m->reply != NULL &&
         m->reply->message != NULL;
    if (!ok)
        return compile_fail(c, "%.*s.%.*s: its messages are not in the set", SLICE_ARG(m->service),
                            SLICE_ARG(m->name));
    m->common.request = m->request->off;
    m->common.reply = m->reply->off;
    m->common.streaming = p->client_streaming || p->server_streaming;
    return true;
}

static bool compile_method(struct compiler *c, struct slice service, const method_proto *p,
                           struct buf *annotated, struct buf *bare)
{
    struct method m = {.service = service, .proto = p, .annotated = annotated};
    struct slice rpc_path;
    struct schema_bind b;

    if (p->name == NULL || p->name[0] == '\0')
        return compile_fail(c, "%.*s: a method without a name", SLICE_ARG(service));
    m.name = slice_str(p->name);
    if (!method_types(c, &m))
        return false;
    rpc_path = arena_printf(&c->arena, "/%.*s/%.*s", SLICE_ARG(service), SLICE_ARG(m.name));
    m.common.service = run_str(c, service);
    m.common.method = run_str(c, m.name);
    m.common.rpc_path = run_str(c, rpc_path);
    b = m.common;
    b.body = BODY_ALL;
    buf_add(bare, &b, sizeof b);
    return compile_annotation(c, &m);
}

static bool compile_services(struct compiler *c, struct buf *annotated, struct buf *bare)
{
    for (size_t i = 0; i < c->set->n_file; i++) {
        const Google__Protobuf__FileDescriptorProto *f = c->set->file[i];
        for (size_t s = 0; s < f->n_service; s++) {
            const Google__Protobuf__ServiceDescriptorProto *p = f->service[s];
            struct slice name;

            if (p->name == NULL || p->name[0] == '\0')
                return compile_fail(c, "%s: a service without a name", f->name ? f->name : "?");
            name = f->package && f->package[0]
                       ? arena_printf(&c->arena, "%s.%s", f->package, p->name)
                       : slice_str(p->name);
            for (size_t j = 0; j < p->n_method; j++)
                if (!compile_method(c, name, p->method[j], annotated, bare))
                    return false;
        }
    }
    return true;
}

bool compile_bindings(struct compiler *c, struct schema_arr *bindings)
{
    struct buf annotated = {0}, bare = {0};
    bool ok = !c->run.failed && compile_services(c, &annotated, &bare);

    buf_slice(&annotated, buf_view(&bare));
    if (ok && !annotated.failed && !bare.failed) {
        bindings->n = (uint32_t)(annotated.n / sizeof(struct schema_bind));
        bindings->off = run_reserve(c, annotated.n);
        run_put(c, bindings->off, annotated.p, annotated.n);
    } else if (ok) {
        ok = compile_fail(c, "out of memory");
    }
    buf_free(&annotated);
    buf_free(&bare);
    return ok;
}

static const struct schema_bind *bind_at(struct slice schema, uint32_t binding)
{
    const struct schema_root *root = schema_root_of(schema);

    CHECK(root != NULL && binding < root->bindings.n);
    return (const struct schema_bind *)schema_at(root, root->bindings.off) + binding;
}

uint32_t schema_bindings(struct slice schema)
{
    const struct schema_root *root = schema_root_of(schema);

    return root ? root->bindings.n : 0;
}

void schema_binding_get(struct slice schema, uint32_t binding, struct schema_binding *out)
{
    const struct schema_bind *b = bind_at(schema, binding);
    const struct schema_root *root = schema_root_of(schema);

    out->service = schema_slice(root, b->service);
    out->method = schema_slice(root, b->method);
    out->rpc_path = schema_slice(root, b->rpc_path);
    out->http_method = schema_slice(root, b->http_method);
    out->template = schema_slice(root, b->template);
    out->streaming = b->streaming != 0;
}

uint32_t schema_field_number(struct slice schema, uint32_t binding, struct slice name)
{
    const struct schema_root *root = schema_root_of(schema);
    const struct schema_bind *b = bind_at(schema, binding);
    const struct schema_field *f = schema_field_by_name(root, schema_at(root, b->request), name);

    return f == NULL || f->flags & FIELD_MAP ? 0 : f->number;
}

struct slice schema_request_name(struct slice schema, uint32_t binding)
{
    const struct schema_root *root = schema_root_of(schema);
    const struct schema_msg *m = schema_at(root, bind_at(schema, binding)->request);

    return schema_slice(root, m->name);
}

bool schema_check_vars(struct slice schema, uint32_t binding, const struct slice *vars, unsigned n,
                       struct buf *err)
{
    const struct schema_bind *b = bind_at(schema, binding);
    const struct schema_root *root = schema_root_of(schema);

    if (n > SCHEMA_VARS_MAX) {
        buf_printf(err, "more than %d path variables", SCHEMA_VARS_MAX);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        bool wide;
        struct slice of, name = template_var_name(vars[i], &wide);
        const char *why = var_problem(root, b, name, &of);

        if (why == NULL)
            continue;
        buf_printf(err, "path variable \"%.*s\" %s %.*s", SLICE_ARG(name), why, SLICE_ARG(of));
        return false;
    }
    return true;
}
