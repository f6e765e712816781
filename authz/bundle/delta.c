/* delta: a snapshot changed by a patch, and several bundles made one. */
#include "bundle_priv.h"

#include "lib/base/codec.h"

#include <stdlib.h>

/* ---- patches ---- */

struct pointer {
    struct str v[BUNDLE_DEPTH_MAX * 4];
    size_t n;
};

/* Parts of a JSON pointer with ~0, ~1 and percent-escapes resolved; slashes at the ends don't count. */
static struct err pointer_parse(struct arena *a, struct str text, struct pointer *p)
{
    text = trim_slashes(text);
    p->n = 0;
    while (text.p != NULL && text.n > 0) {
        struct str part = str_split(&text, '/');
        ENSURE(!failed(percent_decode(a, part, false, &part)), ERR_INVALID,
               "error parsing patch path");
        char *to = arena_alloc_raw(a, part.n + 1, 1);
        size_t n = 0;
        ENSURE(p->n < ARRAY_LEN(p->v), ERR_LIMIT, "error parsing patch path");
        for (size_t i = 0; i < part.n; i++) {
            bool tilde = part.p[i] == '~' && i + 1 < part.n &&
                         (part.p[i + 1] == '0' || part.p[i + 1] == '1');
            to[n++] = tilde ? (part.p[++i] == '0' ? '~' : '/') : part.p[i];
        }
        p->v[p->n++] = str_n(to, n);
    }
    return OK;
}

static struct err not_found(struct arena *a, const struct pointer *p)
{
    struct str s = STR_EMPTY;
    for (size_t i = 0; i < p->n; i++) {
        s = arena_printf(a, "%.*s/%.*s", STR_FMT(s), STR_FMT(p->v[i]));
    }
    return err_make(ERR_NOT_FOUND, "storage_not_found_error: %.*s: document does not exist",
                    STR_FMT(s));
}

static bool array_index(struct str s, uint32_t n, bool past_end, uint32_t *out)
{
    uint64_t v;
    if (past_end && str_is(s, "-")) {
        *out = n;
        return true;
    }
    if (failed(str_to_u64(s, &v)) || v > n || (v == n && !past_end)) {
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

static struct val array_spliced(struct arena *a, struct val arr, uint32_t at, uint32_t gone,
                                struct val add)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < at; i++) {
        vlist_add(&l, val_nth(arr, i));
    }
    if (!val_undef(add)) {
        vlist_add(&l, add);
    }
    for (uint32_t i = at + gone; i < val_len(arr); i++) {
        vlist_add(&l, val_nth(arr, i));
    }
    return vlist_array(&l);
}

/* The operation at the last part of the path. VAL_UNDEF: it does not fit. */
static struct val applied_here(struct arena *a, struct val at, struct str last,
                               const struct bundle_patch *op)
{
    uint32_t i;
    struct val key = val_str(a, last);
    if (val_is(at, V_ARRAY)) {
        bool add = op->op == BUNDLE_UPSERT;
        if (!array_index(last, val_len(at), add, &i)) {
            return VAL_UNDEF;
        }
        return array_spliced(a, at, i, add ? 0 : 1,
                             op->op == BUNDLE_REMOVE ? VAL_UNDEF : op->value);
    }
    if (!val_is(at, V_OBJECT) || (op->op != BUNDLE_UPSERT && val_undef(val_get(at, key)))) {
        return VAL_UNDEF;
    }
    return op->op == BUNDLE_REMOVE ? val_without(a, at, key) : val_with(a, at, key, op->value);
}

/* What stands at each part of the path; missing objects of an upsert are made. */
static bool descend(struct arena *a, struct val root, const struct pointer *p, bool make,
                    struct val *at)
{
    at[0] = root;
    for (size_t i = 0; i + 1 < p->n; i++) {
        struct val next = VAL_UNDEF;
        uint32_t k;
        if (val_is(at[i], V_OBJECT)) {
            next = val_get(at[i], val_str(a, p->v[i]));
            next = val_undef(next) && make ? val_empty_object() : next;
        } else if (val_is(at[i], V_ARRAY) && array_index(p->v[i], val_len(at[i]), false, &k)) {
            next = val_nth(at[i], k);
        }
        if (val_undef(next)) {
            return false;
        }
        at[i + 1] = next;
    }
    return true;
}

static struct err apply_one(struct arena *a, const struct bundle_patch *op, struct val *root)
{
    struct pointer p;
    struct val at[ARRAY_LEN(p.v) + 1];
    TRY(pointer_parse(a, op->path, &p));
    ENSURE(op->op != BUNDLE_BAD_OP, ERR_INVALID, "bad patch operation: unknown");
    if (p.n == 0) {
        ENSURE(op->op != BUNDLE_REMOVE && val_is(op->value, V_OBJECT), ERR_INVALID,
               "root must be object");
        *root = op->value;
        return OK;
    }
    if (!descend(a, *root, &p, op->op == BUNDLE_UPSERT, at)) {
        return not_found(a, &p);
    }
    struct val v = applied_here(a, at[p.n - 1], p.v[p.n - 1], op);
    if (val_undef(v)) {
        return not_found(a, &p);
    }
    for (size_t i = p.n - 1; i-- > 0;) {
        uint32_t k;
        bool array = val_is(at[i], V_ARRAY) && array_index(p.v[i], val_len(at[i]), false, &k);
        v = array ? array_spliced(a, at[i], k, 1, v) : val_with(a, at[i], val_str(a, p.v[i]), v);
    }
    *root = v;
    return OK;
}

static bool same_roots(const struct bundle_manifest *x, const struct bundle_manifest *y)
{
    if (x->n_roots != y->n_roots) {
        return false;
    }
    for (size_t i = 0; i < x->n_roots; i++) {
        bool found = false;
        for (size_t k = 0; k < y->n_roots && !found; k++) {
            found = str_eq(x->roots[i], y->roots[k]);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool same_wasm(const struct bundle_manifest *x, const struct bundle_manifest *y)
{
    if (x->n_wasm != y->n_wasm) {
        return false;
    }
    for (size_t i = 0; i < x->n_wasm; i++) {
        if (!str_eq(x->wasm[i].module, y->wasm[i].module) ||
            !str_eq(x->wasm[i].entrypoint, y->wasm[i].entrypoint)) {
            return false;
        }
    }
    return true;
}

static void copy_modules(struct bundle *to, const struct bundle *from, bool deep)
{
    to->n_modules = to->cap_modules = from->n_modules;
    to->modules = arena_array(&to->arena, struct bundle_module, from->n_modules + 1);
    for (size_t i = 0; i < from->n_modules; i++) {
        struct bundle_module m = from->modules[i];
        if (deep) {
            m.path = arena_str(&to->arena, m.path);
            m.full = arena_str(&to->arena, m.full);
            m.text = arena_str(&to->arena, m.text);
            m.parsed = NULL;
        }
        to->modules[i] = m;
    }
}

static struct bundle_manifest manifest_copy(struct arena *a, const struct bundle_manifest *m)
{
    struct bundle_manifest c = *m;
    c.revision = arena_str(a, m->revision);
    c.roots = arena_array(a, struct str, m->n_roots + 1);
    for (size_t i = 0; i < m->n_roots; i++) {
        c.roots[i] = arena_str(a, m->roots[i]);
    }
    c.file_versions = arena_array(a, struct bundle_file_version, m->n_file_versions + 1);
    for (size_t i = 0; i < m->n_file_versions; i++) {
        c.file_versions[i].pattern = arena_str(a, m->file_versions[i].pattern);
        c.file_versions[i].version = m->file_versions[i].version;
    }
    c.wasm = arena_array(a, struct bundle_wasm_resolver, m->n_wasm + 1);
    for (size_t i = 0; i < m->n_wasm; i++) {
        c.wasm[i] = (struct bundle_wasm_resolver){arena_str(a, m->wasm[i].entrypoint),
                                                  arena_str(a, m->wasm[i].module),
                                                  val_copy(a, m->wasm[i].annotations)};
    }
    c.metadata = val_copy(a, m->metadata);
    return c;
}

static struct err patched(struct bundle *b, const struct bundle *delta)
{
    for (size_t i = 0; i < delta->n_patch; i++) {
        struct bundle_patch op = delta->patch[i];
        op.value = val_copy(&b->arena, op.value);
        TRY(apply_one(&b->arena, &op, &b->data));
        ENSURE(!arena_exhausted(&b->arena), ERR_LIMIT, "the patch takes too much memory");
    }
    return bundle_check(b);
}

struct err bundle_apply(struct bundle *on, const struct bundle *delta, struct bundle **out)
{
    ENSURE(same_roots(&on->manifest, &delta->manifest) &&
               same_wasm(&on->manifest, &delta->manifest),
           ERR_INVALID,
           "delta bundle '%.*s' has wasm resolvers or manifest roots that are different from those "
           "in the store",
           STR_FMT(on->name));
    struct bundle *b = bundle_new(on->name);
    bool fresh = on->chain + 1 >= BUNDLE_CHAIN_MAX;
    b->manifest = manifest_copy(&b->arena, &delta->manifest);
    b->etag = arena_str(&b->arena, delta->etag);
    b->size = delta->size;
    b->data = fresh ? val_copy(&b->arena, on->data) : on->data;
    copy_modules(b, on, fresh);
    if (!fresh) {
        b->below = bundle_ref(on);
        b->chain = on->chain + 1;
    }
    struct err e = patched(b, delta);
    if (failed(e)) {
        bundle_unref(b);
        return e;
    }
    *out = b;
    return OK;
}

/* ---- several as one ---- */

static void add_root(struct bundle *b, struct str root, size_t *cap)
{
    struct bundle_manifest *m = &b->manifest;
    m->roots = arena_grow(&b->arena, m->roots, m->n_roots, m->n_roots + 1, cap, sizeof *m->roots);
    m->roots[m->n_roots++] = arena_str(&b->arena, root);
}

static int64_t version_number(enum rego_version v)
{
    return v == REGO_V0 ? 0 : v == REGO_V1 ? 1 : 2;
}

static struct str absolute(struct arena *a, struct str path)
{
    return str_starts(path, S("/")) ? arena_str(a, path) : arena_printf(a, "/%.*s", STR_FMT(path));
}

static int by_pattern(const void *x, const void *y)
{
    const struct bundle_file_version *a = x, *b = y;
    return str_cmp(a->pattern, b->pattern);
}

/* Modules of another version than the whole are named one by one. */
static void note_versions(struct bundle *b, enum rego_version whole)
{
    struct bundle_manifest *m = &b->manifest;
    m->file_versions = arena_array(&b->arena, struct bundle_file_version, b->n_modules + 1);
    m->n_file_versions = 0;
    m->rego_version = version_number(whole);
    for (size_t i = 0; i < b->n_modules; i++) {
        if (version_number(b->modules[i].version) != m->rego_version) {
            m->file_versions[m->n_file_versions++] = (struct bundle_file_version){
                absolute(&b->arena, b->modules[i].path), version_number(b->modules[i].version)};
        }
    }
    if (m->n_file_versions > 1) {
        qsort(m->file_versions, m->n_file_versions, sizeof *m->file_versions, by_pattern);
    }
}

static struct val data_below(struct val data, struct str root, struct arena *a)
{
    while (root.p != NULL && root.n > 0 && !val_undef(data)) {
        struct str part = str_split(&root, '/');
        data = val_is(data, V_OBJECT) ? val_get(data, val_str(a, part)) : VAL_UNDEF;
    }
    return data;
}

static struct val at_root(struct arena *a, struct str root, struct val v)
{
    while (root.n > 0) {
        size_t slash = str_rfind_char(root, '/');
        struct str last = slash == STR_NPOS ? root : str_sub(root, slash + 1, root.n);
        root = slash == STR_NPOS ? STR_EMPTY : str_sub(root, 0, slash);
        v = val_object2(a, (struct val[]){val_str(a, last), v}, 1);
    }
    return v;
}

static struct err take_data(struct bundle *b, const struct bundle *from)
{
    for (size_t i = 0; i < from->manifest.n_roots; i++) {
        struct str root = from->manifest.roots[i];
        struct val v = data_below(from->data, root, &b->arena);
        bool clash = false;
        if (val_undef(v) || (root.n == 0 && val_len(v) == 0)) {
            continue;
        }
        v = at_root(&b->arena, root, val_copy(&b->arena, v));
        b->data = val_merge(&b->arena, b->data, v, &clash);
        ENSURE(!clash, ERR_CONFLICT, "failed to insert data file from path %.*s", STR_FMT(root));
    }
    return OK;
}

static void take_modules(struct bundle *b, const struct bundle *from)
{
    for (size_t i = 0; i < from->n_modules; i++) {
        const struct bundle_module *m = &from->modules[i];
        bundle_add_module(b, m->full.n > 0 ? m->full : m->path, m->text, m->version);
        b->modules[b->n_modules - 1].parsed = m->parsed;
    }
    for (size_t i = 0; i < from->n_wasm; i++) {
        bundle_add_blob(b, from->wasm[i].path, from->wasm[i].bytes, false);
    }
    for (size_t i = 0; i < from->n_plans; i++) {
        bundle_add_blob(b, from->plans[i].path, from->plans[i].bytes, true);
    }
}

static void take_wasm_resolvers(struct bundle *b, const struct bundle_manifest *from, size_t *cap)
{
    struct bundle_manifest *m = &b->manifest, c = manifest_copy(&b->arena, from);
    for (size_t i = 0; i < c.n_wasm; i++) {
        m->wasm = arena_grow(&b->arena, m->wasm, m->n_wasm, m->n_wasm + 1, cap, sizeof *m->wasm);
        m->wasm[m->n_wasm++] = c.wasm[i];
    }
}

/* One alone keeps what its manifest says; of many only the roots stay. */
static struct err merge_into(struct bundle *b, struct bundle *const *v, size_t n,
                             enum rego_version version)
{
    size_t cap_roots = 0, cap_wasm = 0;
    if (n == 1) {
        b->manifest = manifest_copy(&b->arena, &v[0]->manifest);
        b->data = val_copy(&b->arena, v[0]->data);
        take_modules(b, v[0]);
        int64_t own = v[0]->manifest.rego_version;
        note_versions(b, own == -1 ? version : own == 0 ? REGO_V0 : own == 1 ? REGO_V1 : REGO_V2);
        return bundle_check(b);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < v[i]->manifest.n_roots; k++) {
            add_root(b, v[i]->manifest.roots[k], &cap_roots);
        }
        take_modules(b, v[i]);
        take_wasm_resolvers(b, &v[i]->manifest, &cap_wasm);
        TRY(take_data(b, v[i]));
    }
    b->manifest.roots_given = true;
    note_versions(b, version);
    return bundle_check(b);
}

struct err bundle_merge(struct bundle *const *v, size_t n, enum rego_version version,
                        struct bundle **out)
{
    ENSURE(n > 0, ERR_INVALID, "expected at least one bundle");
    struct bundle *b = bundle_new(STR_EMPTY);
    struct err e = merge_into(b, v, n, version);
    for (size_t i = 0; i < b->n_modules; i++) {
        b->modules[i].parsed = NULL; /* belongs to the bundle it came from */
    }
    if (failed(e)) {
        bundle_unref(b);
        return e;
    }
    *out = b;
    return OK;
}
