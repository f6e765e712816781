/* event: one decision as an event of the log: masked, dropped, written to the console, kept for the service. */
#include "manage_priv.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

static const char *const order[] = {"labels",
                                    "decision_id",
                                    "batch_decision_id",
                                    "trace_id",
                                    "span_id",
                                    "revision",
                                    "bundles",
                                    "path",
                                    "query",
                                    "input",
                                    "result",
                                    "intermediate_results",
                                    "mapped_result",
                                    "nd_builtin_cache",
                                    "erased",
                                    "masked",
                                    "error",
                                    "requested_by",
                                    "timestamp",
                                    "metrics",
                                    "req_id",
                                    "rule_labels",
                                    "request_context",
                                    "custom"};

static struct val bundles_of(struct arena *a, const struct manage *m)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < activator_count(m->activator); i++) {
        const struct bundle *b = activator_at(m->activator, i);
        struct vlist one = {.a = a};
        if (b->manifest.revision.n > 0) {
            vlist_put(&one, "revision", val_str(a, b->manifest.revision));
        }
        vlist_add2(&l, val_str(a, b->name), vlist_object(&one));
    }
    return vlist_object(&l);
}

static struct val headers_of(struct arena *a, const struct logs_settings *s,
                             const struct http_req *req)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < s->n_headers; i++) {
        struct vlist values = {.a = a};
        for (size_t k = 0; k < req->n_headers; k++) {
            if (str_eq_nocase(req->headers[k].name, s->headers[i])) {
                vlist_add(&values, val_str(a, req->headers[k].value));
            }
        }
        if (values.n > 0) {
            vlist_add2(&l, val_str(a, s->headers[i]), vlist_array(&values));
        }
    }
    return l.n == 0 ? VAL_UNDEF : vlist_object(&l);
}

static struct val metrics_of(struct arena *a, const struct decision *d)
{
    struct vlist l = {.a = a};
    static const char *const names[] = {"timer_rego_input_parse_ns", "timer_rego_query_compile_ns",
                                        "timer_rego_query_eval_ns", "timer_server_handler_ns"};
    const int64_t values[] = {d->parse_ns, d->prepare_ns, d->eval_ns, d->handler_ns};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (values[i] > 0) {
            vlist_put(&l, names[i], val_int(a, values[i]));
        }
    }
    if (d->path.n > 0) { /* targets are prepared once and kept: see target_find */
        vlist_put(&l, "counter_server_query_cache_hit", val_int(a, d->prepare_ns == 0));
        vlist_put(&l, "timer_rego_external_resolve_ns", val_int(a, 0));
    }
    return vlist_object(&l);
}

static struct val error_of(struct arena *a, const struct decision *d)
{
    struct vlist l = {.a = a}, loc = {.a = a};
    const struct rego_error *e = &d->eval.error;
    if (!d->eval.failed) {
        if (d->error_code != NULL) {
            vlist_put(&l, "code", val_str(a, str_of(d->error_code)));
        }
        vlist_put(&l, "message", val_str(a, str_of(d->error)));
        return vlist_object(&l);
    }
    vlist_put(&l, "code", val_str(a, str_of(e->code)));
    vlist_put(&l, "message", val_str(a, e->message));
    if (e->loc.row > 0) {
        vlist_put(&loc, "file", val_str(a, e->file));
        vlist_put(&loc, "row", val_int(a, e->loc.row));
        vlist_put(&loc, "col", val_int(a, e->loc.col));
        vlist_put(&l, "location", vlist_object(&loc));
    }
    return vlist_object(&l);
}

/* What the request said beside its input. */
static struct val metadata_of(struct arena *a, struct val request)
{
    struct vlist l = {.a = a}, custom = {.a = a};
    for (uint32_t i = 0; i < val_len(request); i++) {
        struct val k = val_nth_key(a, request, i);
        if (!str_is(val_text(k), "input")) {
            vlist_add2(&l, k, val_nth(request, i));
        }
    }
    vlist_put(&custom, "request_metadata", vlist_object(&l));
    return vlist_object(&custom);
}

/* The query as it was understood: one form, whatever blanks it was asked with. */
static struct str query_of(struct arena *a, const struct decision *d)
{
    struct parse_options o = {.version = REGO_V1};
    struct rego_errors errors = {.a = a};
    struct body *body;
    struct buf b;
    if (d->query.n == 0 || !rego_parse_query(a, d->query, &o, &errors, &body)) {
        return d->query;
    }
    buf_init(&b, 1 << 20);
    body_write(&b, body);
    struct str s = buf_ok(&b) ? arena_str(a, buf_str(&b)) : d->query;
    buf_release(&b);
    return s;
}

static void put_text(struct vlist *l, const char *name, struct str s)
{
    if (s.n > 0) {
        vlist_put(l, name, val_str(l->a, s));
    }
}

static void put_known(struct vlist *l, const char *name, struct val v)
{
    if (!val_undef(v)) {
        vlist_put(l, name, v);
    }
}

static struct val event_of(struct arena *a, struct manage *m, const struct decision *d,
                           const struct http_req *req)
{
    struct vlist l = {.a = a}, http = {.a = a}, context = {.a = a};
    vlist_put(&l, "labels", m->labels);
    put_text(&l, "decision_id", str_of(d->id));
    put_text(&l, "batch_decision_id", str_of(d->batch_id));
    if (activator_count(m->activator) > 0) {
        vlist_put(&l, "bundles", bundles_of(a, m));
    }
    put_text(&l, "path", d->path);
    put_text(&l, "query", query_of(a, d));
    put_known(&l, "input", d->input);
    put_known(&l, "result", d->result);
    if (d->eval.failed || d->error != NULL) {
        vlist_put(&l, "error", error_of(a, d));
    }
    put_text(&l, "requested_by", req->peer != NULL ? req->peer->addr : STR_EMPTY);
    put_text(&l, "timestamp", time_text(a, d->wall_ns > 0 ? d->wall_ns : clock_wall_ns()));
    vlist_put(&l, "metrics", metrics_of(a, d));
    vlist_put(&l, "req_id", val_int(a, (int64_t)++m->requests));
    struct val headers = headers_of(a, &m->now->logs, req);
    if (!val_undef(headers)) {
        vlist_put(&http, "headers", headers);
        vlist_put(&context, "http", vlist_object(&http));
        vlist_put(&l, "request_context", vlist_object(&context));
    }
    if (!val_undef(d->request) && val_is(d->request, V_OBJECT)) {
        vlist_put(&l, "custom", metadata_of(a, d->request));
    }
    return vlist_object(&l);
}

/* ---- policies about events ---- */

static size_t path_of(struct arena *a, struct str text, struct val *out, struct str *parts,
                      size_t cap)
{
    size_t n = 0;
    while (text.p != NULL && text.n > 0 && n < cap) {
        parts[n] = str_split(&text, '/');
        out[n] = val_str(a, parts[n]);
        n++;
    }
    return n;
}

static bool is_there(struct manage *m, struct arena *a, struct str decision)
{
    struct val path[64];
    struct str parts[64];
    size_t n = path_of(a, decision, path, parts, ARRAY_LEN(path));
    return rego_path_has_rules(m->z->store.policy, path, n) ||
           !val_undef(store_read(m->z->store.data, parts, n));
}

/* Most servers mask nothing: whether there is a policy for it is looked up once a change. */
static void look_for_rules(struct manage *m, struct arena *a)
{
    uint64_t now = m->z->store.revision + 1;
    if (m->rules_revision != now) {
        m->rules_revision = now;
        m->has_mask = is_there(m, a, m->now->logs.mask);
        m->has_drop = is_there(m, a, m->now->logs.drop);
    }
}

static struct err ask(struct manage *m, struct arena *a, struct str decision, struct val event,
                      struct val *out)
{
    struct val path[64];
    struct str parts[64];
    struct rego_result r;
    size_t n = path_of(a, decision, path, parts, ARRAY_LEN(path));
    struct rego_eval_options o = {
        .input = event, .data = m->z->store.data, .max_steps = (uint64_t)m->z->config->max_steps};
    *out = rego_eval_path(m->z->store.policy, path, n, &o, a, &r);
    ENSURE(!r.failed, ERR_INVALID, "%.*s", STR_FMT(r.error.message));
    return OK;
}

/* *keep is false when the event is not to be logged; an error counts as that, since a mask might be missing. */
static struct val judged(struct manage *m, struct arena *a, struct val event, bool *keep)
{
    struct val v;
    *keep = true;
    look_for_rules(m, a);
    if (m->has_drop) {
        if (failed(ask(m, a, m->now->logs.drop, event, &v))) {
            log_error("a decision was not logged: its drop decision failed",
                      {"reason", LOG_CSTR(err_detail())});
            *keep = false;
            return event;
        }
        *keep = !val_is_true(v);
    }
    if (*keep && m->has_mask) {
        struct err e = ask(m, a, m->now->logs.mask, event, &v);
        if (!failed(e) && !val_undef(v)) {
            e = mask_event(a, event, v, &event);
        }
        if (failed(e)) {
            log_error("a decision was not logged: masking failed",
                      {"reason", LOG_CSTR(err_detail())});
            *keep = false;
        }
    }
    return event;
}

/* ---- out ---- */

static void write_event(struct buf *out, struct val event)
{
    bool first = true;
    buf_putc(out, '{');
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        struct val v = val_get_str(event, order[i]);
        if (!val_undef(v)) {
            buf_printf(out, "%s\"%s\":", first ? "" : ",", order[i]);
            val_to_json(out, v, true);
            first = false;
        }
    }
    buf_putc(out, '}');
}

static struct console_parts parts_of(struct arena *a, const struct manage *m,
                                     const struct decision *d, const struct http_req *req)
{
    struct console_parts p = {VAL_UNDEF, VAL_UNDEF, VAL_UNDEF, VAL_UNDEF};
    struct vlist http = {.a = a}, context = {.a = a};
    struct val headers = m->now->logs.n_headers > 0 ? headers_of(a, &m->now->logs, req) : VAL_UNDEF;
    if (activator_count(m->activator) > 0) {
        p.bundles = bundles_of(a, m);
    }
    if (!val_undef(d->request) && val_is(d->request, V_OBJECT)) {
        p.custom = metadata_of(a, d->request);
    }
    if (d->eval.failed || d->error != NULL) {
        p.error = error_of(a, d);
    }
    if (!val_undef(headers)) {
        vlist_put(&http, "headers", headers);
        vlist_put(&context, "http", vlist_object(&http));
        p.context = vlist_object(&context);
    }
    return p;
}

struct err event_log(void *ctx, const struct decision *d, const struct http_req *req)
{
    struct manage *m = ctx;
    struct arena a;
    struct buf text;
    bool keep;
    arena_init(&a, EVENT_MEMORY_MAX);
    look_for_rules(m, &a);
    if (!m->has_mask && !m->has_drop && m->logs_service == NULL) {
        if (m->now->logs.console) {
            const struct console_parts parts = parts_of(&a, m, d, req);
            console_decision(m, d, req, &parts);
        }
        arena_release(&a);
        return OK;
    }
    struct val event = judged(m, &a, event_of(&a, m, d, req), &keep);
    if (keep && m->now->logs.console) {
        console_line(&a, event, "Decision Log", "openpolicyagent.org/decision_logs");
    }
    if (keep && m->logs_service != NULL) {
        buf_init(&text, LOGS_EVENT_MAX);
        write_event(&text, event);
        if (buf_ok(&text)) {
            logs_add(m->logs, buf_str(&text));
        } else {
            log_error("a decision was not logged: its event is too large");
        }
        buf_release(&text);
    }
    arena_release(&a);
    return OK;
}
