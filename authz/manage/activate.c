#include "activate.h"

#include "authz/store_priv.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <stdlib.h>

struct offer {
    struct offer *next;
    struct bundle *bundle;
    void (*done)(void *ctx, const struct activated *r);
    void *ctx;
    bool alone; /* tried with others before */
};

/* Compiled on the pool. Owns its texts by references that are taken and dropped on the loop. */
struct build {
    struct activator *a; /* NULL: nobody waits */
    struct arena arena;
    struct bundle **after; /* all that will be in force, counted */
    size_t n_after;
    struct offer *offers; /* what this is about */
    struct rego_source *sources;
    size_t n_sources;
    struct store_module *modules;
    size_t n_modules;
    bool *keep;
    uint64_t revision;
    struct rego_errors errors;
    struct rego_policy *policy;
    bool data_only;
    int64_t compile_ns;
};

struct activator {
    struct loop *loop;
    struct authz_store *store;
    struct bundle **active; /* counted */
    size_t n_active;
    struct store_owner *owners;
    struct offer *waiting, **tail;
    struct build *build;
    bool removal; /* bundles are to go: `active` is what stays, the store does not know yet */
    struct str *gone_roots;
    size_t n_gone;
    struct arena gone;
    unsigned tries;
    int64_t longest_ns;
};

static void start(void *ctx);

/* ---- small things ---- */

const struct bundle *activator_find(const struct activator *a, struct str name)
{
    for (size_t i = 0; i < a->n_active; i++) {
        if (str_eq(a->active[i]->name, name)) {
            return a->active[i];
        }
    }
    return NULL;
}

size_t activator_count(const struct activator *a)
{
    return a->n_active;
}

const struct bundle *activator_at(const struct activator *a, size_t i)
{
    return a->active[i];
}

int64_t activator_longest_ns(const struct activator *a)
{
    return a->longest_ns;
}

static void tell(struct offer *o, const char *error, const struct rego_errors *errors, int64_t ns)
{
    struct activated r = {error, errors, ns};
    if (o->done != NULL) {
        o->done(o->ctx, &r);
    }
    bundle_unref(o->bundle);
    free(o);
}

static void build_free(struct build *b)
{
    for (size_t i = 0; i < b->n_after; i++) {
        bundle_unref(b->after[i]);
    }
    rego_policy_free(b->policy);
    arena_release(&b->arena);
    free(b);
}

/* ---- what will be in force ---- */

static size_t place_of(struct build *b, struct str name)
{
    size_t i = 0;
    while (i < b->n_after && !str_eq(b->after[i]->name, name)) {
        i++;
    }
    return i;
}

/* A delta needs the snapshot that it changes; without one it stands on nothing. */
static struct err resolve(struct build *b, struct offer *o, struct bundle **out)
{
    size_t at = place_of(b, o->bundle->name);
    if (!o->bundle->delta) {
        *out = bundle_ref(o->bundle);
        return OK;
    }
    if (at < b->n_after) {
        return bundle_apply(b->after[at], o->bundle, out);
    }
    struct bundle *empty = bundle_new(o->bundle->name);
    empty->manifest = o->bundle->manifest;
    struct err e = bundle_apply(empty, o->bundle, out);
    bundle_unref(empty);
    return e;
}

static struct err add_offer(struct build *b, struct offer *o)
{
    struct bundle *fresh = NULL, *old = NULL;
    size_t at = place_of(b, o->bundle->name);
    TRY(resolve(b, o, &fresh));
    bool appended = at == b->n_after;
    old = appended ? NULL : b->after[at];
    b->after[at] = fresh;
    b->n_after += appended;
    struct err e = bundle_roots_check((const struct bundle *const *)b->after, b->n_after);
    if (failed(e)) {
        b->n_after -= appended;
        b->after[at] = old;
        bundle_unref(fresh);
        return e;
    }
    bundle_unref(old);
    b->data_only &= o->bundle->delta && !appended;
    return OK;
}

/* ---- sources ---- */

static struct str module_id(struct arena *a, struct str bundle, struct str path)
{
    bundle = str_starts(bundle, S("file://")) ? str_sub(bundle, 7, bundle.n) : bundle;
    while (path.n > 0 && path.p[0] == '/') {
        path = str_sub(path, 1, path.n);
    }
    while (bundle.n > 1 && bundle.p[bundle.n - 1] == '/') {
        bundle.n--;
    }
    return arena_printf(a, "%.*s/%.*s", STR_FMT(bundle), STR_FMT(path));
}

static const struct module *module_named(const struct rego_policy *p, struct str file)
{
    for (size_t i = 0; i < rego_policy_modules(p); i++) {
        if (str_eq(rego_policy_module(p, i)->file, file)) {
            return rego_policy_module(p, i);
        }
    }
    return NULL;
}

/* Does a bundle own the package? Then other sources of it give way. */
static bool owned_by_bundle(const struct build *b, const struct module *m)
{
    struct str path[256];
    size_t n = 0;
    for (size_t i = 1; m != NULL && i < m->package->list.n && n < ARRAY_LEN(path); i++) {
        const struct term *t = m->package->list.v[i];
        if (t->type != T_STRING) {
            return false;
        }
        path[n++] = t->str;
    }
    for (size_t i = 0; m != NULL && i < b->n_after; i++) {
        const struct bundle_manifest *f = &b->after[i]->manifest;
        if (bundle_roots_contain_path(f->roots, f->n_roots, path, n)) {
            return true;
        }
    }
    return false;
}

static void gather(struct build *b, const struct authz_store *s)
{
    size_t total = s->n_sources, n = 0;
    for (size_t i = 0; i < b->n_after; i++) {
        total += b->after[i]->n_modules;
    }
    b->sources = arena_array(&b->arena, struct rego_source, total + 1);
    b->modules = arena_array(&b->arena, struct store_module, total + 1);
    b->keep = arena_array(&b->arena, bool, s->n_sources + 1);
    for (size_t i = 0; i < s->n_sources; i++) {
        const struct policy_source *p = s->sources[i];
        b->keep[i] = !p->from_bundle && !owned_by_bundle(b, module_named(s->policy, p->id));
        if (b->keep[i]) { /* texts are copied: the source may go while we compile */
            b->sources[n++] = (struct rego_source){arena_str(&b->arena, p->id),
                                                   arena_str(&b->arena, p->text), p->version};
        }
    }
    for (size_t i = 0; i < b->n_after; i++) {
        for (size_t k = 0; k < b->after[i]->n_modules; k++) {
            const struct bundle_module *m = &b->after[i]->modules[k];
            struct str id = module_id(&b->arena, b->after[i]->name, m->path);
            b->modules[b->n_modules++] = (struct store_module){id, m->text, m->version};
            b->sources[n++] = (struct rego_source){id, m->text, m->version};
        }
    }
    b->n_sources = n;
}

/* ---- data ---- */

static struct val at_root(struct arena *a, struct val data, struct str root)
{
    while (root.p != NULL && root.n > 0 && !val_undef(data)) {
        struct str part = str_split(&root, '/');
        data = val_is(data, V_OBJECT) ? val_get(data, val_str(a, part)) : VAL_UNDEF;
    }
    return data;
}

static size_t root_path(struct str root, struct str *path, size_t cap)
{
    size_t n = 0;
    while (root.p != NULL && root.n > 0 && n < cap) {
        path[n++] = str_split(&root, '/');
    }
    return n;
}

static struct val put_root(struct arena *a, struct val data, struct str root, struct val v)
{
    struct str path[256];
    size_t n = root_path(root, path, ARRAY_LEN(path));
    if (n == 0) { /* everything, but for what the server keeps in data.system */
        struct val kept = val_is(data, V_OBJECT) ? val_get_str(data, "system") : VAL_UNDEF;
        struct val whole = val_undef(v) ? val_empty_object() : v;
        bool own = !val_undef(val_get_str(whole, "system"));
        return val_undef(kept) || own ? whole : val_with(a, whole, val_str(a, S("system")), kept);
    }
    return val_undef(v) ? data_without(a, data, path, n) : data_set(a, data, path, n, v);
}

static struct val manifest_entry(struct arena *a, const struct bundle *b)
{
    struct vlist l = {.a = a};
    vlist_put(&l, "manifest", bundle_manifest_value(a, &b->manifest));
    if (b->etag.n > 0) {
        vlist_put(&l, "etag", val_str(a, b->etag));
    }
    return vlist_object(&l);
}

/* data.system.bundles names what is in force. */
static struct val put_manifests(struct arena *a, struct val data, struct bundle *const *v, size_t n)
{
    struct str path[] = {STR_INIT("system"), STR_INIT("bundles")};
    struct vlist l = {.a = a};
    for (size_t i = 0; i < n; i++) {
        vlist_add2(&l, val_str(a, v[i]->name), manifest_entry(a, v[i]));
    }
    return n == 0 ? data_without(a, data, path, 2) : data_set(a, data, path, 2, vlist_object(&l));
}

static struct val put_data(struct arena *a, struct val data, struct bundle *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < v[i]->manifest.n_roots; k++) {
            struct str root = v[i]->manifest.roots[k];
            data = put_root(a, data, root, at_root(a, v[i]->data, root));
        }
    }
    return data;
}

/* Roots that no bundle has any longer are emptied first. */
static struct val drop_roots(struct arena *a, struct val data, const struct str *roots, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        data = put_root(a, data, roots[i], VAL_UNDEF);
    }
    return data;
}

static struct val drop_old(struct activator *x, struct arena *a, struct val data)
{
    for (size_t i = 0; i < x->n_active; i++) {
        data = drop_roots(a, data, x->active[i]->manifest.roots, x->active[i]->manifest.n_roots);
    }
    return drop_roots(a, data, x->gone_roots, x->n_gone);
}

/* After a reload of files, which knows nothing of bundles. */
static struct val overlay(void *ctx, struct arena *a, struct val data)
{
    struct activator *x = ctx;
    data = put_data(a, data, x->active, x->n_active);
    return put_manifests(a, data, x->active, x->n_active);
}

static struct val strip(void *ctx, struct arena *a, struct val data)
{
    struct activator *x = ctx;
    struct str path[] = {STR_INIT("system"), STR_INIT("bundles")};
    return data_without(a, drop_old(x, a, data), path, 2);
}

/* ---- the change ---- */

static void set_owners(struct activator *x)
{
    free(x->owners);
    x->owners = calloc(x->n_active + 1, sizeof *x->owners);
    BUG_ON(x->owners == NULL);
    for (size_t i = 0; i < x->n_active; i++) {
        const struct bundle *b = x->active[i];
        x->owners[i] = (struct store_owner){.name = b->name,
                                            .revision = b->manifest.revision,
                                            .roots = b->manifest.roots,
                                            .n_roots = b->manifest.n_roots};
    }
    x->store->owners = x->owners;
    x->store->n_owners = x->n_active;
}

/* New data may not stand where rules do. */
static bool conflicts(struct activator *x, struct build *b, struct val data)
{
    const struct rego_policy *p = b->policy != NULL ? b->policy : x->store->policy;
    for (size_t i = 0; i < b->n_after && b->errors.n == 0; i++) {
        const struct bundle_manifest *m = &b->after[i]->manifest;
        for (size_t k = 0; k < m->n_roots && b->errors.n == 0; k++) {
            struct str path[256];
            size_t n = root_path(m->roots[k], path, ARRAY_LEN(path));
            rego_data_conflicts(p, path, n, store_read(data, path, n), &b->errors);
        }
    }
    return b->errors.n > 0;
}

static struct err bury_work(void *ctx)
{
    bundle_bury(ctx);
    return OK;
}

static void buried(void *ctx, struct err e)
{
    (void)ctx;
    ignore_err(e);
}

/* Giving a gigabyte back to the system takes its time: not on the loop. */
static void let_go(struct activator *x, struct bundle *b)
{
    struct bundle *dead = bundle_drop(b);
    if (dead != NULL && failed(loop_work(x->loop, bury_work, buried, dead))) {
        bundle_bury(dead);
    }
}

static void put_in_force(struct activator *x, struct build *b, struct val data)
{
    struct bundle **old = x->active;
    size_t n_old = x->n_active;
    x->active = calloc(b->n_after + 1, sizeof(struct bundle *));
    BUG_ON(x->active == NULL);
    x->n_active = b->n_after;
    for (size_t i = 0; i < b->n_after; i++) {
        x->active[i] = bundle_ref(b->after[i]);
    }
    set_owners(x);
    store_swap(x->store, b->policy, b->modules, b->n_modules, b->keep, data);
    b->policy = NULL;
    for (size_t i = 0; i < n_old; i++) {
        let_go(x, old[i]);
    }
    free(old);
    arena_release(&x->gone);
    arena_init(&x->gone, 64 << 20);
    x->gone_roots = NULL;
    x->n_gone = 0;
    x->removal = false;
}

static void give_back(struct activator *x, struct build *b)
{
    struct offer *o = b->offers;
    while (o != NULL && o->next != NULL) {
        o = o->next;
    }
    if (o != NULL) {
        o->next = x->waiting;
        x->waiting = b->offers;
        if (o->next == NULL) {
            x->tail = &o->next;
        }
    }
    b->offers = NULL;
}

static void tell_all(struct build *b, const char *error)
{
    while (b->offers != NULL) {
        struct offer *o = b->offers;
        b->offers = o->next;
        tell(o, error, error != NULL && b->errors.n > 0 ? &b->errors : NULL, b->compile_ns);
    }
}

static void refused(struct activator *x, struct build *b)
{
    if (b->offers != NULL && b->offers->next != NULL) {
        for (struct offer *o = b->offers; o != NULL; o = o->next) {
            o->alone = true;
        }
        give_back(x, b);
        return;
    }
    struct buf text;
    buf_init(&text, 1 << 20);
    rego_errors_write(&text, &b->errors);
    buf_putc(&text, 0);
    tell_all(b, buf_ok(&text) ? text.p : "the modules do not compile");
    buf_release(&text);
}

static void finish(struct activator *x, struct build *b)
{
    int64_t begin = clock_mono_ns();
    if (x->store->revision != b->revision) { /* the sources are others by now */
        x->tries++;
        give_back(x, b);
        return;
    }
    x->tries = 0;
    struct arena *a = x->store->data_memory;
    struct val data = b->errors.n > 0 ? VAL_UNDEF : drop_old(x, a, x->store->data);
    if (b->errors.n == 0) {
        data = put_manifests(a, put_data(a, data, b->after, b->n_after), b->after, b->n_after);
    }
    if (b->errors.n > 0 || conflicts(x, b, data)) {
        refused(x, b);
        return;
    }
    put_in_force(x, b, data);
    x->longest_ns = MAX(x->longest_ns, clock_mono_ns() - begin);
    tell_all(b, NULL);
}

static struct err compile_work(void *ctx)
{
    struct build *b = ctx;
    int64_t begin = clock_mono_ns();
    struct rego_compile_options o = {.enable_print = true};
    (void)rego_compile(b->sources, b->n_sources, &o, &b->errors, &b->policy);
    b->compile_ns = clock_mono_ns() - begin;
    return OK;
}

static void compile_done(void *ctx, struct err e)
{
    struct build *b = ctx;
    struct activator *x = b->a;
    if (x == NULL) {
        tell_all(b, "the server stops");
        build_free(b);
        return;
    }
    x->build = NULL;
    if (failed(e)) {
        rego_errors_add(&b->errors, "internal_error", STR_EMPTY, (struct loc){0}, "%s",
                        err_detail());
    }
    finish(x, b);
    build_free(b);
    if (x->waiting != NULL || x->removal) {
        start(x);
    }
}

static struct build *build_new(struct activator *x)
{
    struct build *b = calloc(1, sizeof *b);
    BUG_ON(b == NULL);
    arena_init(&b->arena, (size_t)8 << 30);
    b->errors.a = &b->arena;
    b->a = x;
    b->revision = x->store->revision;
    b->data_only = !x->removal;
    b->after = arena_array(&b->arena, struct bundle *, x->n_active + ACTIVATE_BATCH_MAX + 1);
    for (size_t i = 0; i < x->n_active; i++) {
        b->after[b->n_after++] = bundle_ref(x->active[i]);
    }
    return b;
}

/* As many of the waiting ones as go together; one alone if it did not go with others. */
static void take_offers(struct activator *x, struct build *b)
{
    struct offer **tail = &b->offers;
    for (size_t n = 0; x->waiting != NULL && n < ACTIVATE_BATCH_MAX; n++) {
        struct offer *o = x->waiting;
        if (o->alone && n > 0) {
            return;
        }
        x->waiting = o->next;
        o->next = NULL;
        if (x->waiting == NULL) {
            x->tail = &x->waiting;
        }
        struct err e = add_offer(b, o);
        if (failed(e)) {
            char why[ERR_DETAIL_MAX];
            snprintf(why, sizeof why, "%s", err_detail());
            tell(o, why, NULL, 0);
            continue;
        }
        *tail = o;
        tail = &o->next;
        if (o->alone) {
            return;
        }
    }
}

static void start(void *ctx)
{
    struct activator *x = ctx;
    if (x->build != NULL || (x->waiting == NULL && !x->removal)) {
        return;
    }
    struct build *b = build_new(x);
    take_offers(x, b);
    if (b->offers == NULL && !x->removal) {
        build_free(b);
        return;
    }
    if (b->data_only) { /* deltas: the modules stay as they are */
        finish(x, b);
        build_free(b);
        start(x);
        return;
    }
    gather(b, x->store);
    if (x->tries >= ACTIVATE_TRIES) { /* somebody writes all the time: now requests wait for us */
        ignore_err(compile_work(b));
        finish(x, b);
        build_free(b);
        loop_defer(x->loop, start, x);
        return;
    }
    x->build = b;
    if (failed(loop_work(x->loop, compile_work, compile_done, b))) {
        x->build = NULL;
        tell_all(b, "no thread for compiling");
        build_free(b);
    }
}

/* ---- public ---- */

struct activator *activator_new(struct loop *l, struct authz_store *s)
{
    struct activator *x = calloc(1, sizeof *x);
    BUG_ON(x == NULL);
    x->loop = l;
    x->store = s;
    x->tail = &x->waiting;
    arena_init(&x->gone, 64 << 20);
    s->overlay = overlay;
    s->strip = strip;
    s->overlay_ctx = x;
    return x;
}

void activator_offer(struct activator *x, struct bundle *b,
                     void (*done)(void *, const struct activated *), void *ctx)
{
    struct offer *o = calloc(1, sizeof *o);
    BUG_ON(o == NULL);
    o->bundle = bundle_ref(b);
    o->done = done;
    o->ctx = ctx;
    *x->tail = o;
    x->tail = &o->next;
    if (x->build == NULL) {
        loop_defer(x->loop, start, x); /* others that come in this turn go with it */
    }
}

void activator_retain(struct activator *x, const struct str *names, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < x->n_active; i++) {
        bool stays = false;
        for (size_t k = 0; k < n; k++) {
            stays |= str_eq(names[k], x->active[i]->name);
        }
        if (stays) {
            x->active[kept++] = x->active[i];
            continue;
        }
        const struct bundle_manifest *m = &x->active[i]->manifest;
        size_t cap = x->n_gone;
        x->gone_roots = arena_grow(&x->gone, x->gone_roots, x->n_gone, x->n_gone + m->n_roots, &cap,
                                   sizeof *x->gone_roots);
        for (size_t k = 0; k < m->n_roots; k++) {
            x->gone_roots[x->n_gone++] = arena_str(&x->gone, m->roots[k]);
        }
        x->removal = true;
        /* Its data is in force until the change is made: it is freed with the process at worst. */
        struct bundle *b = x->active[i];
        x->store->data = drop_roots(x->store->data_memory, x->store->data, b->manifest.roots,
                                    b->manifest.n_roots);
        let_go(x, b);
    }
    x->n_active = kept;
    x->store->revision += x->removal; /* what is being compiled still has them */
    set_owners(x);
    if (x->removal && x->build == NULL) {
        loop_defer(x->loop, start, x);
    }
}

void activator_forget(struct activator *x, const void *ctx)
{
    struct offer *lists[] = {x->waiting, x->build != NULL ? x->build->offers : NULL};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        for (struct offer *o = lists[i]; o != NULL; o = o->next) {
            o->done = o->ctx == ctx ? NULL : o->done;
        }
    }
}

void activator_free(struct activator *x)
{
    if (x == NULL) {
        return;
    }
    while (x->waiting != NULL) {
        struct offer *o = x->waiting;
        x->waiting = o->next;
        bundle_unref(o->bundle);
        free(o);
    }
    if (x->build != NULL) {
        x->build->a = NULL;
        for (struct offer *o = x->build->offers; o != NULL; o = o->next) {
            o->done = NULL;
        }
    }
    x->store->overlay = NULL;
    x->store->strip = NULL;
    x->store->owners = NULL;
    x->store->n_owners = 0;
    x->store->data = val_empty_object();
    for (size_t i = 0; i < x->n_active; i++) {
        bundle_unref(x->active[i]);
    }
    free(x->active);
    free(x->owners);
    arena_release(&x->gone);
    free(x);
}
