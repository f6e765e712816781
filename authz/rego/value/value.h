/*
 * value: what Rego computes with, as one machine word.
 *
 * A `struct val` is undefined, null, a boolean, a small integer, or a pointer to something immutable
 * in an arena: a string, a number, an array, an object or a set. Objects and sets are sorted in
 * Rego's total order, so that iteration and output follow it without further work; larger ones carry
 * a hash index behind their members. Values are never changed after they were made, and live as long as
 * their arena; a value may point into an arena that outlives its own (a policy's constants, the
 * data), never the other way round.
 *
 * Containers are made through a builder (struct vlist), which sorts and drops duplicates once.
 */
#ifndef SEXTANT_REGO_VALUE_H
#define SEXTANT_REGO_VALUE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/num/num.h"

/* In the order in which Rego compares values of different types. */
enum vtype { V_UNDEF, V_NULL, V_BOOL, V_NUMBER, V_STRING, V_ARRAY, V_OBJECT, V_SET, V_DOC, V_LIST };

struct val {
    uint64_t w; /* tag in the two low bits: 0 pointer, 1 small integer, 2 immediate */
};

#define VAL_UNDEF ((struct val){2})
#define VAL_NULL ((struct val){6})
#define VAL_FALSE ((struct val){10})
#define VAL_TRUE ((struct val){14})

struct vhead {
    uint8_t type;   /* enum vtype */
    uint8_t flags;  /* VF_... */
    uint16_t depth; /* nesting below this value, at least 1 for containers */
    uint32_t n;     /* bytes, elements or members */
};

/* A table has an index, since all its keys are scalars and there are many. */
enum { VF_INDEX = 1 };

/*
 * h.n bytes, a NUL, and zeros up to a multiple of 8: strings are compared by whole words. Only
 * val_str_room and val_str_done make them.
 */
struct vstr {
    struct vhead h;
    char p[];
};

/* Never one that fits a small integer. h.n bytes of text, as it was written; h.flags: its kind. */
struct vnum {
    struct vhead h;
    char text[];
};

struct varr {
    struct vhead h;
    struct val v[];
};

/*
 * Objects: 2n words, key and value by turns. Sets: n words. With VF_INDEX a table of 32-bit slots
 * follows, each a position + 1 or 0.
 */
struct vtab {
    struct vhead h;
    struct val v[];
};

enum { VAL_DEPTH_MAX = 2000, VAL_INDEX_FROM = 12 };

static inline bool val_is_ptr(struct val v)
{
    return (v.w & 3) == 0;
}
static inline bool val_is_small(struct val v)
{
    return (v.w & 3) == 1;
}
static inline bool val_same(struct val a, struct val b)
{
    return a.w == b.w;
}
static inline bool val_undef(struct val v)
{
    return v.w == 2;
}
static inline int64_t val_small(struct val v)
{
    return (int64_t)v.w >> 2;
}
static inline struct vhead *val_head(struct val v)
{
    return (struct vhead *)(uintptr_t)v.w;
}
static inline struct val val_of(const void *p)
{
    return (struct val){(uint64_t)(uintptr_t)p};
}
static inline struct val val_bool(bool b)
{
    return b ? VAL_TRUE : VAL_FALSE;
}

static inline enum vtype val_type(struct val v)
{
    if (val_is_ptr(v)) {
        return (enum vtype)val_head(v)->type;
    }
    if (val_is_small(v)) {
        return V_NUMBER;
    }
    return v.w == 2 ? V_UNDEF : v.w == 6 ? V_NULL : V_BOOL;
}

static inline bool val_is(struct val v, enum vtype t)
{
    return val_type(v) == t;
}
static inline bool val_is_true(struct val v)
{
    return v.w == VAL_TRUE.w;
}
static inline bool val_is_false(struct val v)
{
    return v.w == VAL_FALSE.w;
}
static inline struct varr *val_arr(struct val v)
{
    return (struct varr *)(uintptr_t)v.w;
}
static inline struct vtab *val_tab(struct val v)
{
    return (struct vtab *)(uintptr_t)v.w;
}
static inline struct str val_text(struct val v)
{
    const struct vstr *s = (const struct vstr *)(uintptr_t)v.w;
    return (struct str){s->p, s->h.n};
}
/* Elements of an array or set, members of an object, bytes of a string. */
static inline uint32_t val_len(struct val v)
{
    return val_head(v)->n;
}

/* Making values. */
struct val val_int(struct arena *a, int64_t i);
struct val val_num(struct arena *a, struct num n); /* a copy */
struct val val_str(struct arena *a, struct str s); /* a copy */
/* Room for `n` bytes to be filled before val_str_done seals it. */
struct vstr *val_str_room(struct arena *a, size_t n);
struct val val_str_done(struct vstr *s);
struct num val_number(struct val v);   /* of a V_NUMBER; its text lives as long as the value */
struct str val_num_text(struct val v); /* of a V_NUMBER that is no small integer */

struct val val_array(struct arena *a, const struct val *items, size_t n); /* copies the words */
struct val val_object2(struct arena *a, const struct val *pairs,
                       size_t n); /* any order; later wins */
struct val val_set(struct arena *a, const struct val *items,
                   size_t n); /* any order, duplicates fine */
struct val val_empty_object(void);
struct val val_empty_array(void);
struct val val_empty_set(void);

/* A growing list of words. */
struct vlist {
    struct arena *a;
    struct val *v;
    size_t n, cap;
};
void vlist_grow(struct vlist *l);
static inline void vlist_add(struct vlist *l, struct val v)
{
    if (l->n == l->cap) {
        vlist_grow(l);
    }
    l->v[l->n++] = v;
}
static inline void vlist_add2(struct vlist *l, struct val k, struct val v)
{
    vlist_add(l, k);
    vlist_add(l, v);
}
static inline void vlist_put(struct vlist *l, const char *key, struct val v)
{
    vlist_add2(l, val_str(l->a, str_of(key)), v);
}
struct val vlist_array(const struct vlist *l);
struct val vlist_set(struct vlist *l);
struct val vlist_object(struct vlist *l); /* a later value for an equal key wins */
/* As vlist_object, but unequal values of one key fail: false, and *clash is the key. */
bool vlist_object_strict(struct vlist *l, struct val *out, struct val *clash);

/* Reading. */
static inline uint64_t str_word(const struct vhead *h, size_t i)
{
    uint64_t w;
    memcpy(&w, ((const struct vstr *)h)->p + 8 * i, 8);
    return w;
}

/* Is `h` the same string as `key`, which is one? Both are padded with zeros: whole words tell. */
static inline bool str_same(const struct vhead *h, const struct vhead *key)
{
    if (h == key) {
        return true;
    }
    if (h->n != key->n || h->type != V_STRING || str_word(h, 0) != str_word(key, 0)) {
        return false;
    }
    for (size_t i = 1; 8 * i <= h->n; i++) {
        if (str_word(h, i) != str_word(key, i)) {
            return false;
        }
    }
    return true;
}

bool val_eq(struct val a, struct val b);
/* The same, with the usual cases at hand: for the evaluator's loop. */
static inline bool val_equal(struct val a, struct val b)
{
    if (a.w == b.w) {
        return true;
    }
    if (val_is_ptr(a) && val_is_ptr(b) && val_head(b)->type == V_STRING) {
        return str_same(val_head(a), val_head(b));
    }
    return val_is_small(a) && val_is_small(b) ? false : val_eq(a, b);
}
int val_cmp(struct val a, struct val b); /* Rego's total order */
uint64_t val_hash(struct val v);
/* As val_hash, but looks at little of a container: for tables whose keys the caller compares anyway. */
uint64_t val_hash_quick(struct val v);
struct val val_get(struct val obj, struct val key); /* object member, or VAL_UNDEF */
struct val val_get_str(struct val obj, const char *key);
bool val_has(struct val set, struct val item);
/* Rego's indexing of anything by anything: array by integer, object by key, set by member. */
struct val val_index(struct val v, struct val key);
/* As val_index; quicker where `v` is a small object. `key` is a string. */
static inline struct val val_field(struct val v, struct val key)
{
    if (!val_is_ptr(v) || val_head(v)->type != V_OBJECT || val_head(v)->n >= VAL_INDEX_FROM) {
        return val_index(v, key);
    }
    const struct vtab *t = val_tab(v);
    for (uint32_t i = 0; i < t->h.n; i++) {
        struct val k = t->v[2 * (size_t)i];
        if (val_is_ptr(k) && str_same(val_head(k), val_head(key))) {
            return t->v[2 * (size_t)i + 1];
        }
    }
    return VAL_UNDEF;
}
static inline struct val val_member(struct val v, struct val key) /* of any type */
{
    return val_is_ptr(key) && val_head(key)->type == V_STRING ? val_field(v, key)
                                                              : val_index(v, key);
}
/* The nth thing of an array, object or set, as an iteration meets it. */
static inline struct val val_nth_key(struct arena *a, struct val v, uint32_t i)
{
    switch (val_head(v)->type) {
    case V_ARRAY:
        return val_int(a, i);
    case V_OBJECT:
        return val_tab(v)->v[2 * (size_t)i];
    default:
        return val_tab(v)->v[i];
    }
}
static inline struct val val_nth(struct val v, uint32_t i)
{
    switch (val_head(v)->type) {
    case V_ARRAY:
        return val_arr(v)->v[i];
    case V_OBJECT:
        return val_tab(v)->v[2 * (size_t)i + 1];
    default:
        return val_tab(v)->v[i];
    }
}
static inline bool val_is_collection(struct val v)
{
    enum vtype t = val_type(v);
    return t == V_ARRAY || t == V_OBJECT || t == V_SET;
}
bool val_to_i64(struct val v, int64_t *out); /* a whole number in range */
const char *val_type_name(struct val v);

/* A copy of `obj` with `key` set; deep merge of two objects in which `b` wins below. */
struct val val_with(struct arena *a, struct val obj, struct val key, struct val v);
struct val val_without(struct arena *a, struct val obj, struct val key); /* a copy without `key` */
struct val val_merge(struct arena *a, struct val x, struct val y, bool *clash);
struct val val_copy(struct arena *a, struct val v); /* deep, into another arena */
/* The same for base data: what is equal is copied once. */
struct val val_copy_shared(struct arena *a, struct val v);

/* JSON (RFC 8259). Object keys: the last of two equal ones wins. ERR_SYNTAX with line and column. */
struct err val_from_json(struct arena *a, struct str text, struct val *out);
/* The same for base data, which is large, lives long, and repeats itself: what is equal is made once. */
struct err val_from_json_shared(struct arena *a, struct str text, struct val *out);
/*
 * The same, for text in private pages of its own (mmap) that nobody needs any more: what was read is given back to
 * the system on the way, so that text and values never stand in memory together.
 */
struct err val_from_json_used_up(struct arena *a, struct str text, struct val *out);
/*
 * JSON out: sets become arrays, object keys that are not strings become their own JSON text.
 * `html` escapes < > & as the encoder of Go does.
 */
void val_to_json(struct buf *out, struct val v, bool html);
void val_to_json_pretty(struct buf *out, struct val v, const char *indent, bool html);
void val_json_string(struct buf *out, struct str s, bool html);
/* Rego's own notation, as sprintf("%v") prints it. */
void val_to_rego(struct buf *out, struct val v);
struct str val_rego_text(struct arena *a, struct val v);

#endif
