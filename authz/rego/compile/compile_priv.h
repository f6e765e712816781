/* compile_priv: what the compiler's stages share: the rule tree, locals, and code. */
#ifndef SEXTANT_REGO_COMPILE_PRIV_H
#define SEXTANT_REGO_COMPILE_PRIV_H

#include "authz/rego/builtin/builtin.h"
#include "authz/rego/capabilities.h"
#include "authz/rego/engine.h"
#include "lib/base/map.h"

/* A variable of one rule after renaming: a register of the rule's frame. */
struct local {
    struct str name;
    struct loc loc;
    uint32_t reg, id;                                                /* id counts inside the rule */
    bool declared, arg, used, generated, assigned, wildcard, member; /* of `some … in …` */
    struct loc declared_at; /* the expression that declares it */
    bool top;               /* of a query: stands outside of closures */
    bool is_constant;       /* bound to one value, known when compiled */
    struct val constant;
    bool bound;                 /* while code is generated or bodies are ordered */
    const struct term *subject; /* of one made up: what it stands for, for error texts */
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
    bool always;   /* … and the body is `true`, without arguments to match */
    struct val value;
    struct node *node;
    struct policy_unit *unit;
    struct term *test_case; /* of a test with cases: what names them; see test_cases.h */
    struct local *locals;   /* of this rule, while it is compiled */
    uint32_t n_locals;
    uint32_t id; /* counts all rules and else branches */
    bool asks_chain, asks_rule;
    struct term *chain, *own; /* what rego.metadata.chain() and rule() are in it */
    struct val labels;        /* of its annotations, merged; VAL_UNDEF or zero: none */
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
    bool cheap;             /* a function that is quicker to run again than to look up */
    struct index *index, *set_index, *dynamic_index; /* over these, or NULL: see index.h */
    struct rule *first;
    struct annotation *of_package, *of_path; /* of this package; of a document or subpackages */
    struct crule **all;                      /* every rule that stands here, in order */
    size_t n_all, cap_all;
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
    struct type_tree *input_types, *rule_types; /* what queries are checked against */
    bool enable_print, asks;                    /* asks: see rego_policy_asks */
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
    struct node *node;               /* whose rule it is: edges of the graph start here */
    const struct capabilities *caps; /* NULL: everything */
    struct crule *crule;             /* whose rule it is */
    bool has_labels;
    bool strict;
    enum rego_version version;   /* of a query */
    const struct body *captured; /* of a query: its expressions give their values */
    size_t rule_errors;          /* how many there were before the rule at work */
    bool unused_told;            /* of an inner body of it */
    bool query;
    const char *const *unsafe_builtins; /* ends with NULL; NULL: none */
    bool asks;                          /* something calls a builtin that asks the world */
    struct map query_globals;
    struct crule **rules; /* all, in the order of modules; else branches hang below */
    size_t n_rules, cap_rules;
    uint32_t n_crules;
    int max_errors; /* at most so many are told; 0: all */
    size_t n_errors, errors_before;
    struct loc at; /* the expression whose closures are at work */
    struct unsafe_var *unsafe;
    size_t n_unsafe, cap_unsafe;
    struct arena scratch; /* lives as long as the compilation */
    struct graph *graph;
    bool enough; /* of errors */
    bool stop;   /* an error after which later stages would only tell nonsense */
};

/* tree.c */
struct node *node_child(const struct node *n, struct val key);
struct node *node_make(struct compiler *c, struct node *parent, struct val key);
void tree_add_rules(struct compiler *c);
struct str node_path(struct arena *a, const struct node *n); /* "data.a.b" */
struct val term_const(struct arena *a,
                      const struct term *t); /* of ground, call-free terms; else undefined */
struct term *term_of_val(struct arena *a, struct val v, struct loc loc);
size_t ground_prefix(const struct term *ref); /* terms before the first that is not constant */
void tree_check_conflicts(struct compiler *c);
void tree_check_data(struct compiler *c);                    /* tree_data.c */
struct str rule_path(struct arena *a, const struct rule *r); /* its reference from data on */
bool node_is_doc(const struct node *n); /* holds others, and defines nothing itself */

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
void order_check_head(struct compiler *c, struct crule *cr);
void order_report(struct compiler *c); /* what order_body found, once all is ordered */
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

/*
 * report.c. An error ends the work at the end of the stage; a note lets later stages look for more.
 * Both keep the modules from being used.
 */
void compile_error(struct compiler *c, const char *code, struct loc loc, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void compile_error_in(struct compiler *c, struct str file, const char *code, struct loc loc,
                      const char *fmt, ...) PRINTF_LIKE(5, 6);
void compile_note(struct compiler *c, const char *code, struct loc loc, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void compile_detailed(struct compiler *c, bool stop, const struct rego_error *error); /* copied */
struct str compile_file(const struct compiler *c); /* of the module at work on */
void compile_sort_errors(struct compiler *c, size_t from);

/* Makes `cr` the rule at work on. */
void compile_enter(struct compiler *c, struct crule *cr);
void compile_leave(struct compiler *c, struct crule *cr);
/* Calls `fn` for every rule, else branches behind theirs. */
void compile_each(struct compiler *c, void (*fn)(struct compiler *c, struct crule *cr));

/* check_names.c: what names mean where they must not. */
void check_argument_names(struct compiler *c, struct crule *cr);
void check_imports(struct compiler *c);
void check_unused_imports(struct compiler *c);
void check_unused_arguments(struct compiler *c); /* resolve_unused.c */
void check_root_names(struct compiler *c);
void check_deprecated(struct compiler *c);
void check_root_names_of_query(struct compiler *c, struct body *b);
void check_deprecated_in_query(struct compiler *c, struct body *b);

/* check_calls.c */
void check_void_calls(struct compiler *c, struct crule *cr);
void check_prints(struct compiler *c, struct crule *cr);
void check_calls_of_query(struct compiler *c, struct body *b); /* the two above */
void check_functions(struct compiler *c, struct crule *cr);
void check_functions_of_body(struct compiler *c, struct body *b);

/* features.c: what of the language the capabilities leave out. */
void check_features(struct compiler *c);

/* metadata.c: annotations; calls that read them become constants before code is made. */
void metadata_prepare(struct compiler *c);
void metadata_replace(struct compiler *c, struct crule *cr);

/* graph.c: who depends on whom; circles are errors. */
void graph_check(struct compiler *c);

/* types/check.c */
void types_check(struct compiler *c);

/* check_with.c */
void check_withs(struct compiler *c, struct crule *cr);
void check_withs_of_body(struct compiler *c, struct body *b);

#endif
