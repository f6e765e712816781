/*
 * discovery: the rest of the configuration comes from a bundle. It is evaluated on its own, apart from the
 * policies in force; what the boot configuration says wins, so that it can change neither the discovery section
 * nor the service that it comes from.
 */
#include "manage_priv.h"

#include "lib/base/clock.h"

#include <stdlib.h>

enum { DISCOVERY_MEMORY_MAX = 256 << 20, DISCOVERY_TIME_NS = 2000000000 };

static size_t path_of(struct arena *a, struct str text, struct val *out, size_t cap)
{
    size_t n = 0;
    while (text.p != NULL && text.n > 0 && n < cap) {
        out[n++] = val_str(a, str_split(&text, '/'));
    }
    return n;
}

static struct err compile_alone(struct arena *a, const struct bundle *b, struct rego_policy **out)
{
    struct rego_source *src = arena_array(a, struct rego_source, b->n_modules + 1);
    struct rego_errors errors = {.a = a};
    for (size_t i = 0; i < b->n_modules; i++) {
        src[i] =
            (struct rego_source){b->modules[i].path, b->modules[i].text, b->modules[i].version};
    }
    struct rego_compile_options o = {.data = &b->data};
    if (rego_compile(src, b->n_modules, &o, &errors, out)) {
        return OK;
    }
    struct buf text;
    buf_init(&text, ERR_DETAIL_MAX - 1);
    rego_errors_write(&text, &errors);
    struct err e = err_make(ERR_INVALID, "%.*s", STR_FMT(buf_str(&text)));
    buf_release(&text);
    return e;
}

static struct val without_own(struct arena *a, struct val v)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(a, v, i);
        if (!val_is(k, V_STRING) || !str_is(val_text(k), "system")) {
            vlist_add2(&l, k, val_nth(v, i));
        }
    }
    return vlist_object(&l);
}

static struct err evaluate(struct arena *a, const struct manage *m, const struct bundle *b,
                           struct val *out)
{
    struct rego_policy *policy;
    struct val path[64];
    struct str decision = m->boot->discovery.decision;
    size_t n = path_of(a, decision, path, ARRAY_LEN(path));
    TRY(compile_alone(a, b, &policy));
    struct rego_eval_options o = {.data = b->data,
                                  .deadline_ns = clock_mono_ns() + DISCOVERY_TIME_NS};
    struct rego_result r;
    struct val v = rego_eval_path(policy, path, n, &o, a, &r);
    struct err e = OK;
    if (r.failed) {
        e = err_make(ERR_INVALID, "discovery: %.*s", STR_FMT(r.error.message));
    } else if (val_undef(v)) {
        e = err_make(ERR_NOT_FOUND, "undefined configuration");
    } else if (!val_is(v, V_OBJECT)) {
        e = err_make(ERR_INVALID, "discovery: the configuration is no object");
    } else {
        *out = without_own(a, val_copy(a, v));
    }
    rego_policy_free(policy);
    return e;
}

static struct err take_over(struct manage *m, const struct bundle *b)
{
    struct arena a;
    struct val found;
    arena_init(&a, DISCOVERY_MEMORY_MAX);
    struct err e = evaluate(&a, m, b, &found);
    struct settings *s = NULL;
    if (!failed(e)) {
        s = calloc(1, sizeof *s);
        BUG_ON(s == NULL);
        settings_init(s);
        e = settings_from_value(s, settings_overlay(&a, m->boot->whole, found));
    }
    arena_release(&a);
    if (failed(e)) {
        if (s != NULL) {
            settings_release(s);
            free(s);
        }
        return e;
    }
    return manage_rediscover(m, s);
}

void discovery_found(struct source *s, const struct bundle *b)
{
    int64_t begin = clock_mono_ns();
    struct activated r = {0};
    char why[ERR_DETAIL_MAX];
    struct err e =
        b->delta ? err_make(ERR_INVALID, "discovery bundles are no deltas") : take_over(s->m, b);
    if (failed(e)) {
        snprintf(why, sizeof why, "%s", err_detail());
        r.error = why;
    }
    r.compile_ns = clock_mono_ns() - begin;
    if (s->last.bundle != NULL) {
        source_rest(s, &r);
        return;
    }
    if (!failed(e)) { /* from disk: the loader has not begun yet */
        s->status.activated_ns = clock_wall_ns();
        manage_ready(s->m);
    }
}
