#include "answer.h"

#include "authz/rego/why.h"
#include "lib/base/clock.h"

#include <stdlib.h>

enum {
    ANSWERS_KEPT = 64,
    ANSWER_MEMORY_KEPT = 64 * 1024, /* bytes of a kept answer's memory, and of its body */
    TARGETS_KEPT = 128,
    TARGET_PATH_MAX = 512, /* bytes of a path that is worth keeping */
};

/* ---- life ---- */

static struct answer *answer_make(struct authz *z)
{
    struct answer *x = calloc(1, sizeof *x);
    BUG_ON(x == NULL);
    arena_init(&x->memory, (size_t)z->config->eval_memory);
    (void)arena_alloc_raw(&x->memory, ANSWER_MEMORY_KEPT / 2,
                          16); /* a first block that is enough */
    arena_reset(&x->memory);
    buf_init(&x->body, REPLY_MAX);
    return x;
}

struct answer *answer_new(struct authz *z, struct http_req *req)
{
    struct answer *x = z->spare;
    if (x != NULL) {
        z->spare = x->next;
        z->n_spare--;
    } else {
        x = answer_make(z);
    }
    x->z = z;
    x->req = req;
    x->next = NULL;
    x->d = (struct decision){.input = VAL_UNDEF, .request = VAL_UNDEF, .result = VAL_UNDEF};
    x->t = (struct timers){0};
    x->status = 200;
    x->v0 = x->warn = x->busy_failed = false;
    x->waiting = 0;
    x->trace = NULL;
    x->why = NULL;
    params_read(req, &x->p);
    if (x->p.metrics || x->p.instrument || z->log.log != NULL) {
        x->t.begin_ns = clock_mono_ns();
    }
    return x;
}

static void answer_destroy(struct answer *x)
{
    arena_release(&x->memory);
    buf_release(&x->body);
    free(x);
}

void answer_free(struct answer *x)
{
    struct authz *z = x->z;
    if (z->n_spare == ANSWERS_KEPT || x->body.cap > ANSWER_MEMORY_KEPT ||
        x->memory.budget != (size_t)z->config->eval_memory) {
        answer_destroy(x);
        return;
    }
    arena_reset(&x->memory);
    if (x->body.p != NULL) {
        buf_clear(&x->body);
    }
    x->next = z->spare;
    z->spare = x;
    z->n_spare++;
}

void answers_release(struct authz *z)
{
    while (z->spare != NULL) {
        struct answer *x = z->spare;
        z->spare = x->next;
        answer_destroy(x);
    }
    z->n_spare = 0;
}

/* ---- places, resolved once ---- */

static struct {
    struct arena memory;
    struct target v[TARGETS_KEPT];
    size_t n;
    uint8_t slots[2 * TARGETS_KEPT]; /* position + 1 */
} targets;

static const struct target *resolve(struct arena *a, struct str raw, struct target *t,
                                    struct str *bad)
{
    struct val path[PATH_SEGMENTS_MAX];
    if (!path_values(a, raw, path, &t->n, bad)) {
        return NULL;
    }
    t->path = arena_alloc_raw(a, (t->n + 1) * sizeof *t->path, 8);
    memcpy(t->path, path, t->n * sizeof *path);
    t->raw = arena_str(a, raw);
    return t;
}

static const struct target *keep(struct str raw, size_t slot, struct str *bad)
{
    if (targets.n == TARGETS_KEPT || targets.memory.budget == 0) {
        arena_release(&targets.memory);
        memset(&targets, 0, sizeof targets);
        arena_init(&targets.memory, 64 << 20);
    }
    struct target *t = &targets.v[targets.n];
    if (resolve(&targets.memory, raw, t, bad) == NULL) {
        return NULL;
    }
    while (targets.slots[slot] != 0) {
        slot = (slot + 1) % ARRAY_LEN(targets.slots);
    }
    targets.slots[slot] = (uint8_t)++targets.n;
    return t;
}

const struct target *target_find(struct authz *z, struct arena *a, struct str raw, struct str *bad)
{
    (void)z;
    size_t slot = (size_t)str_hash(raw) % ARRAY_LEN(targets.slots), first = slot;
    if (raw.n > TARGET_PATH_MAX) {
        return resolve(a, raw, arena_new(a, struct target), bad);
    }
    for (; targets.slots[slot] != 0; slot = (slot + 1) % ARRAY_LEN(targets.slots)) {
        const struct target *t = &targets.v[targets.slots[slot] - 1];
        if (str_eq(t->raw, raw)) {
            return t;
        }
    }
    return keep(raw, first, bad);
}

/* ---- sending ---- */

static void client_gone(void *ctx)
{
    ((struct answer *)ctx)->req = NULL;
}

static void recorded(void *ctx, struct err e)
{
    struct answer *x = ctx;
    if (x->req != NULL && failed(e)) {
        reply_error(x->req, 500, "internal_error",
                    x->z->log.log != NULL ? "decision_logs: %s"
                                          : "the decision could not be recorded",
                    err_detail());
    } else if (x->req != NULL && !buf_ok(&x->body)) {
        reply_error(x->req, 500, "internal_error", "the result is too large");
    } else if (x->req != NULL) {
        reply_json(x->z, x->req, x->status, buf_str(&x->body));
    }
    answer_free(x);
}

void answer_send(struct answer *x)
{
    if (!decisions_are_kept(x->z)) {
        recorded(x, OK);
        return;
    }
    x->d.wall_ns = clock_wall_ns();
    http_on_abort(x->req, client_gone, x);
    decision_record(x->z, &x->d, x->req, recorded, x);
}

void answer_error(struct answer *x, int status, const char *code, struct str message,
                  const struct rego_errors *errors)
{
    x->status = status;
    buf_clear(&x->body);
    buf_puts(&x->body, error_body(&x->memory, code, message, errors));
}

void answer_eval_error(struct answer *x)
{
    struct rego_errors errors = {.a = &x->memory};
    const struct rego_error *e = &x->d.eval.error;
    rego_errors_add(&errors, e->code, e->file, e->loc, "%.*s", STR_FMT(e->message));
    answer_error(x, 500, "internal_error", S("error(s) occurred while evaluating query"), &errors);
}

static void put_key(struct buf *b, struct str name, bool *first)
{
    buf_puts(b, *first ? S("\"") : S(",\""));
    buf_puts(b, name);
    buf_puts(b, S("\":"));
    *first = false;
}

static void put_members(struct answer *x, struct buf *b)
{
    bool first = true;
    if (decisions_are_kept(x->z)) {
        put_key(b, S("decision_id"), &first);
        val_json_string(b, str_of(x->d.id), true);
    }
    if (x->p.provenance) {
        put_key(b, S("provenance"), &first);
        put_provenance(x->z, b);
    }
    if (x->trace != NULL) {
        put_key(b, S("explanation"), &first);
        rego_trace_to_json(b, x->trace, x->p.pretty);
    }
    if (x->p.metrics || x->p.instrument) {
        put_key(b, S("metrics"), &first);
        put_metrics(b, &x->t);
    }
    if (!val_undef(x->d.result)) {
        put_key(b, S("result"), &first);
        val_to_json(b, x->d.result, true);
    }
    if (x->why != NULL) {
        put_key(b, S("why"), &first);
        rego_why_to_json(b, x->why);
    }
    if (x->warn) {
        put_key(b, S("warning"), &first);
        buf_puts(b, S("{\"code\":\"api_usage_warning\",\"message\":\"'input' key missing from "
                      "the request\"}"));
    }
}

void answer_result(struct answer *x)
{
    struct buf plain = {0}, *b = &x->body;
    if (x->p.pretty) {
        buf_init(&plain, REPLY_MAX);
        b = &plain;
    }
    if (x->v0) {
        val_to_json(b, x->d.result, true);
    } else {
        buf_putc(b, '{');
        put_members(x, b);
        buf_putc(b, '}');
    }
    if (x->p.pretty) {
        json_indent(&x->body, buf_str(&plain));
        x->body.overflow |= plain.overflow;
        buf_release(&plain);
    }
    buf_putc(&x->body, '\n');
}
