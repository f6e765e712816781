/* manifest: what a bundle says about itself, read, checked against the rest, and written. */
#include "bundle_priv.h"

#include "authz/rego/builtin/glob.h"

#include <inttypes.h>
#include <stdlib.h>

static struct err decode_failed(const char *why)
{
    return err_make(ERR_INVALID, "bundle load failed on manifest decode: %s", why);
}

static struct err wrong_type(struct val v, const char *field, const char *go)
{
    return err_make(ERR_INVALID,
                    "bundle load failed on manifest decode: json: cannot unmarshal %s into Go "
                    "struct field Manifest.%s of type %s",
                    val_is(v, V_BOOL) ? "bool" : val_type_name(v), field, go);
}

static struct err text_member(struct arena *a, struct val obj, const char *name, struct str *out)
{
    struct val v = val_get_str(obj, name);
    if (val_undef(v) || val_is(v, V_NULL)) {
        return OK;
    }
    if (!val_is(v, V_STRING)) {
        return wrong_type(v, name, "string");
    }
    *out = arena_str(a, val_text(v));
    return OK;
}

struct str trim_slashes(struct str s)
{
    while (s.n > 0 && s.p[0] == '/') {
        s = str_sub(s, 1, s.n);
    }
    while (s.n > 0 && s.p[s.n - 1] == '/') {
        s.n--;
    }
    return s;
}

static struct err read_roots(struct arena *a, struct val obj, struct bundle_manifest *m)
{
    struct val v = val_get_str(obj, "roots");
    if (val_undef(v) || val_is(v, V_NULL)) {
        return OK;
    }
    if (!val_is(v, V_ARRAY)) {
        return wrong_type(v, "roots", "[]string");
    }
    ENSURE(val_len(v) <= BUNDLE_ROOTS_MAX, ERR_LIMIT, "manifest has more than %d roots",
           BUNDLE_ROOTS_MAX);
    m->roots_given = true;
    m->n_roots = val_len(v);
    m->roots = arena_array(a, struct str, m->n_roots + 1);
    for (size_t i = 0; i < m->n_roots; i++) {
        struct val item = val_nth(v, (uint32_t)i);
        if (!val_is(item, V_STRING)) {
            return wrong_type(item, "roots", "string");
        }
        m->roots[i] = arena_str(a, val_text(item));
    }
    return OK;
}

static struct err read_versions(struct arena *a, struct val obj, struct bundle_manifest *m)
{
    struct val v = val_get_str(obj, "rego_version"), files = val_get_str(obj, "file_rego_versions");
    if (!val_undef(v) && !val_is(v, V_NULL) && !val_to_i64(v, &m->rego_version)) {
        return wrong_type(v, "rego_version", "int");
    }
    if (val_undef(files) || val_is(files, V_NULL)) {
        return OK;
    }
    if (!val_is(files, V_OBJECT)) {
        return wrong_type(files, "file_rego_versions", "map[string]int");
    }
    m->n_file_versions = val_len(files);
    m->file_versions = arena_array(a, struct bundle_file_version, m->n_file_versions + 1);
    for (uint32_t i = 0; i < val_len(files); i++) {
        struct bundle_file_version *f = &m->file_versions[i];
        f->pattern = arena_str(a, val_text(val_nth_key(a, files, i)));
        if (!val_to_i64(val_nth(files, i), &f->version)) {
            return wrong_type(val_nth(files, i), "file_rego_versions", "int");
        }
    }
    return OK;
}

static struct err read_wasm(struct arena *a, struct val obj, struct bundle_manifest *m)
{
    struct val v = val_get_str(obj, "wasm");
    if (val_undef(v) || val_is(v, V_NULL)) {
        return OK;
    }
    if (!val_is(v, V_ARRAY)) {
        return wrong_type(v, "wasm", "[]bundle.WasmResolver");
    }
    m->wasm = arena_array(a, struct bundle_wasm_resolver, val_len(v) + 1);
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct bundle_wasm_resolver *w = &m->wasm[m->n_wasm++];
        if (!val_is(val_nth(v, i), V_OBJECT)) {
            return wrong_type(val_nth(v, i), "wasm", "bundle.WasmResolver");
        }
        TRY(text_member(a, val_nth(v, i), "entrypoint", &w->entrypoint));
        TRY(text_member(a, val_nth(v, i), "module", &w->module));
        struct val notes = val_get_str(val_nth(v, i), "annotations");
        w->annotations = val_is(notes, V_ARRAY) ? notes : VAL_UNDEF;
    }
    return OK;
}

struct err manifest_parse(struct bundle *b, struct str text)
{
    struct bundle_manifest *m = &b->manifest;
    struct arena *a = &b->arena;
    struct val v;
    struct err e = val_from_json(a, text, &v);
    if (failed(e)) {
        return err_wrap(e, "bundle load failed on manifest decode");
    }
    if (!val_is(v, V_OBJECT)) {
        return decode_failed("json: cannot unmarshal a value that is no object into Go value of "
                             "type bundle.Manifest");
    }
    m->present = true;
    TRY(text_member(a, v, "revision", &m->revision));
    TRY(read_roots(a, v, m));
    TRY(read_versions(a, v, m));
    TRY(read_wasm(a, v, m));
    struct val meta = val_get_str(v, "metadata");
    if (!val_undef(meta) && !val_is(meta, V_NULL) && !val_is(meta, V_OBJECT)) {
        return wrong_type(meta, "metadata", "map[string]interface {}");
    }
    m->metadata = val_is(meta, V_OBJECT) ? meta : VAL_UNDEF;
    return OK;
}

/* ---- versions ---- */

static bool known_version(int64_t v)
{
    return v >= 0 && v <= 2;
}

struct err manifest_version_of(const struct bundle *b, struct str path, enum rego_version fallback,
                               enum rego_version *out)
{
    const struct bundle_manifest *m = &b->manifest;
    int64_t version = m->rego_version;
    struct arena scratch;
    struct err e = OK;
    arena_init(&scratch, 16 << 20);
    for (size_t i = 0; i < m->n_file_versions && !failed(e); i++) {
        bool yes = false;
        e = glob_matches_text(&scratch, m->file_versions[i].pattern, path, &yes);
        if (failed(e)) {
            e = err_make(ERR_INVALID,
                         "failed to compile glob pattern %.*s: unexpected end of input",
                         STR_FMT(m->file_versions[i].pattern));
        } else if (yes) {
            version = m->file_versions[i].version;
            break;
        }
    }
    arena_release(&scratch);
    TRY(e);
    ENSURE(version == -1 || known_version(version), ERR_INVALID,
           "unknown bundle rego-version %" PRId64 " for file '%.*s'", version, STR_FMT(path));
    *out = version == -1 ? fallback : version == 0 ? REGO_V0 : version == 1 ? REGO_V1 : REGO_V2;
    return OK;
}

/* ---- checks ---- */

struct str roots_text(struct arena *a, const struct bundle_manifest *m)
{
    struct buf b;
    buf_init(&b, ERR_DETAIL_MAX);
    buf_putc(&b, '[');
    for (size_t i = 0; i < m->n_roots; i++) {
        buf_printf(&b, "%s%.*s", i > 0 ? " " : "", STR_FMT(m->roots[i]));
    }
    buf_putc(&b, ']');
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static int by_text(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

/* The first root, in the manifest's order, that overlaps a later one. */
static struct err check_overlap(const struct bundle_manifest *m)
{
    for (size_t i = 0; i + 1 < m->n_roots; i++) {
        for (size_t k = i + 1; k < m->n_roots; k++) {
            ENSURE(!bundle_roots_overlap(m->roots[i], m->roots[k]), ERR_INVALID,
                   "manifest has overlapped roots: '%.*s' and '%.*s'", STR_FMT(m->roots[i]),
                   STR_FMT(m->roots[k]));
        }
    }
    return OK;
}

/* Sorted first, so that many roots that are fine cost little; the text comes from the slow way. */
static struct err check_roots(struct arena *a, const struct bundle_manifest *m)
{
    struct str *sorted = arena_array(a, struct str, m->n_roots + 1);
    for (size_t i = 0; i < m->n_roots; i++) {
        sorted[i] = arena_printf(a, "%.*s/", STR_FMT(m->roots[i]));
    }
    if (m->n_roots > 1) {
        qsort(sorted, m->n_roots, sizeof *sorted, by_text);
    }
    for (size_t i = 0; i + 1 < m->n_roots; i++) {
        if (str_starts(sorted[i + 1], sorted[i]) || m->roots[i].n == 0 || m->roots[i + 1].n == 0) {
            return check_overlap(m);
        }
    }
    return OK;
}

static struct err check_versions(const struct bundle_manifest *m)
{
    ENSURE(m->rego_version == -1 || known_version(m->rego_version), ERR_INVALID,
           "manifest has unknown rego-version %" PRId64, m->rego_version);
    for (size_t i = 0; i < m->n_file_versions; i++) {
        ENSURE(known_version(m->file_versions[i].version), ERR_INVALID,
               "manifest has unknown rego-version %" PRId64 " for file '%.*s'",
               m->file_versions[i].version, STR_FMT(m->file_versions[i].pattern));
    }
    return OK;
}

/* The package in segments, without "data"; false when one of them is no string. */
static bool package_path(struct arena *a, const struct module *m, struct str **out, size_t *n)
{
    const struct term *ref = m->package;
    size_t total = ref->list.n - 1;
    *out = arena_array(a, struct str, total + 1);
    *n = total;
    for (size_t i = 0; i < total; i++) {
        const struct term *t = ref->list.v[i + 1];
        if (t->type != T_STRING) {
            return false;
        }
        (*out)[i] = t->str;
    }
    return true;
}

static struct str package_text(struct arena *a, const struct module *m)
{
    struct buf b;
    buf_init(&b, ERR_DETAIL_MAX);
    term_write(&b, m->package);
    struct str s = buf_str(&b);
    s = arena_str(a, str_starts(s, S("data.")) ? str_sub(s, 5, s.n) : s);
    buf_release(&b);
    return s;
}

static struct err check_modules(struct bundle *b)
{
    const struct bundle_manifest *m = &b->manifest;
    for (size_t i = 0; i < b->n_modules; i++) {
        const struct bundle_module *mod = &b->modules[i];
        struct str *path;
        size_t n;
        if (mod->parsed == NULL) {
            continue;
        }
        bool ok = package_path(&b->arena, mod->parsed, &path, &n) &&
                  bundle_roots_contain_path(m->roots, m->n_roots, path, n);
        ENSURE(ok, ERR_INVALID, "manifest roots %.*s do not permit 'package %.*s' in module '%.*s'",
               STR_FMT(roots_text(&b->arena, m)), STR_FMT(package_text(&b->arena, mod->parsed)),
               STR_FMT(mod->full));
    }
    return OK;
}

static const struct bundle_blob *wasm_named(const struct bundle *b, struct str path)
{
    for (size_t i = 0; i < b->n_wasm; i++) {
        if (str_eq(b->wasm[i].path, path)) {
            return &b->wasm[i];
        }
    }
    return NULL;
}

static struct err check_wasm(struct bundle *b)
{
    const struct bundle_manifest *m = &b->manifest;
    for (size_t i = 0; i < m->n_wasm; i++) {
        const struct bundle_wasm_resolver *w = &m->wasm[i];
        ENSURE(wasm_named(b, w->module) != NULL, ERR_INVALID,
               "manifest references wasm module '%.*s' but the module file does not exist",
               STR_FMT(w->module));
        ENSURE(bundle_roots_contain(m->roots, m->n_roots, w->entrypoint), ERR_INVALID,
               "manifest roots %.*s do not permit '%.*s' entrypoint for wasm module '%.*s'",
               STR_FMT(roots_text(&b->arena, m)), STR_FMT(w->entrypoint), STR_FMT(w->module));
        for (size_t k = 0; k < i; k++) {
            ENSURE(!str_eq(m->wasm[k].entrypoint, w->entrypoint), ERR_INVALID,
                   "entrypoint '%.*s' cannot be used by more than one wasm module",
                   STR_FMT(w->entrypoint));
        }
    }
    return OK;
}

static struct err check_patch(struct bundle *b)
{
    const struct bundle_manifest *m = &b->manifest;
    for (size_t i = 0; i < b->n_patch; i++) {
        struct str path = trim_slashes(b->patch[i].path);
        ENSURE(bundle_roots_contain(m->roots, m->n_roots, path), ERR_INVALID,
               "manifest roots %.*s do not permit data patch at path '%.*s'",
               STR_FMT(roots_text(&b->arena, m)), STR_FMT(path));
    }
    return OK;
}

/*
 * An object outside of the roots may stand there when it leads to one. Upstream asks whether any segment of
 * its path is the first of some root, which lets empty objects pass in more places; so do we.
 */
static bool leads_to_root(const struct bundle_manifest *m, struct str path)
{
    while (path.p != NULL) {
        struct str part = str_split(&path, '/');
        for (size_t i = 0; i < m->n_roots; i++) {
            struct str root = m->roots[i];
            if (part.n == 0 || str_eq(part, str_split(&root, '/'))) {
                return true;
            }
        }
    }
    return false;
}

struct place {
    struct str path;
    struct val v;
};

static struct err check_data(struct bundle *b)
{
    const struct bundle_manifest *m = &b->manifest;
    struct place *todo = NULL;
    size_t n = 0, cap = 0;
    todo = arena_grow(&b->arena, todo, n, 1, &cap, sizeof *todo);
    todo[n++] = (struct place){S(""), val_undef(b->data) ? val_empty_object() : b->data};
    while (n > 0) {
        struct place p = todo[--n];
        if (bundle_roots_contain(m->roots, m->n_roots, p.path)) {
            continue;
        }
        ENSURE(val_is(p.v, V_OBJECT) && m->n_roots > 0 && leads_to_root(m, p.path), ERR_INVALID,
               "manifest roots %.*s do not permit data at path '/%.*s' (hint: check bundle "
               "directory structure)",
               STR_FMT(roots_text(&b->arena, m)), STR_FMT(p.path));
        for (uint32_t i = val_len(p.v); i-- > 0;) {
            struct str key = val_text(val_nth_key(&b->arena, p.v, i));
            struct str path =
                p.path.n == 0 ? key
                              : arena_printf(&b->arena, "%.*s/%.*s", STR_FMT(p.path), STR_FMT(key));
            todo = arena_grow(&b->arena, todo, n, n + 1, &cap, sizeof *todo);
            todo[n++] = (struct place){path, val_nth(p.v, i)};
        }
        ENSURE(!arena_exhausted(&b->arena), ERR_LIMIT, "the bundle takes too much memory");
    }
    return OK;
}

struct err bundle_check(struct bundle *b)
{
    struct bundle_manifest *m = &b->manifest;
    if (!m->roots_given) {
        m->roots = arena_array(&b->arena, struct str, 1);
        m->roots[0] = S("");
        m->n_roots = 1;
    }
    for (size_t i = 0; i < m->n_roots; i++) {
        m->roots[i] = trim_slashes(m->roots[i]);
    }
    TRY(check_roots(&b->arena, m));
    TRY(check_versions(m));
    TRY(check_modules(b));
    TRY(check_wasm(b));
    TRY(check_patch(b));
    return check_data(b);
}

/* ---- writing ---- */

static bool whole_data(const struct bundle_manifest *m)
{
    return m->n_roots == 0 ? !m->roots_given : m->n_roots == 1 && m->roots[0].n == 0;
}

bool bundle_manifest_empty(const struct bundle_manifest *m)
{
    return m->revision.n == 0 && m->rego_version == -1 && m->n_file_versions == 0 &&
           val_undef(m->metadata) && m->n_wasm == 0 && whole_data(m);
}

static struct val wasm_value(struct arena *a, const struct bundle_manifest *m)
{
    struct vlist list = {.a = a};
    for (size_t i = 0; i < m->n_wasm; i++) {
        struct vlist o = {.a = a};
        if (m->wasm[i].entrypoint.n > 0) {
            vlist_put(&o, "entrypoint", val_str(a, m->wasm[i].entrypoint));
        }
        if (m->wasm[i].module.n > 0) {
            vlist_put(&o, "module", val_str(a, m->wasm[i].module));
        }
        if (val_is(m->wasm[i].annotations, V_ARRAY) && val_len(m->wasm[i].annotations) > 0) {
            vlist_put(&o, "annotations", m->wasm[i].annotations);
        }
        vlist_add(&list, vlist_object(&o));
    }
    return vlist_array(&list);
}

static struct val versions_value(struct arena *a, const struct bundle_manifest *m)
{
    struct vlist o = {.a = a};
    for (size_t i = 0; i < m->n_file_versions; i++) {
        vlist_add2(&o, val_str(a, m->file_versions[i].pattern),
                   val_int(a, m->file_versions[i].version));
    }
    return vlist_object(&o);
}

struct val bundle_manifest_value(struct arena *a, const struct bundle_manifest *m)
{
    struct vlist o = {.a = a}, roots = {.a = a};
    for (size_t i = 0; i < m->n_roots; i++) {
        vlist_add(&roots, val_str(a, m->roots[i]));
    }
    vlist_put(&o, "revision", val_str(a, m->revision));
    if (m->roots_given || m->n_roots > 0) {
        vlist_put(&o, "roots", vlist_array(&roots));
    }
    if (m->n_wasm > 0) {
        vlist_put(&o, "wasm", wasm_value(a, m));
    }
    if (m->rego_version != -1) {
        vlist_put(&o, "rego_version", val_int(a, m->rego_version));
    }
    if (m->n_file_versions > 0) {
        vlist_put(&o, "file_rego_versions", versions_value(a, m));
    }
    if (val_is(m->metadata, V_OBJECT) && val_len(m->metadata) > 0) {
        vlist_put(&o, "metadata", m->metadata);
    }
    return vlist_object(&o);
}
