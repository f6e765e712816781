/* inspect: what a bundle, a folder, or a policy holds. */
#include "cmd.h"

#include "authz/bundle/bundle.h"
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct flag flags[] = {
    {"annotations", 'a', FLAG_BOOL, CMD(annotations), NULL,
     "the annotations of packages and rules, too", NULL, NULL},
    ROW_FORMAT("pretty,json", "pretty"),
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {"inspect", "PATH",
                                       "Tell what a bundle, a folder or a policy holds.", flags};

struct entry {
    struct str name, file;
};

struct inspected {
    struct cmd *c;
    struct bundle *b; /* NULL: one policy */
    struct entry *v;
    size_t n, cap;
};

static void add(struct inspected *x, struct str name, struct str file)
{
    x->v = arena_grow(&x->c->a, x->v, x->n, x->n + 1, &x->cap, sizeof *x->v);
    x->v[x->n++] = (struct entry){name, file};
}

static int by_name(const void *p, const void *q)
{
    const struct entry *a = p, *b = q;
    int order = str_cmp(a->name, b->name);
    return order != 0 ? order : str_cmp(a->file, b->file);
}

static struct str package_of(struct arena *a, const struct module *m)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, m->package);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* data.a.b for the data file that stands in a/b. */
static struct str place_of(struct arena *a, struct str path)
{
    struct term *ref = term_new(a, T_REF, (struct loc){0});
    struct buf b;
    term_push(a, ref, term_var(a, S("data"), (struct loc){0}));
    for (struct str rest = path; rest.p != NULL;) {
        struct str part = str_split(&rest, '/');
        if (part.n > 0 && rest.p != NULL) {
            term_push(a, ref, term_string(a, part, (struct loc){0}));
        }
    }
    buf_init(&b, 1 << 16);
    term_write(&b, ref);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* Data files of a folder: the bundle keeps their values alone. */
static void find_data(struct inspected *x, struct str root, struct str below, unsigned depth)
{
    static const char *const names[] = {"data.json", "data.yaml", "data.yml"};
    struct stat st;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str path =
            arena_printf(&x->c->a, "%.*s/%.*s%s", STR_FMT(root), STR_FMT(below), names[i]);
        if (stat(path.p, &st) == 0) {
            struct str in = arena_printf(&x->c->a, "%.*s%s", STR_FMT(below), names[i]);
            add(x, place_of(&x->c->a, in), path);
        }
    }
    struct str here = arena_printf(&x->c->a, "%.*s/%.*s", STR_FMT(root), STR_FMT(below));
    struct str *folders;
    size_t n = list_folders(&x->c->a, here, &folders);
    for (size_t i = 0; depth < BUNDLE_DEPTH_MAX && i < n; i++) {
        find_data(x, root, arena_printf(&x->c->a, "%.*s%.*s/", STR_FMT(below), STR_FMT(folders[i])),
                  depth + 1);
    }
}

static struct err read_it(struct inspected *x, struct str path)
{
    struct cmd *c = x->c;
    struct stat st;
    struct rego_errors errors = {.a = &c->a};
    bool folder = stat(path.p, &st) == 0 && S_ISDIR(st.st_mode);
    if (str_ends(path, S(".rego"))) {
        struct str text;
        struct module *m;
        struct parse_options po = {.version = cmd_version(c)};
        TRY(read_whole_file(&c->a, path, &text));
        ENSURE(rego_parse_module(&c->a, path, text, &po, &errors, &m), ERR_INVALID, "%.*s",
               STR_FMT(errors.v[0].message));
        add(x, package_of(&c->a, m), path);
        return OK;
    }
    struct bundle_opts o = {.name = path,
                            .base_dir = folder ? path : STR_EMPTY,
                            .version = cmd_version(c),
                            .skip_verify = true};
    TRY(bundle_read_path(path, &o, &errors, &x->b));
    for (size_t i = 0; i < x->b->n_modules; i++) {
        add(x, package_of(&c->a, x->b->modules[i].parsed), x->b->modules[i].full);
    }
    if (folder) {
        find_data(x, path, STR_EMPTY, 0);
    } else if (val_is(x->b->data, V_OBJECT) && val_len(x->b->data) > 0) {
        add(x, S("data"), S("/data.json"));
    }
    qsort(x->v, x->n, sizeof *x->v, by_name);
    return OK;
}

static void row(struct table *t, const char *name, struct str value)
{
    bool cut = value.n >= 100;
    table_add(t, str_of(name));
    table_add(t, cut ? arena_printf(t->a, "%.97s...", value.p) : value);
}

static void print_manifest(struct buf *b, struct inspected *x)
{
    const struct bundle_manifest *m = &x->b->manifest;
    struct table t = {.a = &x->c->a, .n_columns = 2, .header = true};
    row(&t, "FIELD", S("VALUE"));
    if (m->rego_version >= 0) {
        row(&t, "Rego Version", arena_printf(t.a, "%lld", (long long)m->rego_version));
    }
    if (m->revision.n > 0) {
        row(&t, "Revision", m->revision);
    }
    for (size_t i = 0; i < m->n_roots; i++) {
        if (m->n_roots > 1 || m->roots[i].n > 0) {
            row(&t, "Roots", m->roots[i]);
        }
    }
    if (val_is(m->metadata, V_OBJECT) && val_len(m->metadata) > 0) {
        struct buf text;
        buf_init(&text, 1 << 20);
        val_to_json(&text, m->metadata, true);
        row(&t, "Metadata", arena_str(t.a, buf_str(&text)));
        buf_release(&text);
    }
    if (t.n_cells > 2) {
        buf_puts(b, S("MANIFEST:\n"));
        table_print(b, &t);
    }
}

static void print_pretty(struct buf *b, struct inspected *x)
{
    struct table t = {.a = &x->c->a, .n_columns = 2, .header = true};
    if (x->b != NULL) {
        print_manifest(b, x);
    }
    table_add(&t, S("NAMESPACE"));
    table_add(&t, S("FILE"));
    for (size_t i = 0; i < x->n; i++) {
        bool again = i > 0 && str_eq(x->v[i].name, x->v[i - 1].name);
        table_add(&t, again ? STR_EMPTY : x->v[i].name);
        table_add(&t, x->v[i].file);
    }
    if (x->n > 0) {
        buf_puts(b, S("NAMESPACES:\n"));
        table_print(b, &t);
    }
}

static struct val namespaces(struct inspected *x)
{
    struct vlist o = {.a = &x->c->a};
    for (size_t i = 0; i < x->n;) {
        struct vlist files = {.a = &x->c->a};
        size_t k = i;
        for (; k < x->n && str_eq(x->v[k].name, x->v[i].name); k++) {
            vlist_add(&files, val_str(files.a, x->v[k].file));
        }
        vlist_add2(&o, val_str(o.a, x->v[i].name), vlist_array(&files));
        i = k;
    }
    return vlist_object(&o);
}

static void put_member(struct buf *b, const char *name, struct val v)
{
    struct buf text;
    buf_init(&text, 1 << 28);
    val_to_json_pretty(&text, v, "  ", true);
    buf_printf(b, "%s\n  \"%s\": ", b->n > 1 ? "," : "", name);
    for (struct str rest = buf_str(&text); rest.p != NULL;) {
        buf_puts(b, str_split(&rest, '\n'));
        buf_puts(b, rest.p != NULL ? S("\n  ") : S(""));
    }
    buf_release(&text);
}

static void print_json(struct buf *b, struct inspected *x)
{
    struct vlist signatures = {.a = &x->c->a};
    buf_puts(b, S("{"));
    if (x->b != NULL) {
        struct val m = bundle_manifest_value(&x->c->a, &x->b->manifest);
        put_member(b, "manifest", m);
        if (x->b->signature.n > 0) {
            struct val token = val_str(&x->c->a, x->b->signature);
            vlist_put(&signatures, "plugin", val_str(&x->c->a, S("_default")));
            vlist_put(&signatures, "signatures", val_array(&x->c->a, &token, 1));
        }
    }
    put_member(b, "signatures_config", vlist_object(&signatures));
    put_member(b, "namespaces", namespaces(x));
    buf_puts(b, S("\n}\n"));
}

int cmd_inspect(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    struct inspected x = {.c = c};
    struct buf b;
    buf_init(&b, 1 << 30);
    if (c->args.n != 1) {
        code = cmd_wrong(&fc, "specify exactly one OPA bundle or path");
    } else if (failed(read_it(&x, arena_str(&c->a, str_of(c->args.v[0]))))) {
        fprintf(stderr, "error: %s\n", err_detail());
        code = 1;
    } else if (strcmp(c->format, "json") == 0) {
        print_json(&b, &x);
    } else {
        print_pretty(&b, &x);
    }
    print_buf(&b);
    buf_release(&b);
    bundle_unref(x.b);
    cmd_free(c);
    return code;
}
