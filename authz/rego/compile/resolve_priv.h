/* resolve_priv: scopes of names, shared by the files that resolve them. */
#ifndef SEXTANT_REGO_RESOLVE_PRIV_H
#define SEXTANT_REGO_RESOLVE_PRIV_H

#include "authz/rego/compile/compile_priv.h"

struct names {
    struct str *v;
    size_t n, cap;
};

struct binding {
    struct str name;
    struct local *local;
    bool declared;
    struct binding *next;
};

struct scope {
    struct scope *up;
    struct binding *bindings;
    struct names will;    /* declared somewhere in this body */
    struct names direct;  /* undeclared, and outside of closures */
    struct loc at;        /* the expression of this body that is at work */
    bool arguments;       /* it holds a rule's parameters */
    const char *implicit; /* an operand without braces: nothing may be assigned here */
};

/* Tells of variables that were declared in this body and are not used; at the end of the body. */
void check_unused(struct compiler *c, const struct scope *s);
void names_add(struct compiler *c, struct names *s, struct str name);
bool names_has(const struct names *s, struct str name);
struct binding *scope_find(struct scope *s, struct str name);
struct global *find_global(struct compiler *c, struct str name);
void scope_prepare(struct compiler *c, struct scope *s, const struct body *b);
void names_in_pattern(struct compiler *c, struct scope *s, const struct term *t); /* to s->will */
void direct_in_term(struct compiler *c, struct scope *s, const struct term *t);
struct local *declare(struct compiler *c, struct scope *s, struct term *t, const char *verb);
void resolve_term(struct compiler *c, struct scope *s, struct term *t);
void resolve_body(struct compiler *c, struct scope *s, struct body *b);
void resolve_expr(struct compiler *c, struct scope *s, struct expr *e);

#endif
