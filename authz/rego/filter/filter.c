/* From a rule to filters: partial evaluation, what the targets can say, and saying it. */
#include "authz/rego/filter/filter_priv.h"

#include "authz/rego/trace.h"

enum { SQL_MAX = 16 << 20 };

static void ignore(void *ctx, const struct rego_event *e)
{
    (void)ctx;
    (void)e;
}

static bool leave(struct filter_run *r, const struct rego_topdown *t, struct str path,
                  struct rego_partial_result *partial)
{
    /* As under a tracer: that the rule is merely tested makes `default … := false` no obstacle. */
    static const struct rego_tracer tracer = {.event = ignore};
    struct rego_query_options qo = {.version = REGO_V1};
    struct rego_partial_options po = r->o->partial;
    struct rego_topdown_query *q;
    if (!rego_topdown_prepare(t, path, &qo, r->errors, &q)) {
        return false;
    }
    po.nondeterministic = true;
    po.keep_equal = true;
    rego_partial(q, &po, &tracer, r->a, partial);
    rego_topdown_query_free(q);
    return true;
}

static bool one_filter(struct filter_run *r, const struct rego_target *t, struct rego_filter *f,
                       struct rego_filter_result *out)
{
    struct val mappings, ucast;
    *f = (struct rego_filter){.target = *t, .ucast = VAL_UNDEF};
    if (r->partial->n_queries == 0) {
        return true;
    }
    if (!filter_mappings(r, t, &mappings, &out->bad_mappings)) {
        return false;
    }
    ucast = filter_ucast(r, mappings);
    bool ok = !val_undef(ucast);
    if (ok && str_is(t->target, "sql")) {
        struct buf sql;
        buf_init(&sql, SQL_MAX);
        ok = filter_sql(&sql, ucast, t->dialect);
        f->kind = FILTER_SQL;
        f->sql = arena_str(r->a, buf_str(&sql));
        buf_release(&sql);
    } else if (ok) {
        f->kind = FILTER_UCAST;
        f->ucast = ucast;
    }
    if (!ok) {
        rego_errors_add(r->errors, "pe_fragment_error", STR_EMPTY, (struct loc){0},
                        "the filter cannot be said in %.*s", STR_FMT(t->target));
    }
    return ok;
}

void rego_filter(const struct rego_topdown *t, struct str path, const struct rego_filter_options *o,
                 struct arena *a, struct rego_filter_result *out)
{
    struct rego_partial_result partial = {0};
    struct filter_run r = {.a = a, .o = o, .partial = &partial};
    *out = (struct rego_filter_result){.errors = {.a = a}};
    r.errors = &out->errors;
    for (size_t i = 0; i < o->n_targets; i++) {
        const struct capability *c = find_capability(&o->targets[i]);
        if (c == NULL || r.n_targets == ARRAY_LEN(r.targets)) {
            rego_errors_add(r.errors, "invalid_parameter", STR_EMPTY, (struct loc){0},
                            "unknown target/dialect combination: %.*s/%.*s",
                            STR_FMT(o->targets[i].target), STR_FMT(o->targets[i].dialect));
            return;
        }
        r.targets[r.n_targets++] = c;
    }
    if (!leave(&r, t, path, &partial)) {
        return;
    }
    out->failed = partial.failed;
    out->error = partial.error;
    if (out->failed) {
        return;
    }
    filter_check(&r);
    out->filters = arena_array(a, struct rego_filter, o->n_targets + 1);
    for (size_t i = 0; i < o->n_targets && out->errors.n == 0 && out->bad_mappings.n == 0; i++) {
        (void)one_filter(&r, &o->targets[i], &out->filters[i], out);
    }
}
