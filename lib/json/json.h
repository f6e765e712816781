/*
 * json: strict JSON (RFC 8259) to a tree and back.
 *
 * The parser takes UTF-8 only, refuses everything outside the grammar, keeps numbers as their exact
 * source text, and never recurses. It copies the text into the arena once and decodes in place:
 * every slice of the tree lives in the arena, none in the caller's text. Errors say what was found
 * and what would be right, with err_line() and err_col() (both count from 1; columns count bytes).
 *
 *     struct json *v;
 *     TRY(json_parse(arena, body, NULL, &v));
 *     struct str name = json_str(json_get(v, "name"));      empty when absent or not a string
 *
 * Trees are built in an arena with json_new_* and json_set/json_push; large answers on hot paths
 * are written without a tree by `struct jw`:
 *
 *     struct jw w;
 *     jw_init(&w, &out);
 *     jw_obj(&w), jw_key(&w, S("active")), jw_bool(&w, true), jw_end(&w);
 */
#ifndef SEXTANT_JSON_H
#define SEXTANT_JSON_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_member;

struct json {
    enum json_type type : 8;
    bool grown : 1;     /* private: items or members have room up to the next power of two */
    uint32_t n;         /* elements or members; 0 for scalars */
    unsigned line, col; /* where it stood, from 1; 0 when built */
    union {
        struct str text;             /* STRING: decoded; NUMBER: exact source text */
        struct json **items;         /* ARRAY */
        struct json_member *members; /* OBJECT, source order */
    };
};

struct json_member {
    struct str key;
    struct json *value;
    unsigned line, col; /* of the key */
};

/* Zero fields mean the defaults below. */
struct json_limits {
    size_t max_bytes;
    unsigned max_depth;            /* arrays and objects inside one another */
    size_t max_values;             /* of every type, the whole document */
    bool duplicate_keys_last_wins; /* the last value at the first one's place; else ERR_INVALID */
};

enum { JSON_MAX_BYTES = 64 << 20, JSON_MAX_DEPTH = 128, JSON_MAX_VALUES = 8 << 20 };

/*
 * The one value that `text` holds. ERR_SYNTAX; ERR_INVALID for a key twice in one object; ERR_LIMIT
 * for a limit or the arena's budget.
 */
struct err json_parse(struct arena *a, struct str text, const struct json_limits *limits,
                      struct json **out);

/* Reading. All take NULL for an absent value, and give "absent" for a wrong type. */
const struct json *json_get(const struct json *obj, const char *key);
const struct json *json_get_str(const struct json *obj, struct str key);
const struct json *json_path(const struct json *v, const char *a_dot_b);
struct str json_str(const struct json *v); /* STRING text, else empty */
bool json_is(const struct json *v, enum json_type t);
bool json_true(const struct json *v); /* exactly `true` */
/* Whole numbers written without fraction or exponent. ERR_INVALID for another type, ERR_RANGE. */
struct err json_u64(const struct json *v, uint64_t *out);
struct err json_i64(const struct json *v, int64_t *out);
const char *json_type_name(enum json_type t); /* "null", "boolean", "number", "string", … */

/* Building. Strings are not copied: they live in the same arena or longer. */
struct json *json_new_object(struct arena *a);
struct json *json_new_array(struct arena *a);
struct json *json_new_string(struct arena *a, struct str s);
struct json *json_new_int(struct arena *a, int64_t n);
struct json *json_new_bool(struct arena *a, bool b);
struct json *json_new_null(struct arena *a);
struct json *json_new_number_text(struct arena *a, struct str text); /* must be JSON's grammar */
/* Replaces the value of a key that is there, else appends. Linear in the number of members. */
void json_set(struct arena *a, struct json *obj, struct str key, struct json *value);
/* Appends without looking for the key: the caller knows that it is new. */
void json_add(struct arena *a, struct json *obj, struct str key, struct json *value);
bool json_remove(struct json *obj, struct str key); /* was it there? */
void json_push(struct arena *a, struct json *arr, struct json *value);
/* A deep copy in another arena. */
struct json *json_copy(struct arena *a, const struct json *v);
/* The first member whose key stood before it in the same object, or NULL when all are different. */
const struct json_member *json_duplicate(const struct json *obj);
/* Same type, same text of numbers, same members in any order. */
bool json_equal(const struct json *a, const struct json *b);

/* Writing. A full buffer shows in buf_ok(). Strings must be UTF-8; other bytes become U+FFFD. */
void json_write(struct buf *out, const struct json *v); /* compact, source order */
void json_write_pretty(struct buf *out, const struct json *v, int indent);
void json_write_string(struct buf *out, struct str s); /* one quoted, escaped string */
/* Members sorted by UTF-16 code units (RFC 8785 section 3.2.3), no blanks; numbers keep their text. */
void json_write_canonical(struct buf *out, const struct json *v);

/* Streaming writer: commas and brackets are kept by it, at most JW_MAX_DEPTH levels. */
enum { JW_MAX_DEPTH = 128 };

struct jw {
    struct buf *out;
    unsigned depth;
    bool comma;                         /* the next value or key needs one */
    uint64_t is_obj[JW_MAX_DEPTH / 64]; /* one bit a level */
};

void jw_init(struct jw *w, struct buf *out);
void jw_obj(struct jw *w);
void jw_arr(struct jw *w);
void jw_end(struct jw *w); /* closes the innermost object or array */
void jw_key(struct jw *w, struct str key);
void jw_str(struct jw *w, struct str s);
void jw_int(struct jw *w, int64_t n);
void jw_bool(struct jw *w, bool b);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct str json_text); /* one whole JSON value */
void jw_json(struct jw *w, const struct json *v);
/* Member shorthands. */
void jw_key_str(struct jw *w, struct str key, struct str s);
void jw_key_int(struct jw *w, struct str key, int64_t n);
void jw_key_bool(struct jw *w, struct str key, bool b);

#endif
