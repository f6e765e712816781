/* Reading, building, copying and comparing trees. */
#include "json.h"

#include "lib/base/map.h"

#include <inttypes.h>
#include <stdlib.h>

const struct json *json_get_str(const struct json *obj, struct str key)
{
    if (obj == NULL || obj->type != JSON_OBJECT) {
        return NULL;
    }
    for (uint32_t i = 0; i < obj->n; i++) {
        if (str_eq(obj->members[i].key, key)) {
            return obj->members[i].value;
        }
    }
    return NULL;
}

const struct json *json_get(const struct json *obj, const char *key)
{
    return json_get_str(obj, str_of(key));
}

const struct json *json_path(const struct json *v, const char *a_dot_b)
{
    for (struct str rest = str_of(a_dot_b); rest.p != NULL && v != NULL;) {
        v = json_get_str(v, str_split(&rest, '.'));
    }
    return v;
}

struct str json_str(const struct json *v)
{
    return json_is(v, JSON_STRING) ? v->text : STR_EMPTY;
}

bool json_is(const struct json *v, enum json_type t)
{
    return v != NULL && v->type == t;
}

bool json_true(const struct json *v)
{
    return json_is(v, JSON_TRUE);
}

const char *json_type_name(enum json_type t)
{
    static const char *const names[] = {"null",   "boolean", "boolean", "number",
                                        "string", "array",   "object"};
    return (unsigned)t < ARRAY_LEN(names) ? names[t] : "unknown";
}

static struct err whole_number(const struct json *v, bool *minus, uint64_t *size)
{
    ENSURE(v != NULL, ERR_INVALID, "a whole number is missing");
    if (v->type != JSON_NUMBER) {
        return err_make_at(ERR_INVALID, v->line, v->col, "expected a whole number, found %s %s",
                           v->type == JSON_ARRAY || v->type == JSON_OBJECT ? "an" : "a",
                           json_type_name(v->type));
    }
    *minus = v->text.n > 0 && v->text.p[0] == '-';
    struct err e = str_to_u64(str_sub(v->text, *minus, v->text.n), size);
    if (failed(e)) {
        return err_make_at((enum err_code)e.code, v->line, v->col,
                           "%.*s is not a whole number of 64 bits", (int)MIN(v->text.n, (size_t)60),
                           v->text.p);
    }
    return OK;
}

static struct err outside_64_bits(const struct json *v)
{
    return err_make_at(ERR_RANGE, v->line, v->col, "%.*s is out of range",
                       (int)MIN(v->text.n, (size_t)60), v->text.p);
}

struct err json_u64(const struct json *v, uint64_t *out)
{
    bool minus;
    uint64_t size;
    TRY(whole_number(v, &minus, &size));
    if (minus && size != 0) {
        return outside_64_bits(v);
    }
    *out = size;
    return OK;
}

struct err json_i64(const struct json *v, int64_t *out)
{
    bool minus;
    uint64_t size;
    TRY(whole_number(v, &minus, &size));
    if (size > (uint64_t)INT64_MAX + (minus ? 1 : 0)) {
        return outside_64_bits(v);
    }
    *out = (int64_t)(minus ? 0 - size : size);
    return OK;
}

static struct json *new_value(struct arena *a, enum json_type type)
{
    struct json *v = arena_new(a, struct json);
    v->type = type;
    return v;
}

struct json *json_new_object(struct arena *a)
{
    return new_value(a, JSON_OBJECT);
}

struct json *json_new_array(struct arena *a)
{
    return new_value(a, JSON_ARRAY);
}

struct json *json_new_null(struct arena *a)
{
    return new_value(a, JSON_NULL);
}

struct json *json_new_bool(struct arena *a, bool b)
{
    return new_value(a, b ? JSON_TRUE : JSON_FALSE);
}

struct json *json_new_string(struct arena *a, struct str s)
{
    struct json *v = new_value(a, JSON_STRING);
    v->text = s;
    return v;
}

struct json *json_new_number_text(struct arena *a, struct str text)
{
    struct json *v = new_value(a, JSON_NUMBER);
    v->text = text;
    return v;
}

struct json *json_new_int(struct arena *a, int64_t n)
{
    return json_new_number_text(a, arena_printf(a, "%" PRId64, n));
}

enum { FIRST_ROOM = 4 };

/*
 * Room for one more of `size` bytes. Arrays made here are as large as the power of two at or above
 * their count, so no capacity is stored; the parser's arrays are exact until they grow.
 */
static void *one_more(struct arena *a, struct json *v, void *old, size_t size)
{
    bool full = !v->grown || (v->n >= FIRST_ROOM && (v->n & (v->n - 1)) == 0);
    if (!full) {
        return old;
    }
    size_t room = FIRST_ROOM;
    while (room <= v->n) {
        room *= 2;
    }
    void *p = arena_calloc(a, room, size);
    if (v->n > 0) {
        memcpy(p, old, v->n * size);
    }
    v->grown = true;
    return p;
}

void json_add(struct arena *a, struct json *obj, struct str key, struct json *value)
{
    BUG_ON(obj->type != JSON_OBJECT);
    obj->members = one_more(a, obj, obj->members, sizeof(*obj->members));
    obj->members[obj->n++] = (struct json_member){.key = key, .value = value};
}

void json_set(struct arena *a, struct json *obj, struct str key, struct json *value)
{
    BUG_ON(obj->type != JSON_OBJECT);
    for (uint32_t i = 0; i < obj->n; i++) {
        if (str_eq(obj->members[i].key, key)) {
            obj->members[i].value = value;
            return;
        }
    }
    json_add(a, obj, key, value);
}

bool json_remove(struct json *obj, struct str key)
{
    BUG_ON(obj->type != JSON_OBJECT);
    for (uint32_t i = 0; i < obj->n; i++) {
        if (str_eq(obj->members[i].key, key)) {
            memmove(&obj->members[i], &obj->members[i + 1],
                    (obj->n - i - 1) * sizeof(*obj->members));
            obj->n--;
            obj->grown = false; /* its room no longer follows from its count */
            return true;
        }
    }
    return false;
}

void json_push(struct arena *a, struct json *arr, struct json *value)
{
    BUG_ON(arr->type != JSON_ARRAY);
    arr->items = one_more(a, arr, (void *)arr->items, sizeof(*arr->items));
    arr->items[arr->n++] = value;
}

static const struct json_member *duplicate_linear(const struct json *obj)
{
    for (uint32_t i = 1; i < obj->n; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (str_eq(obj->members[i].key, obj->members[j].key)) {
                return &obj->members[i];
            }
        }
    }
    return NULL;
}

enum { LINEAR_KEYS = 12 };

const struct json_member *json_duplicate(const struct json *obj)
{
    if (obj->n <= LINEAR_KEYS) {
        return duplicate_linear(obj);
    }
    struct map seen;
    const struct json_member *found = NULL;
    map_init(&seen);
    for (uint32_t i = 0; i < obj->n && found == NULL; i++) {
        found =
            map_set(&seen, obj->members[i].key, &obj->members[i]) != NULL ? &obj->members[i] : NULL;
    }
    map_release(&seen);
    return found;
}

/* Work still to do on two values, kept on a heap stack so that depth costs no C stack. */
struct pair {
    const struct json *from;
    struct json *to;
};

struct pair_stack {
    struct pair *at;
    size_t n, cap;
};

static void push_pair(struct pair_stack *s, const struct json *from, struct json *to)
{
    if (s->n == s->cap) {
        s->cap = MAX(s->cap * 2, (size_t)32);
        s->at = reallocarray(s->at, s->cap, sizeof(*s->at));
        if (s->at == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
    }
    s->at[s->n++] = (struct pair){from, to};
}

static void copy_children(struct arena *a, struct pair_stack *s, const struct json *from,
                          struct json *to)
{
    to->grown = false;
    if (from->type == JSON_ARRAY) {
        to->items = arena_array(a, struct json *, from->n);
        for (uint32_t i = 0; i < from->n; i++) {
            to->items[i] = arena_new(a, struct json);
            push_pair(s, from->items[i], to->items[i]);
        }
    } else if (from->type == JSON_OBJECT) {
        to->members = arena_array(a, struct json_member, from->n);
        for (uint32_t i = 0; i < from->n; i++) {
            to->members[i] = from->members[i];
            to->members[i].key = arena_str(a, from->members[i].key);
            to->members[i].value = arena_new(a, struct json);
            push_pair(s, from->members[i].value, to->members[i].value);
        }
    } else {
        to->text = arena_str(a, from->text);
    }
}

struct json *json_copy(struct arena *a, const struct json *v)
{
    struct pair_stack s = {0};
    struct json *root = arena_new(a, struct json);
    push_pair(&s, v, root);
    while (s.n > 0) {
        struct pair p = s.at[--s.n];
        *p.to = *p.from;
        copy_children(a, &s, p.from, p.to);
    }
    free(s.at);
    return root;
}

/* Compares one level and leaves the children for later. Members of `to` are only read. */
static bool equal_level(struct pair_stack *s, const struct json *a, struct json *b)
{
    if (a->type != b->type || a->n != b->n) {
        return false;
    }
    if (a->type == JSON_ARRAY) {
        for (uint32_t i = 0; i < a->n; i++) {
            push_pair(s, a->items[i], b->items[i]);
        }
        return true;
    }
    if (a->type != JSON_OBJECT) {
        return (a->type != JSON_STRING && a->type != JSON_NUMBER) || str_eq(a->text, b->text);
    }
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t j = 0;
        while (j < b->n && !str_eq(a->members[i].key, b->members[j].key)) {
            j++;
        }
        if (j == b->n) {
            return false;
        }
        push_pair(s, a->members[i].value, b->members[j].value);
    }
    return true;
}

bool json_equal(const struct json *a, const struct json *b)
{
    struct pair_stack s = {0};
    bool equal = true;
    push_pair(&s, a, (struct json *)(uintptr_t)b);
    while (equal && s.n > 0) {
        struct pair p = s.at[--s.n];
        equal = equal_level(&s, p.from, p.to);
    }
    free(s.at);
    return equal;
}
