/* compile_priv: what the compiler's stages share: the rule tree, locals, and code. */
#ifndef SEXTANT_REGO_COMPILE_PRIV_H
#define SEXTANT_REGO_COMPILE_PRIV_H

#include "authz/rego/builtin/builtin.h"
#include "authz/rego/engine.h"
#include "lib/base/map.h"

/* A variable of one rule after renaming: a register of the rule's frame. */
struct local {
    struct str name;
    struct loc loc;
    uint32_t reg, id; /* id counts inside the rule */
    bool declared, arg, used, generated, assigned, wildcard;
    bool top;         /* of a query: stands outside of closures */
    bool is_constant; /* bound to one value, known when compiled */
    struct val constant;
    bool bound; /* while code is generated or bodies are ordered */
    struct local *next;
};

struct code;

/* A body with its head, ready to run. */
struct crule {
    struct rule *rule;
    struct code *code;
    struct crule *otherwise;
    struct term **tail; /* dynamic part of the head's reference, then nothing */
    size_t n_tail;
    bool constant; /* the value is the same whenever the body holds */
    struct val value;
};

/* A place in the tree of `data` where rules or packages stand. */
struct node {
    struct val key;
    struct str name; /* of string keys */
    struct node *parent;
    struct node **children;
    size_t n_children, cap_children;
    struct map *by_name; /* of many children with string keys */
    uint32_t id, depth;
    bool package, func, has_rules_below;
    int arity;
    /* Rules by what they define. */
    struct crule **complete;
    size_t n_complete, cap_complete;
    struct crule **sets; /* members of a set at this very place */
    size_t n_sets, cap_sets;
    struct crule **dynamic; /* deeper places, known at run time */
    size_t n_dynamic, cap_dynamic;
    struct crule *fallback; /* default */
    bool early_exit;        /* all definitions have one and the same constant value */
    struct index *index, *set_index, *dynamic_index; /* over these, or NULL: see index.h */
    struct rule *first;
    /* For the recursion check. */
    struct node **uses;
    size_t n_uses, cap_uses;
    uint8_t mark;
    bool used_whole; /* someone reads all of it */
};

struct policy_unit {
    struct module *m;
    struct node *package;
    struct map globals; /* names to import or rule: struct global */
};

struct global {
    struct import *imp; /* NULL: a rule of the package */
    struct term *ref;
};

struct rego_policy {
    struct arena a;
    struct node *root;
    struct policy_unit *units;
    size_t n_units;
    uint32_t n_nodes;
    bool enable_print;
};

struct compiler {
    struct arena *a;
    struct rego_policy *p;
    const struct rego_compile_options *o;
    struct rego_errors *errors;
    struct policy_unit *unit; /* at work on */
    struct rule *rule;
    struct local *locals; /* of the rule at work */
    uint32_t n_locals;
    struct node *node; /* whose rule it is: edges of the graph start here */
    bool query;
    struct map query_globals;
};

/* tree.c */
struct node *node_child(const struct node *n, struct val key);
struct node *node_make(struct compiler *c, struct node *parent, struct val key);
void tree_add_rules(struct compiler *c);
struct str node_path(struct arena *a, const struct node *n); /* "data.a.b" */
struct val term_const(struct arena *a,
                      const struct term *t);  /* of ground, call-free terms; else undefined */
size_t ground_prefix(const struct term *ref); /* terms before the first that is not constant */
void tree_check_conflicts(struct compiler *c);
bool node_is_doc(const struct node *n); /* holds others, and defines nothing itself */
void node_add_use(struct compiler *c, struct node *from, struct node *to);
void tree_check_recursion(struct compiler *c);

/* resolve.c: names to documents and locals, in place. */
void resolve_globals(struct compiler *c, struct policy_unit *u);
void resolve_rule(struct compiler *c, struct rule *r);
void resolve_query(struct compiler *c, struct body *b);
struct local *new_local(struct compiler *c, struct str name, struct loc loc);
struct term *local_term(struct compiler *c, struct local *l, struct loc loc);

/* order.c: safety. */
struct varset {
    uint64_t *bits;
    size_t words;
};
bool order_rule(struct compiler *c, struct rule *r);
bool order_body(struct compiler *c, struct body *b, struct varset *safe);
struct varset varset_new(struct compiler *c);
static inline bool varset_has(const struct varset *s, uint32_t id)
{
    return id / 64 < s->words && (s->bits[id / 64] >> (id % 64) & 1) != 0;
}
void varset_add(struct varset *s, uint32_t id);

/* Calls. */
struct callee {
    const struct builtin *builtin;
    struct node *func;
    int arity;
};
/* What a T_CALL's operator names. False when nothing of that name exists. */
bool find_callee(struct compiler *c, const struct term *op, struct callee *out);

/* emit_*.c: code. */
struct code *emit_rule(struct compiler *c, struct rule *r, struct term **tail, size_t n_tail);
struct code *emit_query(struct compiler *c, struct body *b, struct local **vars, size_t n_vars,
                        bool capture);

void compile_error(struct compiler *c, const char *code, struct loc loc, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

#endif
