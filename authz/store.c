#include "store_priv.h"

#include <stdlib.h>

static const size_t DATA_MEMORY_MAX = (size_t)8 << 30;
enum { TXN_MEMORY_MAX = 64 << 20 };

/* ---- policies, counted ---- */

static struct policy_source *source_new(struct str id, struct str text, enum rego_version version,
                                        bool from_disk)
{
    struct policy_source *p = calloc(1, sizeof *p);
    BUG_ON(p == NULL);
    arena_init(&p->arena, (size_t)STORE_FILE_MAX + (1 << 20));
    p->id = arena_str(&p->arena, id);
    p->text = arena_str(&p->arena, text);
    p->version = version;
    p->from_disk = from_disk;
    p->refs = 1;
    return p;
}

static void source_unref(struct policy_source *p)
{
    if (--p->refs == 0) {
        arena_release(&p->arena);
        free(p);
    }
}

static void sources_free(struct policy_source **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        source_unref(v[i]);
    }
    free(v);
}

static size_t position(struct policy_source *const *v, size_t n, struct str id, bool *there)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (str_cmp(v[mid]->id, id) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *there = lo < n && str_eq(v[lo]->id, id);
    return lo;
}

const struct policy_source *store_policy(const struct authz_store *s, struct str id)
{
    bool there;
    size_t at = position(s->sources, s->n_sources, id, &there);
    return there ? s->sources[at] : NULL;
}

/* ---- memory of the data ---- */

static struct arena *data_memory_new(void)
{
    struct arena *a = malloc(sizeof *a);
    BUG_ON(a == NULL);
    arena_init(a, DATA_MEMORY_MAX);
    return a;
}

static void data_memory_free(struct arena *a)
{
    if (a != NULL) {
        arena_release(a);
        free(a);
    }
}

/* Copies what is alive together, once as much again has been thrown away. */
static void compact(struct authz_store *s)
{
    if (s->data_memory->used < 2 * s->data_live + STORE_DATA_SLACK) {
        return;
    }
    struct arena *fresh = data_memory_new();
    if (s->overlay != NULL) { /* bundles keep their own data: it is put back, not copied */
        struct val rest = s->strip(s->overlay_ctx, s->data_memory, s->data);
        s->data = s->overlay(s->overlay_ctx, fresh, val_copy_shared(fresh, rest));
    } else {
        s->data = val_copy_shared(fresh, s->data);
    }
    data_memory_free(s->data_memory);
    s->data_memory = fresh;
    s->data_live = fresh->used;
}

/* ---- life ---- */

static bool compile(struct policy_source *const *v, size_t n, const struct val *data,
                    struct rego_errors *errors, struct rego_policy **out)
{
    struct rego_source *src = calloc(n + 1, sizeof *src);
    BUG_ON(src == NULL);
    for (size_t i = 0; i < n; i++) {
        src[i] = (struct rego_source){v[i]->id, v[i]->text, v[i]->version};
    }
    struct rego_compile_options o = {.data = data, .enable_print = true};
    bool ok = rego_compile(src, n, &o, errors, out);
    free(src);
    return ok;
}

void store_init(struct authz_store *s)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct rego_errors errors = {.a = &a};
    *s = (struct authz_store){.version = REGO_V1, .data = val_empty_object()};
    s->data_memory = data_memory_new();
    bool ok = compile(NULL, 0, NULL, &errors, &s->policy);
    BUG_ON(!ok);
    arena_release(&a);
}

void store_release(struct authz_store *s)
{
    journal_close(s);
    rego_policy_free(s->policy);
    sources_free(s->sources, s->n_sources);
    data_memory_free(s->data_memory);
    *s = (struct authz_store){.version = s->version};
}

/* ---- transactions ---- */

struct store_txn *store_begin(struct authz_store *s)
{
    struct store_txn *t = calloc(1, sizeof *t);
    BUG_ON(t == NULL);
    arena_init(&t->a, TXN_MEMORY_MAX);
    t->s = s;
    t->data = s->data;
    t->sources = malloc((s->n_sources + 1) * sizeof *t->sources);
    BUG_ON(t->sources == NULL);
    t->n_sources = s->n_sources;
    t->cap_sources = s->n_sources + 1;
    for (size_t i = 0; i < s->n_sources; i++) {
        t->sources[i] = s->sources[i];
        t->sources[i]->refs++;
    }
    return t;
}

void store_abort(struct store_txn *t)
{
    if (t != NULL) {
        sources_free(t->sources, t->n_sources);
        arena_release(&t->a);
        free(t);
    }
}

void store_txn_from_disk(struct store_txn *t, bool on)
{
    t->from_disk = on;
}

static void note_id(struct store_txn *t, struct str **v, size_t *n, size_t *cap, struct str id)
{
    *v = arena_grow(&t->a, *v, *n, *n + 1, cap, sizeof **v);
    (*v)[(*n)++] = arena_str(&t->a, id);
}

void store_txn_put(struct store_txn *t, struct str id, struct str text, enum rego_version version)
{
    bool there;
    size_t at = position(t->sources, t->n_sources, id, &there);
    if (there && str_eq(t->sources[at]->text, text) && t->sources[at]->version == version &&
        t->sources[at]->from_disk == t->from_disk) {
        return;
    }
    struct policy_source *p = source_new(id, text, version, t->from_disk);
    note_id(t, &t->puts, &t->n_puts, &t->cap_puts, id);
    t->policies_changed = true;
    if (there) {
        source_unref(t->sources[at]);
        t->sources[at] = p;
        return;
    }
    if (t->n_sources == t->cap_sources) {
        t->cap_sources *= 2;
        t->sources = realloc(t->sources, t->cap_sources * sizeof *t->sources);
        BUG_ON(t->sources == NULL);
    }
    memmove(t->sources + at + 1, t->sources + at, (t->n_sources - at) * sizeof *t->sources);
    t->sources[at] = p;
    t->n_sources++;
}

bool store_txn_drop(struct store_txn *t, struct str id)
{
    bool there;
    size_t at = position(t->sources, t->n_sources, id, &there);
    if (!there) {
        return false;
    }
    note_id(t, &t->drops, &t->n_drops, &t->cap_drops, id);
    source_unref(t->sources[at]);
    memmove(t->sources + at, t->sources + at + 1, (t->n_sources - at - 1) * sizeof *t->sources);
    t->n_sources--;
    t->policies_changed = true;
    return true;
}

/* Only what the writes touched is looked at: rules on the way there, and below it. */
static void check_writes(const struct store_txn *t, struct rego_errors *errors)
{
    for (size_t i = 0; i < t->n_writes && errors->n == 0; i++) {
        const struct written *w = &t->writes[i];
        rego_data_conflicts(t->s->policy, w->path, w->n, store_read(t->data, w->path, w->n),
                            errors);
    }
}

bool store_commit(struct store_txn *t, struct rego_errors *errors)
{
    struct authz_store *s = t->s;
    struct rego_policy *fresh = NULL;
    size_t before = errors->n;
    if (t->policies_changed) {
        (void)compile(t->sources, t->n_sources, &t->data, errors, &fresh);
    } else if (t->data_changed) {
        check_writes(t, errors);
    }
    if (errors->n == before && s->journal != NULL && !t->replaying &&
        failed(journal_append(s->journal, t))) {
        rego_errors_add(errors, "storage_error", STR_EMPTY, (struct loc){0}, "%s", err_detail());
    }
    if (errors->n > before) {
        rego_policy_free(fresh);
        store_abort(t);
        return false;
    }
    if (fresh != NULL) {
        rego_policy_free(s->policy);
        s->policy = fresh;
    }
    struct policy_source **old = s->sources;
    size_t n_old = s->n_sources;
    s->sources = t->sources;
    s->n_sources = t->n_sources;
    s->data = t->data;
    s->revision += t->policies_changed || t->data_changed;
    t->sources = old;
    t->n_sources = n_old;
    store_abort(t);
    compact(s);
    return true;
}

/* ---- files ---- */

static uint64_t fingerprint(const struct authz_store *s)
{
    struct arena a;
    arena_init(&a, 64 << 20);
    uint64_t h = image_fingerprint(&a, s->policy_paths, s->n_policy_paths, 14695981039346656037u);
    h = image_fingerprint(&a, s->data_paths, s->n_data_paths, h);
    arena_release(&a);
    return h;
}

bool store_stale(struct authz_store *s)
{
    return fingerprint(s) != s->fingerprint;
}

static struct image *read_paths(const struct authz_store *s, struct rego_errors *errors)
{
    struct image *im = image_new();
    for (size_t i = 0; i < s->n_policy_paths + s->n_data_paths; i++) {
        struct str path =
            i < s->n_policy_paths ? s->policy_paths[i] : s->data_paths[i - s->n_policy_paths];
        struct err e = image_add_path(im, path, s->version, s->bundles);
        if (failed(e)) {
            rego_errors_add(errors, "load_error", STR_EMPTY, (struct loc){0}, "%s", err_detail());
        }
    }
    return im;
}

static bool in_image(const struct image *im, struct str id)
{
    for (size_t i = 0; i < im->n_files; i++) {
        if (str_eq(im->files[i].id, id)) {
            return true;
        }
    }
    return false;
}

static void take_files(struct store_txn *t, const struct image *im)
{
    for (size_t i = t->n_sources; i > 0; i--) {
        if (t->sources[i - 1]->from_disk && !in_image(im, t->sources[i - 1]->id)) {
            struct str id = arena_str(&t->a, t->sources[i - 1]->id);
            (void)store_txn_drop(t, id);
        }
    }
    store_txn_from_disk(t, true);
    for (size_t i = 0; i < im->n_files; i++) {
        bool there;
        size_t at = position(t->sources, t->n_sources, im->files[i].id, &there);
        if (!there || t->sources[at]->from_disk) {
            store_txn_put(t, im->files[i].id, im->files[i].text, im->files[i].version);
        }
    }
    store_txn_from_disk(t, false);
}

bool store_load(struct authz_store *s, struct rego_errors *errors)
{
    s->fingerprint = fingerprint(s);
    struct image *im = read_paths(s, errors);
    if (errors->n > 0) {
        image_free(im);
        return false;
    }
    /* What was read is taken over as it is; the data before it dies with its memory. */
    struct arena *before = s->data_memory;
    size_t live_before = s->data_live;
    s->data_memory = data_memory_new();
    arena_join(s->data_memory, &im->data_memory);
    s->data_live = s->data_memory->used;
    struct store_txn *t = store_begin(s);
    t->replaying = true;
    t->policies_changed =
        true; /* data may have changed in any place: all conflicts are looked for */
    take_files(t, im);
    t->data = im->data;
    image_free(im);
    journal_overlay(s->journal, t);
    if (s->overlay != NULL) {
        t->data = s->overlay(s->overlay_ctx, s->data_memory, t->data);
    }
    bool done = store_commit(t, errors);
    data_memory_free(done ? before : s->data_memory);
    if (!done) {
        s->data_memory = before;
        s->data_live = live_before;
    }
    return done;
}

/* ---- bundles ---- */

static int by_id(const void *x, const void *y)
{
    return str_cmp((*(struct policy_source *const *)x)->id,
                   (*(struct policy_source *const *)y)->id);
}

static void swap_sources(struct authz_store *s, const struct store_module *modules, size_t n,
                         const bool *keep)
{
    struct policy_source **v = malloc((s->n_sources + n + 1) * sizeof *v);
    size_t count = 0;
    BUG_ON(v == NULL);
    for (size_t i = 0; i < s->n_sources; i++) {
        if (keep[i]) {
            v[count++] = s->sources[i];
        } else {
            source_unref(s->sources[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct policy_source *p =
            source_new(modules[i].id, modules[i].text, modules[i].version, false);
        p->from_bundle = true;
        v[count++] = p;
    }
    if (count > 1) {
        qsort(v, count, sizeof *v, by_id);
    }
    free(s->sources);
    s->sources = v;
    s->n_sources = count;
}

void store_swap(struct authz_store *s, struct rego_policy *policy,
                const struct store_module *modules, size_t n, const bool *keep, struct val data)
{
    if (policy != NULL) {
        swap_sources(s, modules, n, keep);
        rego_policy_free(s->policy);
        s->policy = policy;
    }
    s->data = data;
    s->revision++;
    compact(s);
}

/* ---- owners ---- */

static bool below_root(const struct str *path, size_t n, struct str root)
{
    for (size_t i = 0; i < n && root.p != NULL; i++) {
        if (!str_eq(path[i], str_split(&root, '/'))) {
            return false;
        }
    }
    return true;
}

enum store_status store_check_owner(const struct authz_store *s, const struct str *path, size_t n,
                                    struct arena *a, struct str *why)
{
    if (n == 0 && s->n_owners > 0) {
        *why = S("can't write to document root with bundle roots configured");
        return STORE_OWNED;
    }
    for (size_t i = 0; i < s->n_owners; i++) {
        const struct store_owner *o = &s->owners[i];
        bool all = o->all;
        for (size_t k = 0; k < o->n_roots && !all; k++) {
            all = o->roots[k].n == 0;
            if (!all && below_root(path, n, o->roots[k])) {
                struct str text = path[0];
                for (size_t p = 1; p < n; p++) {
                    text = arena_printf(a, "%.*s/%.*s", STR_FMT(text), STR_FMT(path[p]));
                }
                *why = arena_printf(a, "path %.*s is owned by bundle \"%.*s\"", STR_FMT(text),
                                    STR_FMT(o->name));
                return STORE_OWNED;
            }
        }
        if (all) {
            *why = arena_printf(a, "all paths owned by bundle \"%.*s\"", STR_FMT(o->name));
            return STORE_OWNED;
        }
    }
    return STORE_OK;
}
