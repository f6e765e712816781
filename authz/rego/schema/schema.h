/*
 * schema: JSON Schema, drafts 4, 6 and 7, compiled once and matched many times.
 *
 *     struct schema *s;
 *     struct str why;
 *     if (!schema_compile(arena, document, SCHEMA_PATTERNS, &s, &why)) … why
 *     struct schema_result r;
 *     if (!schema_match(arena, s, value, &r)) … r.why: too deep or too much work
 *     if (r.n == 0) … it matches
 *
 * A document is an object, or from draft 6 on a boolean. Its draft is that of "$schema"; without one
 * the words of all drafts are understood together. References reach what is in the document itself, by
 * pointer or by "$id", and the schemas of the drafts: nothing is ever fetched, "remote reference loading disabled" says so. Texts of
 * failures are those of the library behind OPA, and so are its peculiarities (a reference makes the
 * words beside it count for nothing; formats that are not known always match).
 *
 * The compiled form is open to read: the type checker takes types out of it. It may have cycles.
 */
#ifndef SEXTANT_REGO_SCHEMA_H
#define SEXTANT_REGO_SCHEMA_H

#include "authz/rego/value/value.h"

enum {
    SCHEMA_DEPTH_MAX = 500,             /* schemas inside of schemas, references followed */
    SCHEMA_WORK_MAX = 20 * 1000 * 1000, /* schemas compared with values, and the like */
};

/* The types a value may have, in the order in which error texts list them. */
enum schema_type {
    SCHEMA_ARRAY,
    SCHEMA_BOOLEAN,
    SCHEMA_INTEGER,
    SCHEMA_NUMBER,
    SCHEMA_NULL,
    SCHEMA_OBJECT,
    SCHEMA_STRING,
    SCHEMA_TYPES,
};

enum schema_draft { SCHEMA_DRAFT4 = 4, SCHEMA_DRAFT6 = 6, SCHEMA_DRAFT7 = 7, SCHEMA_HYBRID = 99 };

struct schema_list {
    struct schema **v;
    size_t n, cap;
};

struct schema_strs {
    struct str *v;
    size_t n, cap;
};

/* What an object needs when it has the member `name`: other members, or to match a schema. */
struct schema_dependency {
    struct str name;
    struct schema_strs members;
    struct schema *schema; /* NULL: `members` count */
};

struct schema {
    struct str name;             /* of the property, or the word that holds this schema */
    const struct schema *parent; /* NULL at the root */
    enum schema_draft draft;
    bool is_bool, pass;          /* `true` and `false` as schemas */
    struct schema *ref;          /* counts alone when it is set */
    uint8_t types[SCHEMA_TYPES]; /* enum schema_type as written, n_types of them; none: any */
    size_t n_types;

    struct schema_list items; /* one for each place, or one for all */
    bool one_for_all;
    bool no_more_items;        /* "additionalItems": false */
    struct schema *more_items; /* … or a schema */
    struct schema *contains;
    bool unique;

    struct schema_list properties; /* in the order of their names */
    struct schema_list patterns;   /* their names are expressions */
    bool no_more_properties;
    struct schema *more_properties, *property_names;
    struct schema_strs required;
    struct schema_dependency *dependencies;
    size_t n_dependencies;

    /* Bounds: VAL_UNDEF where there is none. */
    struct val multiple_of, minimum, maximum, above, below;
    int64_t min_length, max_length, min_items, max_items, min_properties, max_properties; /* -1 */
    struct str pattern, format;
    bool has_pattern;

    bool has_const, has_enum;
    struct str constant;       /* as JSON, numbers as float64 */
    struct schema_strs values; /* of "enum", the same way */

    struct schema_list any_of, all_of, one_of;
    struct schema *not_, *if_, *then, *otherwise;
};

enum { SCHEMA_PATTERNS = 1 }; /* "pattern" must compile and is matched; else it is left alone */

bool schema_compile(struct arena *a, struct val document, unsigned flags, struct schema **out,
                    struct str *why);

struct schema_error {
    const char *type;       /* "invalid_type" */
    struct str field, text; /* "(Root)" or "a.b.0"; "Invalid type. Expected: …" */
};

struct schema_result {
    struct schema_error *v;
    size_t n, cap;
    int64_t score; /* how near a value came, to choose between alternatives */
    struct str why;
    uint64_t work;
};

/* False: the value or the schema goes on for too long, `out->why` says so. */
bool schema_match(struct arena *a, const struct schema *s, struct val v, struct schema_result *out);

/* format.c: does the text have the format? Names that are not known match everything. */
bool schema_format_ok(struct arena *a, struct str format, struct str text);
/* text.c: JSON with sorted keys and numbers as float64. False: a number is out of range. */
bool schema_plain_text(struct arena *a, struct val v, struct str *out, struct str *why);
/* A bound as error texts show it: shortest, with an exponent from 1e+06 on. */
struct str schema_bound_text(struct arena *a, struct val number);
/* Is `v` a whole multiple of `unit`, exactly? */
bool schema_is_multiple(struct arena *a, struct val v, struct val unit);
/* Sets are arrays and keys are strings in what schemas see. */
struct val schema_plain(struct arena *a, struct val v);

#endif
