/* fmt: policies in the one layout. */
#include "cmd.h"

#include "authz/rego/syntax/format.h"

#include <stdio.h>

static bool same(struct str a, const struct buf *b)
{
    return str_eq(a, buf_str(b));
}

static int write_back(const char *path, const struct buf *b)
{
    FILE *f = fopen(path, "wbe");
    bool ok = f != NULL && fwrite(b->p, 1, b->n, f) == b->n;
    ok = f != NULL && fclose(f) == 0 && ok;
    if (!ok) {
        fprintf(stderr, "error: %s cannot be written\n", path);
    }
    return !ok;
}

static int format_one(struct cmd *c, const char *path, struct str text)
{
    struct format_options o = {
        .from = c->v0 || c->v1_from_v0 ? REGO_V0 : REGO_V1,
        .to = c->v0 && !c->v1_from_v0 ? REGO_V0 : REGO_V1,
        .drop_v0_imports = c->drop_imports,
    };
    struct rego_errors errors = {.a = &c->a};
    struct buf out;
    buf_init(&out, STORE_FILE_MAX);
    struct str name = str_of(path != NULL ? path : "stdin");
    int code = 0;
    if (!rego_format(&c->a, name, text, &o, &errors, &out)) {
        struct buf b;
        buf_init(&b, 1 << 24);
        rego_errors_write(&b, &errors);
        fprintf(stderr, "%.*s\n", STR_FMT(buf_str(&b)));
        buf_release(&b);
        code = 2;
    } else if (c->list || c->diff) {
        bool differs = !same(text, &out);
        if (differs && c->list) {
            printf("%s\n", path != NULL ? path : "stdin");
        } else if (differs) {
            printf("--- %s\n+++ %s (formatted)\n%.*s", name.p, name.p, STR_FMT(buf_str(&out)));
        }
        code = differs && c->fail;
    } else if (c->write && path != NULL) {
        code = same(text, &out) ? 0 : write_back(path, &out);
    } else if (c->fail && !same(text, &out)) {
        code = 1;
    } else {
        print_buf(&out);
    }
    buf_release(&out);
    return code;
}

static const struct flag flags[] = {
    {"write", 'w', FLAG_BOOL, CMD(write), NULL, "write the result back to the file", NULL, NULL},
    {"list", 'l', FLAG_BOOL, CMD(list), NULL, "name the files that would change", NULL, NULL},
    {"diff", 'd', FLAG_BOOL, CMD(diff), NULL, "show what would change", NULL, NULL},
    {"fail", 0, FLAG_BOOL, CMD(fail), NULL, "exit code other than 0 when something would change",
     NULL, NULL},
    {"v0-v1", 0, FLAG_BOOL, CMD(v1_from_v0), NULL, "make v0 policies hold as v1, too", NULL, NULL},
    {"rego-v1", 0, FLAG_BOOL, CMD(v1_from_v0), NULL, NULL, NULL, NULL},
    {"drop-v0-imports", 0, FLAG_BOOL, CMD(drop_imports), NULL,
     "leave out imports that v1 does not need", NULL, NULL},
    {"check-result", 0, FLAG_BOOL, CMD(check_result), NULL,
     "read the result again to be sure of it", NULL, "true"},
    ROW_CAPABILITIES,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {
    "fmt", "[FILE...]", "Format policies in the one layout; without files, stdin.", flags};

static int format_all(struct cmd *c)
{
    int code = 0;
    if (c->args.n == 0) {
        return format_one(c, NULL, stdin_text(&c->a));
    }
    for (size_t i = 0; i < c->args.n; i++) {
        struct str text;
        struct err e = read_whole_file(&c->a, str_of(c->args.v[i]), &text);
        if (failed(e)) {
            fprintf(stderr, "error: %s\n", err_detail());
            code = 1;
            continue;
        }
        int one = format_one(c, c->args.v[i], text);
        code = one != 0 ? one : code;
    }
    return code;
}

int cmd_fmt(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c != NULL) {
        code = format_all(c);
        cmd_free(c);
    }
    return code;
}
