/* program: the rules of a policy, lowered to what the second evaluator walks. */
#ifndef SEXTANT_REGO_TD_PROGRAM_H
#define SEXTANT_REGO_TD_PROGRAM_H

#include "authz/rego/topdown.h"
#include "authz/rego/topdown/term.h"

struct trule {
    const struct rule *rule; /* as it was written */
    const struct tnode *node;
    struct tt *ref; /* data.pkg.p.q[x]; the key of a partial object is its last element */
    struct tt **args;
    size_t n_args;
    struct tt *key, *value; /* key: of members of sets */
    struct tbody *body;
    struct trule *otherwise;
    bool is_default, complete; /* complete: of support, one value at a fixed path */
    size_t n_package;          /* elements of ref that are the package's */
    uint32_t index;            /* among all rules */
};

/* What stands at one place of the tree of rules. */
struct tnode {
    const struct node *n;
    struct trule **rules; /* in the order of their declaration; defaults apart */
    size_t n_rules, cap_rules;
    struct trule **extent; /* the same and those below, where a rule's path is dynamic */
    size_t n_extent, cap_extent;
    struct trule *fallback;
    struct tnode *parent;
    struct tnode **children; /* sorted by key */
    size_t n_children;
    bool multi, ground, early_exit, has_else, hidden;
    int arity; /* of functions; else -1 */
};

struct rego_topdown {
    struct arena a;
    const struct rego_policy *p;
    struct symtab syms;
    struct sym *data, *input;
    struct tnode *nodes; /* by struct node's id */
    struct trule **all;
    size_t n_all, cap_all;
    unsigned next_local;
    struct vset reserved;
    struct map written; /* "__local0__" to the name in the source: struct sym */
};

struct rego_topdown_query {
    struct arena a;
    const struct rego_topdown *t;
    struct symtab syms;
    struct tbody *body;    /* with what captures values of expressions */
    struct tbody *plain;   /* without */
    struct tbody *partial; /* with `==` as `=`, which simplifies more */
    struct sym **vars;     /* sorted by name */
    size_t n_vars;
    struct sym **captures; /* one an expression, or NULL where it only has to hold */
    size_t n_exprs;
    struct map written;
    struct str text;
};

/* How names are numbered while bodies are rewritten: all over the policy, or over one query. */
struct lowering {
    struct arena *a;
    const struct rego_topdown *t;
    struct symtab *syms;
    struct map *written;
    const char *prefix; /* "__local" or "__localq" */
    unsigned *next;
    struct map locals;  /* variables and expressions of the syntax tree to their symbols */
    struct map hoisted; /* variables the compiler put in a head's place to what stood there */
    bool query;
};

void lowering_init(struct lowering *l, struct arena *a, struct symtab *syms);
void lowering_release(struct lowering *l);

struct sym *fresh_local(struct lowering *l, struct str written);
struct tbody *lower_body(struct lowering *l, const struct body *b);
struct tt *lower_term(struct lowering *l, const struct term *t);
/* Gives declared variables their numbers, in the order in which they are declared. */
void name_rule(struct lowering *l, const struct rule *r, const struct rule *first);
void name_body(struct lowering *l, const struct body *b);
struct sym *symbol_of(struct lowering *l, const struct term *t);
struct sym *every_key(struct lowering *l, const struct expr *e); /* of an `every` without one */
struct expr **source_order(struct arena *a, const struct body *b);
const struct term *hoisted_term(struct lowering *l, const struct term *t);
/* Appends; a body that only says true makes room. */
void body_append(struct arena *a, struct tbody *b, const struct tbody *more);
/* Finds what the compiler moved out of the rule's head. */
void find_hoisted(struct lowering *l, const struct rule *r);
/* The stages of rewriting, one after the other over all rules. */
void expand_templates(struct lowering *l, struct tbody *b);
void expand_template_term(struct lowering *l, struct tt **t);
void expand_body(struct lowering *l, struct tbody *b);
struct tt *expand_term(struct lowering *l, struct tt *t, struct tbody *support);
void expand_comprehension_heads(struct lowering *l, struct tbody *b);
void expand_comprehension_heads_in(struct lowering *l, struct tt *t);
bool requires_eval(const struct tt *t);
struct tt *bind_to_local(struct lowering *l, struct tt *t, struct tbody *out);
void expand_withs(struct lowering *l, struct tbody *b);
void unify_equals(struct lowering *l, struct tbody *b);
void expand_dynamics(struct lowering *l, struct tbody *b);

const struct tnode *tnode_child(const struct rego_topdown *t, const struct tnode *n, struct val k);
static inline const struct tnode *tnode_root(const struct rego_topdown *t)
{
    return &t->nodes[t->p->root->id];
}
/* The node of a reference "data.a.b" that is constant throughout, or NULL. */
const struct tnode *tnode_find(const struct rego_topdown *t, const struct tt *ref);

#endif
