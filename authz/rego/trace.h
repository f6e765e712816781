/*
 * trace: what an evaluation does, event by event, for `explain`.
 *
 *     struct rego_trace t;
 *     rego_trace_init(&t, arena, EXPLAIN_FULL);
 *     rego_topdown_eval(q, &o, &t.tracer, arena, &r);
 *     rego_trace_to_text(&out, &t);
 *
 * A tracer is a function that gets each event while it happens; struct rego_trace is one that keeps them.
 * Events refer to the tree of the policy and to the arena of the evaluation.
 */
#ifndef SEXTANT_REGO_TRACE_H
#define SEXTANT_REGO_TRACE_H

#include "authz/rego/topdown.h"
#include "lib/base/map.h"

enum rego_op {
    OP_TRACE_ENTER,
    OP_TRACE_EXIT,
    OP_TRACE_EVAL,
    OP_TRACE_REDO,
    OP_TRACE_SAVE,
    OP_TRACE_FAIL,
    OP_TRACE_DUPLICATE,
    OP_TRACE_NOTE,
    OP_TRACE_INDEX,
    OP_TRACE_UNIFY,
};

enum rego_node_kind { NODE_BODY, NODE_EXPR, NODE_RULE };

struct rego_local {
    struct str name, written; /* "__local0__", and "x" as it was written */
    const struct term *value; /* as far as it is known */
};

struct rego_event {
    enum rego_op op;
    uint64_t query_id, parent_id;
    enum rego_node_kind kind;
    const struct body *body; /* the one that `kind` names */
    const struct expr *expr;
    size_t index;            /* of the expression in its body */
    const struct rule *rule; /* rewritten as it is evaluated */
    struct str path;         /* of rules: "data.a.p"; of INDEX: the reference that was looked up */
    struct str file;         /* empty in queries */
    struct loc loc;
    struct str message;
    const struct rego_local *locals;
    size_t n_locals;
    const struct map *written[2]; /* names of variables as written: of the policy, of the query */
};

struct rego_tracer {
    void (*event)(void *ctx, const struct rego_event *e);
    void *ctx;
    bool locals; /* events carry the values of variables (costly) */
    bool unify;  /* events of every single unification, too */
};

enum rego_explain { EXPLAIN_OFF, EXPLAIN_FULL, EXPLAIN_NOTES, EXPLAIN_FAILS, EXPLAIN_DEBUG };

/* "off", "full", "notes", "fails", "debug". False: none of them. */
bool rego_explain_parse(struct str s, enum rego_explain *out);

enum { TRACE_EVENTS_MAX = 1 << 20 };

struct rego_trace {
    struct rego_tracer tracer;
    enum rego_explain mode;
    struct arena *a;
    struct rego_event *v;
    size_t n, cap;
    bool cut; /* TRACE_EVENTS_MAX was reached */
};

void rego_trace_init(struct rego_trace *t, struct arena *a, enum rego_explain mode);
/* The events that the mode asks for: notes and failures come with what they stand in. */
void rego_trace_select(struct rego_trace *t);
/* Lines as `eval --explain` prints them; `locations` puts "file:row" in front. Selects first. */
void rego_trace_to_text(struct buf *out, struct rego_trace *t, bool locations);
/* The array of the REST API: objects {op, query_id, parent_id, type, node, locals, message}, or with
 * `pretty` an array of lines. Selects first. */
void rego_trace_to_json(struct buf *out, struct rego_trace *t, bool pretty);

/*
 * Coverage: which rows of the policy ran. Feed it any number of evaluations.
 *
 *     struct rego_cover c;
 *     rego_cover_init(&c, policy, arena);
 *     rego_topdown_eval(q, &o, &c.tracer, …);
 *     rego_cover_to_json(&out, &c);
 */
struct rego_cover {
    struct rego_tracer tracer;
    const struct rego_policy *p;
    struct arena *a;
    struct cover_file *files; /* one a module */
};

void rego_cover_init(struct rego_cover *c, const struct rego_policy *p, struct arena *a);
double rego_cover_percent(const struct rego_cover *c); /* of all rows that could have run */
/* {"files": {NAME: {"covered": [{start, end}], "not_covered": […], …}}, "covered_lines", …} */
void rego_cover_to_json(struct buf *out, const struct rego_cover *c);

#endif
