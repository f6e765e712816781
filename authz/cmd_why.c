/* why: what would have to be different for another decision. */
#include "cmd.h"

#include "authz/rego/why.h"

#include <stdio.h>

static const struct flag flags[] = {
    ROW_DATA,
    ROW_BUNDLES,
    {"input", 'i', FLAG_TEXT, CMD(input), "FILE", "the input document", NULL, NULL},
    ROW_STDIN_INPUT,
    {"want", 0, FLAG_TEXT, CMD(text), "JSON",
     "the wished value; else true, or if it is true anything else", NULL, NULL},
    ROW_FORMAT("text,json", "text"),
    ROW_IGNORE,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {
    "why", "REFERENCE",
    "Tell the fewest expressions that would have to be different for another decision.", flags};

static bool options(struct cmd *c, struct image *im, struct rego_why_options *o,
                    struct rego_errors *errors)
{
    *o = (struct rego_why_options){.want = VAL_UNDEF};
    struct err e = cmd_input(c, &o->eval.input);
    if (!failed(e) && c->text != NULL) {
        e = val_from_json(&c->a, str_of(c->text), &o->want);
    }
    if (failed(e)) {
        rego_errors_add(errors, "", STR_EMPTY, (struct loc){0}, "%s", err_detail());
        return false;
    }
    o->eval.data = im->data;
    o->eval.runtime = cmd_runtime(&c->a);
    return true;
}

static int tell(struct cmd *c, struct image *im, struct rego_errors *errors)
{
    struct rego_why_options o;
    struct rego_why w;
    struct buf out;
    if (!options(c, im, &o, errors)) {
        print_errors(c, errors, true);
        return 2;
    }
    struct rego_topdown *t = rego_topdown_new(im->policy);
    rego_why(t, str_of(c->args.v[0]), &o, &c->a, &w);
    buf_init(&out, 64 << 20);
    if (strcmp(c->format, "json") == 0) {
        rego_why_to_json(&out, &w);
        buf_putc(&out, '\n');
    } else {
        rego_why_to_text(&out, &w);
    }
    print_buf(&out);
    buf_release(&out);
    rego_topdown_free(t);
    return w.failed ? 2 : 0;
}

int cmd_why(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    struct rego_errors errors = {.a = &c->a};
    struct rego_compile_options o = {0};
    bool loading;
    struct image *im = NULL;
    if (c->args.n != 1) {
        code = cmd_wrong(&fc, "specify one reference, like data.authz.allow");
    } else if ((im = cmd_load(c, LOAD_FLAGS, &o, &errors, &loading)) == NULL) {
        print_errors(c, &errors, loading);
        code = 2;
    } else {
        code = tell(c, im, &errors);
    }
    image_free(im);
    cmd_free(c);
    return code;
}
