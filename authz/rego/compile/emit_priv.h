/* emit_priv: the generator's state, shared by the emit_*.c files. */
#ifndef SEXTANT_REGO_EMIT_PRIV_H
#define SEXTANT_REGO_EMIT_PRIV_H

#include "authz/rego/compile/code.h"

struct place_read;
struct known;

struct gen {
    struct compiler *c;
    struct code *code;
    uint32_t fail;    /* label to jump to when something fails */
    uint32_t *labels; /* label to instruction */
    size_t n_labels, cap_labels, last_label;
    struct loc loc;
    /* Places of input and data that were read, each with a register of its own. */
    struct place_read **reads;
    size_t n_reads, cap_reads;
    /* What every way to here has computed: a stack, cut back where a branch ends. */
    struct known *known;
    size_t n_known, cap_known;
    unsigned with_depth; /* inside of `with` input and data may be others */
    bool failed;         /* an internal inconsistency; the error is on record */
};

struct place_read {
    bool data;
    struct term **keys;
    size_t n;
    int32_t reg, list;
    bool known;
};

/* A place that was read, or (place is NULL) that `to` holds from[key]. */
struct known {
    struct place_read *place;
    int32_t from, key, to;
};

/* Code between the two may not have run when what follows does. */
size_t branch_begin(const struct gen *g);
void branch_end(struct gen *g, size_t mark);

uint32_t label_new(struct gen *g);
void label_here(struct gen *g, uint32_t label);
bool label_is_here(const struct gen *g); /* may something jump to the next instruction? */
/* Appends; `to` is the current fail label unless changed. The pointer is good until the next. */
struct insn *emit(struct gen *g, enum op op, int32_t a, int32_t b, int32_t c);
void emit_jump(struct gen *g, uint32_t label);
int32_t reg_new(struct gen *g);
int32_t constant(struct gen *g, struct val v);
int32_t list_add(struct gen *g, const int32_t *ops, size_t n); /* the list's start */

int32_t emit_value(struct gen *g, struct term *t); /* operand that holds the plain value */
int32_t emit_ref(struct gen *g, struct term *t, bool plain);
int32_t emit_call(struct gen *g, struct term *t, size_t n_args); /* operand of the result */
int32_t emit_comprehension(struct gen *g, struct term *t);
int32_t emit_template(struct gen *g, struct term *t);
void emit_unify(struct gen *g, struct term *a, struct term *b);
void emit_operands(struct gen *g, struct term **terms, size_t n, int32_t *ops);
void emit_match(struct gen *g, struct term *pattern, int32_t value);
bool has_unbound(const struct term *t); /* a variable in a place where it could be bound */
bool any_unbound(const struct term *t); /* any unbound variable outside of closures */
void emit_body(struct gen *g, struct body *b);
void emit_expr(struct gen *g, struct expr *e);
void bind_local(struct gen *g, struct local *l);
void emit_with(struct gen *g, struct expr *e);

#endif
