/*
 * term: what the second evaluator walks. Like the tree of syntax, but whatever is constant is one
 * value, names are symbols that compare by pointer, and calls stand alone as expressions once the
 * stages of lowering are through.
 */
#ifndef SEXTANT_REGO_TD_TERM_H
#define SEXTANT_REGO_TD_TERM_H

#include "authz/rego/compile/compile_priv.h"

enum tt_kind {
    TT_VAL,
    TT_TEMPLATE, /* until templates are rewritten */
    TT_VAR,
    TT_REF,    /* head first */
    TT_ARRAY,  /* with something in it that is no constant; so are the next two */
    TT_OBJECT, /* keys and values by turns, sorted by key */
    TT_SET,
    TT_ARRAY_COMP,
    TT_OBJECT_COMP,
    TT_SET_COMP,
    TT_CALL, /* operator first; only before lowering and in simplified results */
};

struct sym {
    struct str name;
    bool made_up; /* by lowering */
};

struct symtab {
    struct map m;
    struct symtab *up;
    struct arena *a;
};

struct tbody;

struct tt {
    enum tt_kind kind;
    struct loc loc;
    union {
        struct val v;
        struct sym *sym;
        struct {
            struct tt **v;
            size_t n;
        } list;
        struct {
            struct tt *key, *value;
            struct tbody *body;
        } comp;
        struct {
            struct texpr **v; /* parts; constant text is an expression of one constant */
            size_t n;
        } parts;
    };
};

enum tx_kind { TX_TERM, TX_CALL, TX_EVERY, TX_NOT, TX_AND, TX_OR };

struct twith {
    struct loc loc;
    struct tt *target, *value;
};

struct tnode;

struct texpr {
    enum tx_kind kind;
    bool negated, generated, assigned;
    bool explicit_lhs, explicit_rhs;
    struct loc loc;
    struct str file; /* of saved expressions */
    struct tt **t; /* TX_TERM: one; TX_CALL: operator, operands, perhaps where the result goes */
    size_t n;
    bool eq; /* TX_CALL of `=` */
    const struct builtin *builtin;
    const struct tnode *func;
    struct tt *key, *value, *domain; /* TX_EVERY */
    struct tbody *lhs, *rhs;         /* bodies; lhs alone but for TX_AND and TX_OR */
    struct twith *with;
    size_t n_with;
    const struct expr *ast; /* the same as syntax, once someone asked */
};

struct tbody {
    struct texpr **v;
    size_t n, cap;
    struct loc loc;
    const struct body *ast;
};

void symtab_init(struct symtab *s, struct arena *a, struct symtab *up);
struct sym *sym_get(struct symtab *s, struct str name);
struct sym *sym_find(struct symtab *s, struct str name); /* NULL: there is none */
static inline bool sym_wildcard(const struct sym *s)
{
    return s->name.n > 0 && s->name.p[0] == '$';
}
bool sym_generated(const struct sym *s); /* "__local…" */

struct tt *tt_val(struct arena *a, struct val v, struct loc loc);
struct tt *tt_var(struct arena *a, struct sym *s, struct loc loc);
struct tt *tt_list(struct arena *a, enum tt_kind kind, size_t n, struct loc loc); /* to be filled */
/* Composites of constants become one constant; objects and sets are sorted. May return another. */
struct tt *tt_fold(struct arena *a, struct tt *t);

static inline bool tt_is_var(const struct tt *t)
{
    return t->kind == TT_VAR;
}
static inline bool tt_is_ref(const struct tt *t)
{
    return t->kind == TT_REF;
}
static inline bool tt_is_comp(const struct tt *t)
{
    return t->kind == TT_ARRAY_COMP || t->kind == TT_SET_COMP || t->kind == TT_OBJECT_COMP;
}
static inline bool tt_is_list(const struct tt *t)
{
    return t->kind == TT_REF || t->kind == TT_ARRAY || t->kind == TT_OBJECT || t->kind == TT_SET ||
           t->kind == TT_CALL;
}
static inline bool tt_is_scalar(const struct tt *t)
{
    return t->kind == TT_VAL && !val_is_collection(t->v);
}
bool tt_ground(const struct tt *t); /* no variables but heads of references */
bool tt_is(const struct tt *t, struct val v);
bool tt_same(const struct tt *a, const struct tt *b);
int tt_cmp(const struct tt *a, const struct tt *b); /* Rego's order of terms */
int tx_cmp(const struct texpr *a, const struct texpr *b, bool withs);
int tb_cmp(const struct tbody *a, const struct tbody *b);
/* The first `n` elements of ref `p` are those of `t`. */
bool ref_has_prefix(const struct tt *t, const struct tt *p);
bool ref_head_is(const struct tt *t, const struct sym *s);
struct tt *ref_slice(struct arena *a, const struct tt *t, size_t n); /* shares the elements */

struct texpr *tx_new(struct arena *a, enum tx_kind kind, struct loc loc);
struct texpr *tx_term(struct arena *a, struct tt *t);
struct texpr *tx_eq(struct arena *a, struct symtab *s, struct tt *x, struct tt *y);
struct texpr *tx_copy(struct arena *a, const struct texpr *e); /* deep */
struct tt *tt_copy(struct arena *a, const struct tt *t);
struct tbody *tb_copy(struct arena *a, const struct tbody *b);
struct tbody *tb_new(struct arena *a);
void tb_push(struct arena *a, struct tbody *b, struct texpr *e);

/* Lists of variables without duplicates. */
struct vset {
    struct arena *a;
    struct sym **v;
    size_t n, cap;
};
void vset_add(struct vset *s, struct sym *v);
bool vset_has(const struct vset *s, const struct sym *v);
void vset_add_all(struct vset *s, const struct vset *o);
size_t vset_missing(const struct vset *s, const struct vset *in); /* how many of `s` are not `in` */
struct vset vset_minus(struct arena *a, const struct vset *s, const struct vset *o);

/* Which variables a walk visits. */
enum {
    VARS_ALL = 0,
    VARS_NO_CLOSURES = 1, /* not comprehensions, not bodies of every, not, and, or */
    VARS_NO_REF_HEAD = 2, /* not the heads of references */
    VARS_NO_SETS = 4,
    VARS_NO_KEYS = 8,       /* not keys of objects */
    VARS_NO_OPERATORS = 16, /* not the heads of operators and of targets of `with` */
    VARS_SAFETY = VARS_NO_CLOSURES | VARS_NO_OPERATORS,
};
void tt_vars(const struct tt *t, unsigned how, struct vset *out);
void tx_vars(const struct texpr *e, unsigned how, struct vset *out);
void tb_vars(const struct tbody *b, unsigned how, struct vset *out);
/* Variables of what the expression encloses. */
void tx_closure_vars(const struct texpr *e, struct vset *out);
/* What a walk for safety sees: variables of bare operands, too. */
void tx_needed_vars(const struct texpr *e, struct vset *out);
/* What is bound when the expression holds and `safe` is bound. */
struct vset tx_outputs(struct arena *a, const struct texpr *e, const struct vset *safe);
struct vset tb_outputs(struct arena *a, const struct tbody *b, const struct vset *safe);
/* -1: unknown. */
int tx_arity(const struct texpr *e);
/* Puts the body in an order in which all is bound before it is needed; closures inside as well. */
void tb_order(struct arena *a, struct tbody *b, const struct vset *globals);

#endif
