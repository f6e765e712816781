/*
 * http.send. The order of things: the operand is checked; an answer that this query has already is
 * given again; then one that is kept between queries, if that was asked for and it is still good or
 * the server says so; then the network is asked, through the embedder (outside.h).
 */
#include "authz/rego/builtin/http/http.h"
#include "authz/rego/eval/eval_priv.h"

#include "lib/base/clock.h"

struct sending {
    struct bcall *b;
    struct arena *a;
    const struct outside *outside;
    struct val key;
    struct send_options o;
    struct send_error e;
    bool waiting;
};

/* ---- errors ---- */

/* As a builtin error reads with its place: "t.rego:3: eval_builtin_error: http.send: text". */
static struct str located(struct sending *s)
{
    const char *code = s->e.kind == SEND_OPERAND ? "eval_type_error" : "eval_builtin_error";
    struct str file = s->b->ev->file;
    struct loc at = s->b->ev->loc;
    struct str place = file.n > 0 ? arena_printf(s->a, "%.*s:%u", STR_FMT(file), at.row)
                                  : arena_printf(s->a, "%u:%u", at.row, at.col);
    return arena_printf(s->a, "%.*s: %s: http.send: %s%.*s", STR_FMT(place), code,
                        s->e.kind == SEND_OPERAND ? "operand 1 " : "", STR_FMT(s->e.text));
}

static enum b_status raise(struct sending *s)
{
    if (s->e.kind == SEND_OPERAND) {
        return b_operand(s->b, 1, "%.*s", STR_FMT(s->e.text));
    }
    struct str text = s->e.short_text.n > 0 ? s->e.short_text : s->e.text;
    return b_fail(s->b, "%.*s", STR_FMT(text));
}

static enum b_status told(struct sending *s)
{
    struct vlist error = {.a = s->a}, l = {.a = s->a};
    bool network = s->e.kind == SEND_NETWORK;
    vlist_put(&error, "code",
              val_str(s->a, network ? S("eval_http_send_network_error")
                                    : S("eval_http_send_internal_error")));
    vlist_put(&error, "message",
              val_str(s->a, network || s->e.kind == SEND_BARE ? s->e.text : located(s)));
    vlist_put(&l, "status_code", val_int(s->a, 0));
    vlist_put(&l, "error", vlist_object(&error));
    return b_out(s->b, vlist_object(&l));
}

/* ---- what this query knows ---- */

enum { KNOWN_ANSWER, KNOWN_ERROR };

static struct val memory_key(struct sending *s)
{
    struct val parts[2] = {val_str(s->a, S("http.send")), s->key};
    return val_array(s->a, parts, 2);
}

static void remember(struct sending *s, int kind, struct val v)
{
    struct val parts[3] = {val_int(s->a, kind), v, VAL_NULL};
    if (kind == KNOWN_ERROR) {
        parts[1] = val_str(s->a, s->e.text);
        parts[2] = val_str(s->a, s->e.short_text);
    }
    b_cache_put(s->b, memory_key(s), val_array(s->a, parts, 3));
}

/* True: *out is what was answered before, or undefined with the error in s->e. */
static bool recall(struct sending *s, struct val *out)
{
    struct val v = b_cache_get(s->b, memory_key(s));
    if (val_undef(v)) {
        return false;
    }
    if (val_small(val_nth(v, 0)) == KNOWN_ERROR) {
        s->e = (struct send_error){SEND_NETWORK, val_text(val_nth(v, 1)), val_text(val_nth(v, 2))};
        *out = VAL_UNDEF;
        return true;
    }
    *out = val_nth(v, 1);
    return true;
}

/* ---- the network ---- */

/* "Get", "Post": how the errors of Go's client begin. */
static struct str titled(struct arena *a, struct str method)
{
    char *p = arena_cstr(a, method);
    for (size_t i = 1; i < method.n; i++) {
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
    }
    return str_n(p, method.n);
}

static bool network_failed(struct sending *s, const struct outside_request *r,
                           const struct outside_answer *w)
{
    struct str op = titled(s->a, r->method);
    s->e = (struct send_error){.kind = SEND_NETWORK};
    s->e.text =
        arena_printf(s->a, "%.*s \"%.*s\": %.*s", STR_FMT(op), STR_FMT(r->url), STR_FMT(w->error));
    if (w->timed_out) {
        s->e.short_text =
            arena_printf(s->a, "%.*s %.*s: request timed out", STR_FMT(op), STR_FMT(r->url));
    }
    remember(s, KNOWN_ERROR, VAL_NULL);
    return false;
}

/* False: failed, or not there yet (s->waiting). */
static bool ask(struct sending *s, struct outside_request *r, struct outside_answer *w)
{
    *w = (struct outside_answer){.status = 0};
    if (s->outside->send == NULL) {
        return send_refused(s->a, &s->e, "this evaluation may not send requests");
    }
    if (b_budget(s->b, 2000)) {
        return send_refused(s->a, &s->e, "out of budget");
    }
    if (!s->outside->send(s->outside->ctx, r, s->a, w)) {
        s->waiting = true;
        return false;
    }
    if (w->error.n > 0) {
        return network_failed(s, r, w);
    }
    (void)b_budget(s->b, w->body.n / 16);
    return true;
}

/* ---- between queries ---- */

static void keep_between(struct sending *s, const struct outside_answer *w)
{
    int64_t now = b_now_ns(s->b), expires = now + s->o.force_duration * NS_PER_S;
    bool forced = s->o.force_duration > 0;
    if (s->o.bad_mode || !send_status_cacheable(w->status) || (!forced && !send_may_store(w)) ||
        (!forced && !send_expiry(w, &expires))) {
        return;
    }
    send_cache_put(s->outside->cache, s->key, w, expires, now);
}

/* The headers of a 304 replace those of the same name. */
static void merge_headers(struct arena *a, struct outside_answer *old,
                          const struct outside_answer *new)
{
    size_t n = 0;
    struct outside_header *h =
        arena_array(a, struct outside_header, old->n_headers + new->n_headers + 1);
    for (size_t i = 0; i < old->n_headers; i++) {
        bool replaced = false;
        for (size_t k = 0; k < new->n_headers; k++) {
            replaced |= str_eq(old->headers[i].name, new->headers[k].name);
        }
        if (!replaced) {
            h[n++] = old->headers[i];
        }
    }
    for (size_t k = 0; k < new->n_headers; k++) {
        h[n++] = new->headers[k];
    }
    old->headers = h;
    old->n_headers = n;
}

static void add_condition(struct arena *a, struct outside_request *r, struct str etag,
                          struct str modified)
{
    struct outside_header *h = arena_array(a, struct outside_header, r->n_headers + 2);
    if (r->n_headers > 0) {
        memcpy(h, r->headers, r->n_headers * sizeof *h);
    }
    if (etag.n > 0) {
        h[r->n_headers++] = (struct outside_header){S("if-none-match"), etag};
    }
    if (modified.n > 0) {
        h[r->n_headers++] = (struct outside_header){S("if-modified-since"), modified};
    }
    r->headers = h;
}

/* Is the stale answer still good? True: *out is, fresh or as it was. False: ask anew, or *broken. */
static bool revalidate(struct sending *s, struct send_cached *c, struct val *out, bool *broken)
{
    struct outside_request r;
    struct outside_answer w;
    struct str etag = send_header(&c->answer, "etag");
    struct str modified = send_header(&c->answer, "last-modified");
    if (etag.n + modified.n == 0) {
        send_cache_drop(s->outside->cache, s->key);
        return false;
    }
    *broken = !send_read_request(s->a, s->outside, s->key, &r, &s->e);
    if (*broken) {
        return false;
    }
    add_condition(s->a, &r, etag, modified);
    *broken = !ask(s, &r, &w);
    if (s->waiting) {
        return false;
    }
    send_cache_drop(s->outside->cache, s->key);
    if (*broken || (w.status != 200 && w.status != 304)) {
        return false;
    }
    if (w.status == 304) {
        merge_headers(s->a, &c->answer, &w);
        w = c->answer;
    }
    keep_between(s, &w);
    *out = send_answer_value(s->a, &s->o, &w);
    return true;
}

/* True: *out is the answer. False: there is none, or *broken. */
static bool from_between(struct sending *s, struct val *out, bool *broken)
{
    struct send_cached c;
    if (!s->o.between || s->outside->cache == NULL ||
        !send_cache_get(s->outside->cache, s->a, s->key, &c)) {
        return false;
    }
    if (b_now_ns(s->b) < c.expires_ns) {
        *out = send_answer_value(s->a, &s->o, &c.answer);
        return true;
    }
    return revalidate(s, &c, out, broken);
}

/* ---- all of it ---- */

/* False: an error in s->e, or not there yet. */
static bool answer(struct sending *s, struct val *out)
{
    struct outside_request r;
    struct outside_answer w;
    struct val operand = s->b->args[0];
    bool broken = false;
    if (!send_check_keys(s->a, operand, &s->e) || !send_key(s->a, operand, &s->key, &s->e) ||
        !send_read_options(s->a, operand, &s->o, &s->e)) {
        return false;
    }
    if (recall(s, out)) {
        return !val_undef(*out);
    }
    if (from_between(s, out, &broken)) {
        remember(s, KNOWN_ANSWER, *out);
        return true;
    }
    if (broken || s->waiting || !send_read_request(s->a, s->outside, operand, &r, &s->e) ||
        !ask(s, &r, &w)) {
        return false;
    }
    *out = send_answer_value(s->a, &s->o, &w);
    bool between = s->o.between && s->outside->cache != NULL;
    if (between || send_status_cacheable(w.status)) {
        remember(s, KNOWN_ANSWER, *out);
    }
    if (between) {
        keep_between(s, &w);
    }
    return true;
}

static enum b_status b_send(struct bcall *b)
{
    static const struct outside nowhere = {.send = NULL};
    struct sending s = {.b = b, .a = b->a, .o = {.raise_error = true}};
    struct val v;
    if (!b_is(b, 1, V_OBJECT)) {
        return B_ERROR;
    }
    struct val flag = val_get_str(b->args[0], "raise_error");
    if (!val_undef(flag) && !val_is(flag, V_BOOL)) {
        return b_fail(b, "invalid value for raise_error field");
    }
    s.o.raise_error = val_undef(flag) || val_is_true(flag);
    s.outside = b->ev->o->outside != NULL ? b->ev->o->outside : &nowhere;
    if (answer(&s, &v)) {
        return b_out(b, v);
    }
    if (s.waiting) {
        eval_wait(b->ev);
        return B_ERROR;
    }
    return s.o.raise_error ? raise(&s) : told(&s);
}

const struct builtin builtins_http[] = {
    {"http.send", 1, b_send, BF_NONDET | BF_UNCACHED | BF_OUTSIDE},
    {0},
};
