#include "outing.h"

#include "authz/errand.h"

#include "lib/base/clock.h"

#include <stdlib.h>

enum { MEMORIES_MAX = 10001 };

/* A question that was answered, or is being asked. */
struct asked {
    struct str question; /* its text */
    bool used;           /* in this run */
    struct outside_answer answer;
    struct outside_addresses addresses;
};

struct outing {
    struct authz *z;
    struct loop *loop;
    struct arena a; /* of questions and answers */
    struct asked *asked;
    size_t n, cap;
    struct rego_memory **memories; /* one a decision of the request */
    size_t n_memories, cap_memories, at;
    struct outside outside;
    /* What the evaluation that has just stopped wants to know. */
    bool wanted, is_name, waits;
    struct str question;
    struct outside_request request;
    struct str name;
    struct errand *errand;
    uint64_t steps;
    int64_t ns;
    void (*again)(void *ctx, struct outing *o);
    void *ctx;
};

/* ---- shared by all requests ---- */

static bool anything_goes(const struct authz_config *c)
{
    return c->outbound.n == 1 && str_is(c->outbound.items[0], "*");
}

/* Made when a policy asks for the first time. */
static void share(struct authz *z, struct loop *l)
{
    if (z->errands != NULL) {
        return;
    }
    z->world = (struct outside){.limited = !anything_goes(z->config),
                                .allow_net = z->config->outbound.items,
                                .n_allow_net = z->config->outbound.n};
    struct errand_limits limits = {
        .longest_ns = z->config->outbound_ns,
        .body_max = (size_t)z->config->outbound_body_max,
        .no_insecure = !z->config->outbound_insecure,
        .hosts = &z->world,
    };
    BUG_ON(failed(errands_new(l, &limits, &z->errands)));
    if (z->config->outbound_cache > 0) {
        z->world.cache = outside_cache_new((size_t)z->config->outbound_cache);
    }
}

void outings_release(struct authz *z)
{
    errands_free(z->errands);
    outside_cache_free(z->world.cache);
    z->errands = NULL;
    z->world.cache = NULL;
}

/* ---- questions ---- */

static void put_text(struct buf *b, struct str s)
{
    buf_put_be(b, s.n, 8);
    buf_puts(b, s);
}

static struct str question_of(struct arena *a, const struct outside_request *r)
{
    struct buf b;
    uint8_t flags =
        (uint8_t)(r->redirect | r->has_body << 1 | r->tls.insecure << 2 | r->tls.system_certs << 3);
    buf_init(&b, 256 << 20);
    buf_putc(&b, 'r');
    buf_putc(&b, (char)flags);
    buf_put_be(&b, (uint64_t)r->timeout_ns, 8);
    buf_put_be(&b, r->retries, 4);
    put_text(&b, r->method);
    put_text(&b, r->url);
    for (size_t i = 0; i < r->n_headers; i++) {
        put_text(&b, r->headers[i].name);
        put_text(&b, r->headers[i].value);
    }
    buf_putc(&b, '\n');
    put_text(&b, r->body);
    put_text(&b, r->tls.ca_pem);
    put_text(&b, r->tls.cert_pem);
    put_text(&b, r->tls.key_pem);
    put_text(&b, r->tls.server_name);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* The next answer to this question that this run has not had yet, or NULL. */
static const struct asked *answer_to(struct outing *o, struct str question)
{
    for (size_t i = 0; i < o->n; i++) {
        if (!o->asked[i].used && str_eq(o->asked[i].question, question)) {
            o->asked[i].used = true;
            return &o->asked[i];
        }
    }
    return NULL;
}

static void copy_request(struct outing *o, const struct outside_request *r)
{
    struct arena *a = &o->a;
    struct outside_header *h = arena_array(a, struct outside_header, r->n_headers + 1);
    for (size_t i = 0; i < r->n_headers; i++) {
        h[i].name = arena_str(a, r->headers[i].name);
        h[i].value = arena_str(a, r->headers[i].value);
    }
    o->request = *r;
    o->request.headers = h;
    o->request.method = arena_str(a, r->method);
    o->request.url = arena_str(a, r->url);
    o->request.body = arena_str(a, r->body);
    o->request.tls.ca_pem = arena_str(a, r->tls.ca_pem);
    o->request.tls.cert_pem = arena_str(a, r->tls.cert_pem);
    o->request.tls.key_pem = arena_str(a, r->tls.key_pem);
    o->request.tls.server_name = arena_str(a, r->tls.server_name);
}

static bool too_many(const struct outing *o)
{
    return o->n >= OUTING_ASKS_MAX || o->a.used > OUTING_MEMORY;
}

static bool send(void *ctx, const struct outside_request *r, struct arena *a,
                 struct outside_answer *out)
{
    struct outing *o = ctx;
    struct str question = question_of(a, r);
    const struct asked *known = answer_to(o, question);
    if (known != NULL) {
        *out = known->answer;
        return true;
    }
    if (too_many(o)) {
        *out = (struct outside_answer){.error = S("this request has asked too much already")};
        return true;
    }
    o->wanted = true;
    o->is_name = false;
    o->question = arena_str(&o->a, question);
    copy_request(o, r);
    return false;
}

static bool resolve(void *ctx, struct str host, struct arena *a, struct outside_addresses *out)
{
    struct outing *o = ctx;
    struct str question = arena_printf(a, "n%.*s", STR_FMT(host));
    const struct asked *known = answer_to(o, question);
    if (known != NULL) {
        *out = known->addresses;
        return true;
    }
    if (too_many(o)) {
        *out = (struct outside_addresses){.error = S("this request has asked too much already")};
        return true;
    }
    o->wanted = o->is_name = true;
    o->question = arena_str(&o->a, question);
    o->name = arena_str(&o->a, host);
    return false;
}

/* ---- life ---- */

static struct outing *outing_new(struct authz *z, const struct outing_scope *s)
{
    struct outing *o = calloc(1, sizeof *o);
    BUG_ON(o == NULL);
    share(z, s->loop);
    o->z = z;
    o->loop = s->loop;
    o->again = s->again;
    o->ctx = s->ctx;
    arena_init(&o->a, (size_t)1 << 30);
    o->outside = z->world;
    o->outside.send = send;
    o->outside.resolve = resolve;
    o->outside.ctx = o;
    return o;
}

static void outing_free(struct outing *o)
{
    for (size_t i = 0; i < o->n_memories; i++) {
        rego_memory_free(o->memories[i]);
    }
    free(o->memories);
    free(o->asked);
    arena_release(&o->a);
    free(o);
}

void outing_cancel(struct outing *o)
{
    if (o != NULL) {
        errand_cancel(o->errand);
        outing_free(o);
    }
}

struct authz *outing_server(const struct outing *o)
{
    return o->z;
}

void outing_begin(struct authz *z, struct outing *o, struct loop *l,
                  void (*again)(void *ctx, struct outing *o), void *ctx)
{
    z->scope = (struct outing_scope){.outing = o, .loop = l, .again = again, .ctx = ctx};
    if (o != NULL) {
        o->at = 0;
        o->wanted = o->waits = false;
        for (size_t i = 0; i < o->n; i++) {
            o->asked[i].used = false;
        }
    }
}

void outing_rewind(struct authz *z)
{
    struct outing_scope s = z->scope;
    outing_begin(z, s.outing, s.loop, s.again, s.ctx);
}

void outing_wait(struct authz *z)
{
    if (z->scope.outing != NULL) {
        z->scope.outing->waits = true;
    }
}

/* ---- asking ---- */

static struct asked *note(struct outing *o)
{
    if (o->n == o->cap) {
        o->cap = MAX(o->cap * 2, (size_t)4);
        o->asked = realloc(o->asked, o->cap * sizeof *o->asked);
        BUG_ON(o->asked == NULL);
    }
    struct asked *x = &o->asked[o->n++];
    *x = (struct asked){.question = o->question};
    o->errand = NULL;
    return x;
}

static void answered(void *ctx, const struct outside_answer *w)
{
    struct outing *o = ctx;
    outside_answer_copy(&o->a, w, &note(o)->answer);
    o->again(o->ctx, o);
}

static void resolved(void *ctx, const struct outside_addresses *w)
{
    struct outing *o = ctx;
    outside_addresses_copy(&o->a, w, &note(o)->addresses);
    o->again(o->ctx, o);
}

struct outing *outing_end(struct authz *z)
{
    struct outing *o = z->scope.outing;
    z->scope = (struct outing_scope){.outing = NULL};
    if (o == NULL) {
        return NULL;
    }
    if (!o->wanted || !o->waits) {
        outing_free(o);
        return NULL;
    }
    o->errand = o->is_name ? errand_resolve(z->errands, o->name, resolved, o)
                           : errand_send(z->errands, &o->request, answered, o);
    return o;
}

/* ---- evaluations ---- */

static struct rego_memory *next_memory(struct outing *o)
{
    if (o->at == o->n_memories && o->n_memories < MEMORIES_MAX) {
        if (o->n_memories == o->cap_memories) {
            o->cap_memories = MAX(o->cap_memories * 2, (size_t)2);
            o->memories = realloc(o->memories, o->cap_memories * sizeof *o->memories);
            BUG_ON(o->memories == NULL);
        }
        o->memories[o->n_memories++] = rego_memory_new(OUTING_MEMORY);
    }
    return o->at < o->n_memories ? o->memories[o->at++] : NULL;
}

void outing_fill(struct authz *z, bool asks, struct rego_eval_options *o)
{
    struct outing_scope *s = &z->scope;
    if (s->loop == NULL || !asks) {
        return;
    }
    if (s->outing == NULL) {
        s->outing = outing_new(z, s);
    }
    o->outside = &s->outing->outside;
    o->memory = next_memory(s->outing);
    uint64_t all = o->max_steps != 0 ? o->max_steps : REGO_STEPS_DEFAULT;
    o->max_steps = all > s->outing->steps ? all - s->outing->steps : 1;
    if (o->deadline_ns != 0) {
        o->deadline_ns -= s->outing->ns;
    }
}

void outing_spent(struct authz *z, const struct rego_result *r, int64_t ns)
{
    struct outing *o = z->scope.outing;
    if (o != NULL && r->waiting) {
        o->steps += r->steps;
        o->ns += ns;
    }
}
