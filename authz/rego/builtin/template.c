/* strings.render_template. */
#include "authz/rego/builtin/template/template.h"
#include "authz/rego/builtin/builtin.h"

/* The variables go through their own text as JSON: what only Rego has is refused there, as upstream. */
static struct err as_json(struct bcall *b, struct val vars, struct val *out)
{
    return val_from_json(b->a, val_rego_text(b->a, vars), out);
}

/* What is not there shows as undefined does elsewhere. */
static enum b_status shown(struct bcall *b, struct buf *text)
{
    static const char missing[] = "<no value>";
    struct buf out;
    bool ok = buf_ok(text);
    struct str rest = buf_str(text);
    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    for (size_t at; (at = str_find(rest, str_of(missing))) != STR_NPOS;) {
        buf_puts(&out, str_sub(rest, 0, at));
        buf_puts(&out, S("<undefined>"));
        rest = str_sub(rest, at + sizeof missing - 1, rest.n);
    }
    buf_puts(&out, rest);
    buf_release(text);
    if (!ok) {
        buf_release(&out);
        return b_fail(b, "the result is too large");
    }
    return b_buf(b, &out);
}

static enum b_status b_render(struct bcall *b)
{
    struct str text, why;
    struct val vars;
    struct template t;
    struct buf out;
    uint64_t steps = 0;
    if (!b_string(b, 1, &text) || !b_is(b, 2, V_OBJECT)) {
        return B_ERROR;
    }
    struct err e = as_json(b, b->args[1], &vars);
    if (failed(e)) {
        return b_fail_err(b, e);
    }
    if (!template_parse(b->a, text, &t, &why)) {
        return b_fail(b, "%.*s", STR_FMT(why));
    }
    buf_init(&out, TEMPLATE_OUTPUT_MAX);
    bool ok = template_execute(&t, vars, &out, &steps, &why);
    if (b_budget(b, steps) || !ok) {
        buf_release(&out);
        return ok ? B_ERROR : b_fail(b, "%.*s", STR_FMT(why));
    }
    return shown(b, &out);
}

const struct builtin builtins_template[] = {
    {"strings.render_template", 2, b_render, 0},
    {0},
};
