/*
 * type: what is known about a value before it is computed.
 *
 * A type is immutable and lives in an arena; NULL is "not known yet", which is not the same as any.
 * Scalars and any are constants of this module. Arrays have leading items of their own types and a
 * type for all that follow; objects have known properties and a type for all others.
 *
 *     const struct type *t = type_or(a, type_string(), type_set(a, type_number()));
 *     type_write(&out, t);                              any<string, set[number]>
 *
 * Recursion goes as deep as a type is nested, which is bounded by TYPE_DEPTH_MAX: what lies deeper
 * is any. https://www.openpolicyagent.org/docs/policy-language section "Schema" tells the idea.
 */
#ifndef SEXTANT_REGO_TYPE_H
#define SEXTANT_REGO_TYPE_H

#include "authz/rego/value/value.h"

enum type_kind {
    TY_NULL,
    TY_BOOL,
    TY_NUMBER,
    TY_STRING,
    TY_ARRAY,
    TY_OBJECT,
    TY_SET,
    TY_ANY,
    TY_FUNC,
    TY_RECURSIVE,
};

enum { TYPE_DEPTH_MAX = 200 };

struct type_prop {
    struct val key;
    const struct type *value;
};

struct type_list {
    const struct type **v;
    size_t n;
};

/* Names of a function's parameters and result, for error texts; empty where there are none. */
struct type_names {
    struct str *args, result;
};

struct type {
    enum type_kind kind;
    uint16_t depth;
    bool unknown; /* a part of it is not known yet */
    union {
        struct {
            struct type_list items;
            const struct type *rest; /* NULL: nothing follows */
        } array;
        struct {
            struct type_prop *props; /* sorted by key */
            size_t n;
            const struct type *key, *value; /* of other members */
            bool open;                      /* there may be others */
        } object;
        const struct type *of; /* of a set; NULL: the empty set */
        struct type_list any;  /* sorted; none: any value at all */
        struct {
            struct type_list args;
            const struct type *result; /* NULL: none */
            const struct type *variadic;
            struct type_names names;
        } func;
        struct {
            struct str name;
            const struct type *target; /* set once the definition is known */
        } recursive;
    };
};

const struct type *type_null(void);
const struct type *type_bool(void);
const struct type *type_number(void);
const struct type *type_string(void);
const struct type *type_any(void);

/* Constructors. Lists are kept, not copied; props are sorted in place, a later equal key is kept too. */
const struct type *type_array(struct arena *a, struct type_list items, const struct type *rest);
const struct type *type_set(struct arena *a, const struct type *of);
const struct type *type_object(struct arena *a, struct type_prop *props, size_t n);
const struct type *type_open_object(struct arena *a, struct type_prop *props, size_t n,
                                    const struct type *key, const struct type *value);
const struct type *type_union(struct arena *a, struct type_list of); /* sorts */
const struct type *type_func(struct arena *a, struct type_list args, const struct type *result);

/* A recursive type stands for its target, which is set when its definition was read. */
struct type *type_recursive(struct arena *a, struct str name);
const struct type *type_plain(const struct type *t);

int type_cmp(const struct type *x, const struct type *y);
/* Is every value of `y` one of `x`, as far as equality of types can tell? */
bool type_contains(const struct type *x, const struct type *y);
/* The type of values of either; NULL if one is a function and the other is not. */
const struct type *type_or(struct arena *a, const struct type *x, const struct type *y);
const struct type *type_of_value(struct arena *a, struct val v);
/* What `t[key]` is, the types of all keys, of all values; NULL if there is no such thing. */
const struct type *type_select(struct arena *a, const struct type *t, struct val key);
const struct type *type_keys(struct arena *a, const struct type *t);
const struct type *type_values(struct arena *a, const struct type *t);
bool type_is_empty(const struct type *t); /* of collections that hold nothing at all */

/* Is it, or a part of it, not known yet? So is the element of an empty set. */
static inline bool type_unknown(const struct type *t)
{
    return t == NULL || t->unknown;
}

static inline bool type_is(const struct type *t, enum type_kind kind)
{
    return t != NULL && t->kind == kind;
}
static inline bool type_is_any(const struct type *t)
{
    return type_is(t, TY_ANY) && t->any.n == 0;
}

/* Text. "???" for NULL. */
void type_write(struct buf *out, const struct type *t);
struct str type_text(struct arena *a, const struct type *t);
/* Short forms for error texts: parts that do not matter become "...". */
struct str type_short(struct arena *a, const struct type *t);
struct str type_cut(struct arena *a, const struct type *t, int depth); /* so many levels of it */
void type_difference(struct arena *a, const struct type *x, const struct type *y, struct str *left,
                     struct str *right);
void type_key_write(struct buf *out, struct val key);

#endif
