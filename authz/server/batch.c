/*
 * Many decisions of one kind in one request: POST /v1/batch/data/PATH with {"inputs": {ID: input, …}, "common_input": …}. The
 * answer is {"responses": {ID: {"result": …}, …}}; each decision is recorded by itself, under the batch's id.
 * 200 when all are made, 500 when all fail, 207 when some do; then each response tells its own code.
 */
#include "answer.h"
#include "outing.h"

#include "lib/base/clock.h"

enum { BATCH_INPUTS_MAX = 10000 };

struct batch {
    struct answer *x;
    struct val inputs, common;
    struct str raw;
    const struct target *target;
    size_t failed, made;
    struct buf *each; /* body of each response, without its braces */
    bool *broken;
    char id[37];
};

static bool read_batch(struct batch *b, struct str *why)
{
    struct answer *x = b->x;
    struct str text = STR_EMPTY;
    struct val body = VAL_UNDEF;
    if (!body_read(x->z, x->req, x->req->arena, &text, why)) {
        return false;
    }
    if (!body_parse(x->req->arena, text, body_is_yaml(x->req), &body, why)) {
        *why = arena_printf(x->req->arena, "body contains malformed input document: %.*s",
                            STR_FMT(*why));
        return false;
    }
    b->inputs = val_get_str(body, "inputs");
    b->common = val_get_str(body, "common_input");
    *why = S("'inputs' must be an object of inputs, by id");
    if (!val_is(b->inputs, V_OBJECT)) {
        return false;
    }
    *why = arena_printf(x->req->arena, "more than %d inputs", BATCH_INPUTS_MAX);
    return val_len(b->inputs) <= BATCH_INPUTS_MAX;
}

/* What all inputs share; an input's own members win. */
static struct val whole_input(struct arena *a, const struct batch *b, struct val own)
{
    if (val_undef(b->common)) {
        return own;
    }
    bool objects = val_is(b->common, V_OBJECT) && val_is(own, V_OBJECT);
    return objects ? val_merge(a, b->common, own, NULL) : own;
}

static void put_failure(struct buf *out, const struct decision *d, struct arena *a)
{
    struct rego_errors errors = {.a = a};
    const struct rego_error *e = &d->eval.error;
    rego_errors_add(&errors, e->code, e->file, e->loc, "%.*s", STR_FMT(e->message));
    struct str text =
        error_body(a, "internal_error", S("error(s) occurred while evaluating query"), &errors);
    text = str_trim(text);
    buf_puts(out, str_sub(text, 1, text.n - 1)); /* its members */
}

static void batch_recorded(void *ctx, struct err e);

/* One decision: evaluated, written, and sent on its way to the record. */
static void decide_one(struct batch *b, uint32_t i)
{
    struct answer *x = b->x;
    struct arena *a = &x->memory;
    struct decision d = {.path = b->raw, .request = VAL_UNDEF, .wall_ns = clock_wall_ns()};
    struct buf *out = &b->each[i];
    memcpy(d.batch_id, b->id, sizeof d.batch_id);
    decision_new_id(d.id);
    decide(x->z, b->target->path, b->target->n, whole_input(a, b, val_nth(b->inputs, i)),
           x->p.strict, a, &d);
    if (decisions_are_kept(x->z)) {
        buf_printf(out, "\"decision_id\":\"%s\"", d.id);
    }
    if (d.eval.failed) {
        b->failed++;
        b->broken[i] = true;
        buf_puts(out, out->n > 0 ? S(",") : S(""));
        put_failure(out, &d, a);
    } else if (!val_undef(d.result)) {
        buf_puts(out, out->n > 0 ? S(",\"result\":") : S("\"result\":"));
        val_to_json(out, d.result, true);
    }
    x->waiting++;
    decision_record(x->z, &d, x->req, batch_recorded, x);
    arena_reset(a);
}

static void put_responses(struct batch *b, struct buf *out)
{
    bool mixed = b->failed > 0 && b->failed < val_len(b->inputs);
    buf_putc(out, '{');
    if (decisions_are_kept(b->x->z)) {
        buf_printf(out, "\"batch_decision_id\":\"%s\",", b->id);
    }
    buf_puts(out, S("\"responses\":{"));
    for (uint32_t i = 0; i < val_len(b->inputs); i++) {
        struct val id = val_tab(b->inputs)->v[2 * (size_t)i];
        buf_puts(out, i > 0 ? S(",") : S(""));
        val_json_string(out, val_text(id), true);
        buf_puts(out, S(":{"));
        buf_puts(out, buf_str(&b->each[i]));
        if (mixed) {
            buf_printf(out, "%s\"http_status_code\":\"%d\"", b->each[i].n > 0 ? "," : "",
                       b->broken[i] ? 500 : 200);
        }
        buf_putc(out, '}');
        out->overflow |= b->each[i].overflow;
        buf_release(&b->each[i]);
    }
    buf_puts(out, S("}}"));
}

/* Sends when the last of the events is acknowledged. */
static void settle(struct answer *x)
{
    if (--x->waiting > 0) {
        return;
    }
    if (x->req != NULL && x->busy_failed) {
        reply_error(x->req, 500, "internal_error", "the decisions could not be recorded");
    } else if (x->req != NULL && !buf_ok(&x->body)) {
        reply_error(x->req, 500, "internal_error", "the result is too large");
    } else if (x->req != NULL) {
        reply_json(x->z, x->req, x->status, buf_str(&x->body));
    }
    answer_free(x);
}

static void batch_recorded(void *ctx, struct err e)
{
    struct answer *x = ctx;
    x->busy_failed |= failed(e);
    settle(x);
}

static void batch_gone(void *ctx)
{
    ((struct answer *)ctx)->req = NULL;
}

/* No event may leave before all decisions can be made: false when one of them waits for an answer. */
static bool all_answered(struct batch *b)
{
    struct answer *x = b->x;
    bool waits = false;
    for (uint32_t i = 0; i < val_len(b->inputs) && !waits; i++) {
        struct decision d = {.request = VAL_UNDEF};
        decide(x->z, b->target->path, b->target->n,
               whole_input(&x->memory, b, val_nth(b->inputs, i)), x->p.strict, &x->memory, &d);
        arena_reset(&x->memory);
        waits = d.eval.waiting;
    }
    if (waits) {
        outing_wait(x->z);
    } else {
        outing_rewind(x->z);
    }
    return !waits;
}

static void run(struct batch *b)
{
    struct answer *x = b->x;
    uint32_t n = val_len(b->inputs);
    b->each = arena_array(x->req->arena, struct buf, n + 1);
    b->broken = arena_array(x->req->arena, bool, n + 1);
    decision_new_id(b->id);
    x->waiting = 1; /* until all are on their way */
    http_on_abort(x->req, batch_gone, x);
    for (uint32_t i = 0; i < n; i++) {
        buf_init(&b->each[i], REPLY_MAX);
        decide_one(b, i);
    }
    struct buf plain;
    buf_init(&plain, REPLY_MAX);
    put_responses(b, &plain);
    if (x->p.pretty) {
        json_indent(&x->body, buf_str(&plain));
    } else {
        buf_puts(&x->body, buf_str(&plain));
    }
    x->body.overflow |= plain.overflow;
    buf_putc(&x->body, '\n');
    buf_release(&plain);
    x->status = b->failed == 0 ? 200 : b->failed == n ? 500 : 207;
    settle(x);
}

void data_batch(struct http_req *req, void *ctx)
{
    struct str why, bad;
    struct batch b = {.x = answer_new(ctx, req), .raw = path_rest(req, "/v1/batch/data")};
    meter_label(req, HANDLER_BATCH);
    if (!read_batch(&b, &why)) {
        reply_error(req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
        answer_free(b.x);
        return;
    }
    b.target = target_find(ctx, req->arena, b.raw, &bad);
    if (b.target == NULL) {
        reply_error(req, 400, "invalid_parameter", "invalid path: invalid ref term '%.*s'",
                    STR_FMT(bad));
        answer_free(b.x);
        return;
    }
    if (rego_policy_asks(b.x->z->store.policy) && !all_answered(&b)) {
        answer_free(b.x);
        return;
    }
    run(&b);
}
