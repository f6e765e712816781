/* read: from the files of an archive or folder to a bundle that was checked. */
#include "bundle_priv.h"

#include "lib/x509/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct bundle *bundle_ref(struct bundle *b)
{
    if (b != NULL) {
        b->refs++;
    }
    return b;
}

struct bundle *bundle_drop(struct bundle *b)
{
    struct bundle *dead = NULL;
    while (b != NULL && --b->refs == 0) {
        struct bundle *below = b->below;
        b->below = dead;
        dead = b;
        b = below;
    }
    return dead;
}

void bundle_bury(struct bundle *dead)
{
    while (dead != NULL) {
        struct bundle *next = dead->below;
        arena_release(&dead->arena);
        free(dead);
        dead = next;
    }
}

void bundle_unref(struct bundle *b)
{
    bundle_bury(bundle_drop(b));
}

struct bundle *bundle_new(struct str name)
{
    struct bundle *b = calloc(1, sizeof *b);
    BUG_ON(b == NULL);
    arena_init(&b->arena, (size_t)2 * BUNDLE_TOTAL_MAX);
    b->refs = 1;
    b->name = arena_str(&b->arena, name);
    b->data = val_empty_object();
    b->manifest.rego_version = -1;
    b->manifest.metadata = VAL_UNDEF;
    return b;
}

void bundle_add_module(struct bundle *b, struct str path, struct str text,
                       enum rego_version version)
{
    b->modules = arena_grow(&b->arena, b->modules, b->n_modules, b->n_modules + 1, &b->cap_modules,
                            sizeof *b->modules);
    struct str kept = arena_str(&b->arena, path);
    b->modules[b->n_modules++] = (struct bundle_module){
        .path = kept, .full = kept, .text = arena_str(&b->arena, text), .version = version};
}

void bundle_add_blob(struct bundle *b, struct str path, struct str bytes, bool plan)
{
    struct bundle_blob **v = plan ? &b->plans : &b->wasm;
    size_t *n = plan ? &b->n_plans : &b->n_wasm, *cap = plan ? &b->cap_plans : &b->cap_wasm;
    *v = arena_grow(&b->arena, *v, *n, *n + 1, cap, sizeof **v);
    (*v)[(*n)++] = (struct bundle_blob){arena_str(&b->arena, path), arena_str(&b->arena, bytes)};
}

void bundle_prepare(void)
{
    uint8_t sum[DIGEST_MAX];
    for (int alg = DIGEST_MD5; alg <= DIGEST_SHA512_256; alg++) {
        digest((enum digest_alg)alg, S("x"), sum);
    }
    (void)str_hash(S("x")); /* draws the key of hashes */
}

/* ---- patches ---- */

static struct err patch_op(struct val v, enum bundle_op *out)
{
    struct str name = val_is(v, V_STRING) ? val_text(v) : STR_EMPTY;
    if (str_is(name, "upsert")) {
        *out = BUNDLE_UPSERT;
    } else if (str_is(name, "remove")) {
        *out = BUNDLE_REMOVE;
    } else if (str_is(name, "replace")) {
        *out = BUNDLE_REPLACE;
    } else {
        *out = BUNDLE_BAD_OP; /* refused when it is to be applied, as upstream does */
    }
    return OK;
}

static struct err read_patch(struct bundle *b, struct str text)
{
    struct val v, list;
    struct err e = val_from_json(&b->arena, text, &v);
    if (failed(e)) {
        return err_wrap(e, "bundle load failed on patch decode");
    }
    list = val_is(v, V_OBJECT) ? val_get_str(v, "data") : VAL_UNDEF;
    ENSURE(val_is(v, V_OBJECT) &&
               (val_undef(list) || val_is(list, V_NULL) || val_is(list, V_ARRAY)),
           ERR_INVALID, "bundle load failed on patch decode: data is an array of operations");
    b->n_patch = val_is(list, V_ARRAY) ? val_len(list) : 0;
    b->patch = arena_array(&b->arena, struct bundle_patch, b->n_patch + 1);
    for (size_t i = 0; i < b->n_patch; i++) {
        struct val op = val_nth(list, (uint32_t)i), path, value;
        ENSURE(val_is(op, V_OBJECT), ERR_INVALID,
               "bundle load failed on patch decode: an operation is an object");
        path = val_get_str(op, "path");
        value = val_get_str(op, "value");
        TRY(patch_op(val_get_str(op, "op"), &b->patch[i].op));
        b->patch[i].path = val_is(path, V_STRING) ? val_text(path) : STR_EMPTY;
        b->patch[i].value = val_undef(value) ? VAL_NULL : value;
    }
    b->delta = b->n_patch > 0;
    return OK;
}

/* ---- files ---- */

struct reading {
    struct bundle *b;
    const struct bundle_opts *o;
    struct rego_errors *errors;
    struct data_tree *data;
    struct str manifest_path;
    size_t n_data;
};

static struct str full_path(struct reading *r, struct str path)
{
    struct str base = r->o->base_dir;
    if (base.n == 0) {
        return arena_str(&r->b->arena, path);
    }
    while (base.n > 1 && base.p[base.n - 1] == '/') {
        base.n--;
    }
    while (str_starts(base, S("./")) && base.n > 2) {
        base = str_sub(base, 2, base.n);
    }
    bool here = str_is(base, ".") || str_is(base, "./");
    struct str rest = str_starts(path, S("/")) ? str_sub(path, 1, path.n) : path;
    return here ? arena_str(&r->b->arena, rest)
                : arena_printf(&r->b->arena, "%.*s/%.*s", STR_FMT(base), STR_FMT(rest));
}

static struct err one_manifest(struct reading *r, const struct raw_file *f)
{
    ENSURE(r->manifest_path.n == 0, ERR_INVALID,
           "bundle contains multiple manifest files: \"%.*s\" and \"%.*s\"",
           STR_FMT(r->manifest_path), STR_FMT(f->path));
    r->manifest_path = f->path;
    ENSURE(!str_ends(f->path, S(".manifest.pb")), ERR_UNSUPPORTED,
           "bundle load failed on manifest decode: %.*s: manifests in protobuf are not supported",
           STR_FMT(f->path));
    return manifest_parse(r->b, f->bytes);
}

static struct err one_data(struct reading *r, const struct raw_file *f)
{
    struct val v;
    TRY(data_parse(&r->b->arena, full_path(r, f->path), f->bytes, &v));
    r->n_data++;
    return data_tree_add(r->data, f->path, v);
}

static struct err one_file(struct reading *r, const struct raw_file *f)
{
    struct str base = path_base(f->path);
    if (str_ends(f->path, S(".rego"))) {
        bundle_add_module(r->b, f->path, f->bytes, r->o->version);
        r->b->modules[r->b->n_modules - 1].full = full_path(r, f->path);
    } else if (str_is(base, "policy.wasm")) {
        bundle_add_blob(r->b, full_path(r, f->path), f->bytes, false);
    } else if (str_is(base, "plan.json") || str_is(base, "plan.pb")) {
        bundle_add_blob(r->b, full_path(r, f->path), f->bytes, true);
    } else if (str_is(base, "data.json") || path_is_yaml_data(f->path)) {
        return one_data(r, f);
    } else if (str_ends(f->path, S(".manifest.pb")) || str_ends(f->path, S(".manifest"))) {
        return one_manifest(r, f);
    }
    return OK;
}

static struct err parse_modules(struct reading *r)
{
    struct bundle *b = r->b;
    struct rego_errors own = {.a = &b->arena};
    struct rego_errors *errors = r->errors != NULL ? r->errors : &own;
    size_t before = errors->n;
    for (size_t i = 0; i < b->n_modules; i++) {
        struct bundle_module *m = &b->modules[i];
        struct module *parsed = NULL;
        TRY(manifest_version_of(b, m->path, r->o->version, &m->version));
        if (r->o->raw) {
            continue;
        }
        struct parse_options po = {.version = m->version};
        if (rego_parse_module(&b->arena, m->full, m->text, &po, errors, &parsed)) {
            m->parsed = parsed;
        } else {
            break; /* upstream gives the errors of one module */
        }
    }
    if (errors->n > before) {
        struct buf text;
        struct rego_errors mine = {
            .a = errors->a, .v = errors->v + before, .n = errors->n - before};
        buf_init(&text, ERR_DETAIL_MAX - 1);
        rego_errors_write(&text, &mine);
        struct err e = err_make(ERR_INVALID, "%.*s", STR_FMT(buf_str(&text)));
        buf_release(&text);
        return e;
    }
    return OK;
}

static struct err delta_alone(struct reading *r)
{
    static const char what[] = "delta bundle expected to contain only patch file but";
    if (!r->b->delta) {
        return OK;
    }
    ENSURE(r->n_data == 0, ERR_INVALID, "%s data files found", what);
    ENSURE(r->b->n_modules == 0, ERR_INVALID, "%s policy files found", what);
    ENSURE(r->b->n_wasm == 0, ERR_INVALID, "%s wasm files found", what);
    ENSURE(!r->o->persist, ERR_INVALID,
           "'persist' property is true in config. persisting delta bundle to disk is not "
           "supported");
    return OK;
}

/* A module of wasm is named with base_dir in front, the manifest may name it without. */
static void qualify_wasm(struct reading *r)
{
    struct bundle_manifest *m = &r->b->manifest;
    for (size_t i = 0; r->o->base_dir.n > 0 && i < m->n_wasm; i++) {
        struct str full = full_path(r, m->wasm[i].module);
        for (size_t k = 0; k < r->b->n_wasm; k++) {
            if (str_eq(r->b->wasm[k].path, full)) {
                m->wasm[i].module = full;
            }
        }
    }
}

static struct err read_files(struct reading *r, const struct raw_files *files,
                             struct signed_files *sealed)
{
    for (size_t i = 0; i < files->n; i++) {
        TRY(signed_file_check(&r->b->arena, sealed, &files->v[i], r->o));
        TRY(one_file(r, &files->v[i]));
    }
    TRY(parse_modules(r));
    TRY(delta_alone(r));
    TRY(signed_files_done(sealed));
    qualify_wasm(r);
    TRY(data_tree_finish(r->data, &r->b->data));
    return r->o->raw ? OK : bundle_check(r->b);
}

static struct err decode(struct reading *r, const struct raw_files *files)
{
    const struct bundle_opts *o = r->o;
    struct signed_files sealed = {0};
    r->b->etag = arena_str(&r->b->arena, o->etag);
    r->b->signatures_file = files->has_signatures;
    if (files->has_patch) {
        TRY(read_patch(r->b, files->patch));
    }
    bool need_signature = o->verify != NULL && !o->verify->optional;
    ENSURE(!r->b->delta || o->skip_verify || !need_signature || o->verify->allow_unsigned_delta,
           ERR_SIGNATURE, "delta bundles do not support signature verification");
    struct err e =
        r->b->delta ? OK : signatures_check(&r->b->arena, files, o, &r->b->signature, &sealed);
    if (!failed(e)) {
        e = read_files(r, files, &sealed);
    }
    signed_files_release(&sealed);
    return e;
}

static struct err finish(struct raw_files *files, const struct bundle_opts *o,
                         struct rego_errors *errors, size_t size, struct bundle **out)
{
    struct reading r = {.b = bundle_new(o->name), .o = o, .errors = errors};
    r.data = data_tree_new(&r.b->arena);
    r.b->size = size;
    struct err e = decode(&r, files);
    data_tree_release(r.data);
    if (!failed(e) && arena_exhausted(&r.b->arena)) {
        e = err_make(ERR_LIMIT, "the bundle takes too much memory");
    }
    if (failed(e)) {
        bundle_unref(r.b);
        return e;
    }
    *out = r.b;
    return OK;
}

struct err bundle_read_tar(struct str packed, const struct bundle_opts *o,
                           struct rego_errors *errors, struct bundle **out)
{
    struct raw_files files;
    raw_init(&files);
    struct err e = raw_from_tar(&files, packed, o);
    if (!failed(e)) {
        e = finish(&files, o, errors, packed.n, out);
    }
    raw_release(&files);
    return e;
}

struct err bundle_read_dir(struct str path, const struct bundle_opts *o, struct rego_errors *errors,
                           struct bundle **out)
{
    struct raw_files files;
    raw_init(&files);
    struct err e = raw_from_dir(&files, path, o);
    if (!failed(e)) {
        e = finish(&files, o, errors, 0, out);
    }
    raw_release(&files);
    return e;
}

struct err bundle_read_path(struct str path, const struct bundle_opts *o,
                            struct rego_errors *errors, struct bundle **out)
{
    struct raw_files files;
    struct str packed;
    struct stat st;
    path = str_starts(path, S("file://")) ? str_sub(path, 7, path.n) : path;
    char name[BUNDLE_PATH_MAX];
    TRY(str_to_cstr(path, name, sizeof name));
    ENSURE(stat(name, &st) == 0, ERR_NOT_FOUND, "error reading \"%s\": stat %s: %s", name, name,
           errno == ENOENT ? "no such file or directory" : strerrordesc_np(errno));
    if (S_ISDIR(st.st_mode)) {
        struct bundle_opts with_base = *o;
        with_base.base_dir = o->base_dir.n > 0 ? o->base_dir : path;
        return bundle_read_dir(path, &with_base, errors, out);
    }
    raw_init(&files);
    struct err e = raw_whole_file(&files.a, path, &packed);
    if (!failed(e)) {
        e = bundle_read_tar(packed, o, errors, out);
    }
    raw_release(&files);
    return e;
}

struct err bundle_read_file(struct arena *a, struct str path, struct str *out)
{
    return raw_whole_file(a, path, out);
}
