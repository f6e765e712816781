/* eval_priv: one running query. */
#ifndef SEXTANT_REGO_EVAL_PRIV_H
#define SEXTANT_REGO_EVAL_PRIV_H

#include "authz/rego/query.h"

/* The value of a rule in this query. What another query left there has another stamp: nothing is cleared. */
struct memo {
    struct val v;
    const struct crule *by; /* the definition that gave the value */
    uint64_t stamp; /* the query's number: the value is being made; and one more: it is there */
};

/* A document that is still a place in the tree: a node and the base data under it. */
struct vdoc {
    struct vhead h;
    struct node *node;
    struct val base;
};

struct mask {
    const struct node *node;
    struct mask *next;
};

struct mock {
    const struct with_target *target;
    struct val value;
    struct mock *next;
};

struct fcall {
    const struct node *node;
    uint64_t hash;
    const struct val *args;
    struct val v;
};

struct fcache {
    struct fcall *slots;
    size_t n, mask;
};

/* What builtins of the world gave, by their operands. */
struct results;
int64_t memory_now(const struct rego_memory *m); /* 0: not told yet, or no memory */

/* What `with` saves and restores. */
struct world {
    struct val input, data;
    struct memo *memo;
    struct mask *masks;
    struct mock *mocks;
    struct fcache *calls;
    struct world *outer;
};

struct eval {
    struct arena *a;
    const struct rego_policy *p;
    const struct rego_eval_options *o;
    struct world w;
    struct fcache calls; /* of the outermost world */
    uint64_t steps, max_steps;
    struct val *top, *stack_end;
    unsigned depth;
    bool failed, waiting;
    struct rego_error error;
    struct vlist builtin_errors;
    struct results *cache; /* NULL until something is in it */
    uint64_t stamp;        /* of this query: even */
    int64_t now_ns;
    struct vlist rows;
    struct loc loc; /* of the instruction at work */
    struct str file;
};

/* Where the solutions of a body go. */
struct sink {
    enum { SINK_VALUE, SINK_MEMBERS, SINK_PARTS, SINK_ROWS, SINK_DIFFERENT } kind;
    struct val value, base;
    bool clash, set_member;
    struct vlist list;
    struct parts *parts;
};

bool eval_run(struct eval *ev, const struct code *k, struct val *regs, struct sink *s);
/* Runs code with a frame of its own and these arguments. False: the query failed. */
bool eval_code(struct eval *ev, const struct code *k, const struct val *args, size_t n,
               struct sink *s);
bool eval_stop(struct eval *ev); /* out of budget; the error is on record */
/* An answer from outside is not there yet: the evaluation ends here, to be run again. */
void eval_wait(struct eval *ev);
void eval_fail(struct eval *ev, const char *code, struct str file, struct loc loc, const char *fmt,
               ...) PRINTF_LIKE(5, 6);

/* Values of rules. VAL_UNDEF in *out when undefined; false when the query failed. */
bool eval_node(struct eval *ev, struct node *n, struct val *out);
bool eval_func(struct eval *ev, struct node *n, const struct val *args, size_t n_args,
               struct val *out);
bool eval_call(struct eval *ev, const struct builtin *fn, const struct val *args, size_t n,
               struct val *out);
bool eval_builtin_mocked(struct eval *ev, const struct builtin *fn, const struct val *args,
                         size_t n, struct val *out);

/* Documents. */
/* Keys of base documents are strings: a number finds the key of its text. */
struct val base_index(struct arena *a, struct val v, struct val key);
bool is_masked(const struct eval *ev, const struct node *n);
struct val node_base(struct eval *ev, const struct node *n);
struct val doc_new(struct eval *ev, struct node *n, struct val base);
bool doc_child(struct eval *ev, struct val doc, struct val key, struct val *out);
bool doc_keys(struct eval *ev, struct val doc, struct val *out); /* V_ARRAY of keys */
bool doc_force(struct eval *ev, struct val v,
               struct val *out); /* any value; documents become objects */
void with_push(struct eval *ev, const struct with_code *w, const struct val *values);
void with_pop(struct eval *ev);

/* Partial objects under construction. */
struct parts;
struct parts *parts_new(struct eval *ev);
/* Adds value (or set member) at the path. False on a clash. */
bool parts_add(struct eval *ev, struct parts *p, const struct val *path, size_t n, struct val v,
               bool member);
struct val parts_value(struct eval *ev, struct parts *p);

#endif
