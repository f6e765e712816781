/* Reading the notation of signatures. */
#include "authz/rego/types/signature.h"

struct reader {
    struct arena *a;
    struct str s;
    size_t at, depth;
    bool bad;
};

static bool take(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if (r->s.n - r->at < n || memcmp(r->s.p + r->at, word, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

static void need(struct reader *r, const char *word)
{
    r->bad |= !take(r, word);
}

static const struct type *read_type(struct reader *r);

struct growing {
    const struct type **v;
    size_t n, cap;
};

static void push(struct reader *r, struct growing *g, const struct type *t)
{
    g->v = arena_grow(r->a, g->v, g->n, g->n + 1, &g->cap, sizeof *g->v);
    g->v[g->n++] = t;
}

static const struct type *read_array(struct reader *r)
{
    struct growing items = {0};
    const struct type *rest = NULL;
    if (take(r, "<")) {
        do {
            push(r, &items, read_type(r));
        } while (!r->bad && take(r, ", "));
        need(r, ">");
    }
    if (take(r, "[")) {
        rest = read_type(r);
        need(r, "]");
    }
    return type_array(r->a, (struct type_list){items.v, items.n}, rest);
}

static struct str read_word(struct reader *r)
{
    size_t from = r->at;
    while (r->at < r->s.n && memchr(":,|<>[]. ", r->s.p[r->at], 9) == NULL) {
        r->at++;
    }
    return str_sub(r->s, from, r->at);
}

static const struct type *read_object(struct reader *r)
{
    struct type_prop *props = NULL;
    size_t n = 0, cap = 0;
    if (take(r, "<")) {
        do {
            props = arena_grow(r->a, props, n, n + 1, &cap, sizeof *props);
            props[n].key = val_str(r->a, read_word(r));
            need(r, ": ");
            props[n++].value = read_type(r);
        } while (!r->bad && take(r, ", "));
        need(r, ">");
    }
    if (!take(r, "[")) {
        return type_object(r->a, props, n);
    }
    const struct type *key = read_type(r);
    need(r, ": ");
    const struct type *value = read_type(r);
    need(r, "]");
    return type_open_object(r->a, props, n, key, value);
}

/* any<…>: a union that is written as one even of a single member. */
static const struct type *read_any(struct reader *r)
{
    struct growing of = {0};
    do {
        push(r, &of, read_type(r));
    } while (!r->bad && take(r, ", "));
    need(r, ">");
    return type_union(r->a, (struct type_list){of.v, of.n});
}

static const struct type *read_one(struct reader *r)
{
    if (take(r, "any<")) {
        return read_any(r);
    }
    static const struct {
        const char *name;
        const struct type *(*make)(void);
    } plain[] = {{"null", type_null},
                 {"boolean", type_bool},
                 {"number", type_number},
                 {"string", type_string},
                 {"any", type_any}};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (take(r, plain[i].name)) {
            return plain[i].make();
        }
    }
    if (take(r, "array")) {
        return read_array(r);
    }
    if (take(r, "object")) {
        return read_object(r);
    }
    need(r, "set");
    const struct type *of = NULL;
    if (take(r, "[")) {
        of = read_type(r);
        need(r, "]");
    }
    return type_set(r->a, of);
}

static const struct type *read_type(struct reader *r)
{
    if (++r->depth > TYPE_DEPTH_MAX) {
        r->bad = true;
        return type_any();
    }
    struct growing of = {0};
    do {
        push(r, &of, read_one(r));
    } while (!r->bad && take(r, "|"));
    r->depth--;
    return of.n == 1 ? of.v[0] : type_union(r->a, (struct type_list){of.v, of.n});
}

/* "name: " before a type, or nothing. */
static struct str read_name(struct reader *r)
{
    size_t from = r->at;
    while (r->at < r->s.n && memchr(":,|<>[].", r->s.p[r->at], 8) == NULL) { /* blanks are fine */
        r->at++;
    }
    struct str name = str_sub(r->s, from, r->at);
    if (name.n > 0 && take(r, ": ")) {
        return name;
    }
    r->at = from;
    return STR_EMPTY;
}

const struct type *type_parse(struct arena *a, struct str text)
{
    struct reader r = {.a = a, .s = text};
    const struct type *t = read_type(&r);
    return r.bad || r.at < text.n ? NULL : t;
}

const struct type *signature_type(struct arena *a, const struct signature *s)
{
    struct reader r = {.a = a, .s = str_of(s->params)};
    struct growing args = {0};
    struct type_names names = {.args = arena_array(a, struct str, r.s.n / 2 + 1)};
    const struct type *variadic = NULL;
    while (r.at < r.s.n && !r.bad) {
        names.args[args.n] = read_name(&r);
        const struct type *t = read_type(&r);
        if (take(&r, "...")) {
            variadic = t;
        } else {
            push(&r, &args, t);
        }
        r.bad |= r.at < r.s.n && !take(&r, ", ");
    }
    struct reader result = {.a = a, .s = str_of(s->result)};
    names.result = read_name(&result);
    const struct type *out = s->result != NULL ? read_type(&result) : NULL;
    BUG_ON(r.bad || result.bad);
    struct type *f = arena_new(a, struct type);
    *f = *type_func(a, (struct type_list){args.v, args.n}, out);
    f->func.variadic = variadic;
    f->func.names = names;
    return f;
}

static const struct signature *added;

void signature_extend(const struct signature *list)
{
    added = list;
}

const struct signature *signature_find(struct str name)
{
    size_t lo = 0, hi = n_signatures;
    for (const struct signature *s = added; s != NULL && s->name != NULL; s++) {
        if (str_is(name, s->name)) {
            return s;
        }
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(str_of(signatures[mid].name), name);
        if (c == 0) {
            return &signatures[mid];
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}
