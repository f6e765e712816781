/*
 * Types as text: in full, in short, and two of them side by side with only that in which they differ.
 * Detail lines of errors are at most SHORT_LINE wide where shortening can do it.
 */
#include "authz/rego/types/type.h"

#include "authz/rego/value/utf8.h"

enum { SHORT_TYPE = 32, DIFFERENCE_DEPTH = 8, TEXT_MAX = 1 << 20 };

static void write_key_items(struct buf *out, struct val key)
{
    bool object = val_is(key, V_OBJECT);
    buf_puts(out, object ? S("map[") : S("["));
    for (uint32_t i = 0; i < val_len(key); i++) {
        if (i > 0) {
            buf_putc(out, ' ');
        }
        if (object) {
            type_key_write(out, val_tab(key)->v[2 * (size_t)i]);
            buf_putc(out, ':');
        }
        type_key_write(out, val_nth(key, i));
    }
    buf_putc(out, ']');
}

/* Keys stand without quotes. */
void type_key_write(struct buf *out, struct val key)
{
    if (val_is(key, V_STRING)) {
        buf_puts(out, val_text(key));
    } else if (val_is_collection(key)) {
        write_key_items(out, key);
    } else if (val_is(key, V_NULL)) {
        buf_puts(out, S("<nil>"));
    } else {
        val_to_rego(out, key);
    }
}

static void write_list(struct buf *out, struct type_list l)
{
    for (size_t i = 0; i < l.n; i++) {
        if (i > 0) {
            buf_puts(out, S(", "));
        }
        type_write(out, l.v[i]);
    }
}

static void write_array(struct buf *out, const struct type *t)
{
    buf_puts(out, S("array"));
    if (t->array.items.n > 0) {
        buf_putc(out, '<');
        write_list(out, t->array.items);
        buf_putc(out, '>');
    }
    if (t->array.rest != NULL) {
        buf_putc(out, '[');
        type_write(out, t->array.rest);
        buf_putc(out, ']');
    }
}

static void write_object(struct buf *out, const struct type *t)
{
    buf_puts(out, S("object"));
    for (size_t i = 0; i < t->object.n; i++) {
        buf_puts(out, i == 0 ? S("<") : S(", "));
        type_key_write(out, t->object.props[i].key);
        buf_puts(out, S(": "));
        type_write(out, t->object.props[i].value);
    }
    if (t->object.n > 0) {
        buf_putc(out, '>');
    }
    if (t->object.open) {
        buf_putc(out, '[');
        type_write(out, t->object.key);
        buf_puts(out, S(": "));
        type_write(out, t->object.value);
        buf_putc(out, ']');
    }
}

static void write_func(struct buf *out, const struct type *t)
{
    buf_putc(out, '(');
    write_list(out, t->func.args);
    if (t->func.variadic != NULL) {
        buf_puts(out, t->func.args.n > 0 ? S(", ") : S(""));
        type_write(out, t->func.variadic);
        buf_puts(out, S("..."));
    }
    buf_puts(out, S(") => "));
    type_write(out, t->func.result);
}

void type_write(struct buf *out, const struct type *t)
{
    static const char *const names[] = {
        [TY_NULL] = "null", [TY_BOOL] = "boolean", [TY_NUMBER] = "number", [TY_STRING] = "string"};
    if (t == NULL) {
        buf_puts(out, S("???"));
        return;
    }
    switch (t->kind) {
    case TY_ARRAY:
        write_array(out, t);
        break;
    case TY_OBJECT:
        write_object(out, t);
        break;
    case TY_SET:
        buf_puts(out, t->of != NULL ? S("set[") : S("set"));
        if (t->of != NULL) {
            type_write(out, t->of);
            buf_putc(out, ']');
        }
        break;
    case TY_ANY:
        buf_puts(out, t->any.n > 0 ? S("any<") : S("any"));
        write_list(out, t->any);
        buf_puts(out, t->any.n > 0 ? S(">") : S(""));
        break;
    case TY_FUNC:
        write_func(out, t);
        break;
    case TY_RECURSIVE:
        buf_printf(out, "recursive(%.*s)", STR_FMT(t->recursive.name));
        break;
    default:
        buf_puts(out, str_of(names[t->kind]));
    }
}

static struct str taken(struct arena *a, struct buf *b)
{
    struct str s = arena_str(a, buf_str(b));
    buf_release(b);
    return s;
}

struct str type_text(struct arena *a, const struct type *t)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    type_write(&b, t);
    return taken(a, &b);
}

/* A list of texts that are joined when all are known. */
struct parts {
    struct arena *a;
    struct str *v;
    size_t n, cap;
};

static void part_add(struct parts *p, struct str s)
{
    p->v = arena_grow(p->a, p->v, p->n, p->n + 1, &p->cap, sizeof *p->v);
    p->v[p->n++] = s;
}

static struct str property(struct arena *a, struct val key, struct str value)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    type_key_write(&b, key);
    buf_printf(&b, ": %.*s", STR_FMT(value));
    return taken(a, &b);
}

static struct str joined(const struct parts *p)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    for (size_t i = 0; i < p->n; i++) {
        buf_puts(&b, i > 0 ? S(", ") : S(""));
        buf_puts(&b, p->v[i]);
    }
    return taken(p->a, &b);
}

static struct str composite(const char *name, const struct parts *known, struct str others)
{
    struct arena *a = known->a;
    struct str k = joined(known);
    return arena_printf(a, "%s%s%.*s%s%s%.*s%s", name, known->n > 0 ? "<" : "", STR_FMT(k),
                        known->n > 0 ? ">" : "", others.n > 0 ? "[" : "", STR_FMT(others),
                        others.n > 0 ? "]" : "");
}

/* Only the outermost `depth` levels, and `...` for the rest; below 0: all of it. */
static struct str cut(struct arena *a, const struct type *t, int depth);

struct str type_cut(struct arena *a, const struct type *t, int depth)
{
    return cut(a, t, depth);
}

static struct str cut_array(struct arena *a, const struct type *t, int depth)
{
    struct parts items = {.a = a};
    for (size_t i = 0; i < t->array.items.n && (depth > 0 || i == 0); i++) {
        part_add(&items, depth == 0 ? S("...") : cut(a, t->array.items.v[i], depth - 1));
    }
    struct str rest = t->array.rest == NULL ? STR_EMPTY
                      : depth == 0          ? S("...")
                                            : cut(a, t->array.rest, depth - 1);
    return composite("array", &items, rest);
}

static struct str cut_object(struct arena *a, const struct type *t, int depth)
{
    struct parts props = {.a = a};
    for (size_t i = 0; i < t->object.n && (depth > 0 || i == 0); i++) {
        const struct type_prop *p = &t->object.props[i];
        part_add(&props, depth == 0 ? S("...") : property(a, p->key, cut(a, p->value, depth - 1)));
    }
    struct str others = STR_EMPTY;
    if (t->object.open) {
        others = depth == 0
                     ? S("...")
                     : arena_printf(a, "%.*s: %.*s", STR_FMT(cut(a, t->object.key, depth - 1)),
                                    STR_FMT(cut(a, t->object.value, depth - 1)));
    }
    return composite("object", &props, others);
}

static struct str function(struct arena *a, const struct parts *args, struct str result)
{
    return arena_printf(a, "(%.*s) => %.*s", STR_FMT(joined(args)), STR_FMT(result));
}

static struct str cut_func(struct arena *a, const struct type *t, int depth)
{
    struct parts args = {.a = a};
    if (depth == 0) {
        if (t->func.args.n > 0 || t->func.variadic != NULL) {
            part_add(&args, S("..."));
        }
        return function(a, &args, t->func.result == NULL ? S("???") : S("..."));
    }
    for (size_t i = 0; i < t->func.args.n; i++) {
        part_add(&args, cut(a, t->func.args.v[i], depth - 1));
    }
    if (t->func.variadic != NULL) {
        part_add(&args, arena_printf(a, "%.*s...", STR_FMT(cut(a, t->func.variadic, depth - 1))));
    }
    return function(a, &args, cut(a, t->func.result, depth - 1));
}

static struct str union_of(const struct parts *of)
{
    return of->n == 0 ? S("any") : arena_printf(of->a, "any<%.*s>", STR_FMT(joined(of)));
}

static struct str cut(struct arena *a, const struct type *t, int depth)
{
    if (depth < 0 || t == NULL) {
        return type_text(a, t);
    }
    switch (t->kind) {
    case TY_SET:
        if (t->of == NULL) {
            return type_text(a, t);
        }
        return depth == 0 ? S("set[...]")
                          : arena_printf(a, "set[%.*s]", STR_FMT(cut(a, t->of, depth - 1)));
    case TY_ARRAY:
        return cut_array(a, t, depth);
    case TY_OBJECT:
        return cut_object(a, t, depth);
    case TY_ANY: {
        struct parts of = {.a = a};
        for (size_t i = 0; i < t->any.n && (depth > 0 || i == 0); i++) {
            part_add(&of, depth == 0 ? S("...") : cut(a, t->any.v[i], depth - 1));
        }
        return union_of(&of);
    }
    case TY_FUNC:
        return cut_func(a, t, depth);
    default:
        return type_text(a, t);
    }
}

struct str type_short(struct arena *a, const struct type *t)
{
    struct str full = type_text(a, t);
    return utf8_count(full) <= SHORT_TYPE ? full : cut(a, t, 0);
}

static bool same_text(struct arena *a, const struct type *x, const struct type *y)
{
    return str_eq(type_text(a, x), type_text(a, y));
}

static void differ(struct arena *a, const struct type *x, const struct type *y, int depth,
                   struct str *left, struct str *right);

static void differ_arrays(struct arena *a, const struct type *x, const struct type *y, int depth,
                          struct str *left, struct str *right)
{
    if (x->array.items.n != y->array.items.n ||
        (x->array.rest == NULL) != (y->array.rest == NULL)) {
        *left = cut(a, x, 1);
        *right = cut(a, y, 1);
        return;
    }
    struct parts l = {.a = a}, r = {.a = a};
    struct str one = STR_EMPTY, other = STR_EMPTY;
    for (size_t i = 0; i < x->array.items.n; i++) {
        differ(a, x->array.items.v[i], y->array.items.v[i], depth + 1, &one, &other);
        part_add(&l, one);
        part_add(&r, other);
    }
    one = other = STR_EMPTY;
    if (x->array.rest != NULL) {
        differ(a, x->array.rest, y->array.rest, depth + 1, &one, &other);
    }
    *left = composite("array", &l, one);
    *right = composite("array", &r, other);
}

/* Properties are sorted on both sides; equal ones say nothing and are left out. */
static bool differ_props(const struct type *x, const struct type *y, int depth, struct parts *l,
                         struct parts *r)
{
    struct arena *a = l->a;
    bool left_out = false;
    for (size_t i = 0, k = 0; i < x->object.n || k < y->object.n;) {
        const struct type_prop *p = &x->object.props[i], *q = &y->object.props[k];
        int c = k == y->object.n ? -1 : i == x->object.n ? 1 : val_cmp(p->key, q->key);
        if (c == 0 && same_text(a, p->value, q->value)) {
            left_out = true;
        } else if (c == 0) {
            struct str one, other;
            differ(a, p->value, q->value, depth + 1, &one, &other);
            part_add(l, property(a, p->key, one));
            part_add(r, property(a, q->key, other));
        } else if (c < 0) {
            part_add(l, property(a, p->key, type_short(a, p->value)));
        } else {
            part_add(r, property(a, q->key, type_short(a, q->value)));
        }
        i += c <= 0;
        k += c >= 0;
    }
    return left_out;
}

static struct str pair(struct arena *a, struct str key, struct str value)
{
    return arena_printf(a, "%.*s: %.*s", STR_FMT(key), STR_FMT(value));
}

static struct str short_others(struct arena *a, const struct type *t)
{
    return t->object.open ? pair(a, type_short(a, t->object.key), type_short(a, t->object.value))
                          : STR_EMPTY;
}

static void differ_objects(struct arena *a, const struct type *x, const struct type *y, int depth,
                           struct str *left, struct str *right)
{
    struct parts l = {.a = a}, r = {.a = a};
    if (differ_props(x, y, depth, &l, &r)) {
        part_add(&l, S("..."));
        part_add(&r, S("..."));
    }
    struct str one = short_others(a, x), other = short_others(a, y);
    if (x->object.open && y->object.open) {
        struct str k1, k2, v1, v2;
        differ(a, x->object.key, y->object.key, depth + 1, &k1, &k2);
        differ(a, x->object.value, y->object.value, depth + 1, &v1, &v2);
        one = pair(a, k1, v1);
        other = pair(a, k2, v2);
    }
    *left = composite("object", &l, one);
    *right = composite("object", &r, other);
}

static bool member_of(struct arena *a, struct type_list l, const struct type *t)
{
    for (size_t i = 0; i < l.n; i++) {
        if (same_text(a, l.v[i], t)) {
            return true;
        }
    }
    return false;
}

static struct str only_here(struct arena *a, const struct type *x, const struct type *y, bool mark)
{
    struct parts p = {.a = a};
    for (size_t i = 0; i < x->any.n; i++) {
        if (!member_of(a, y->any, x->any.v[i])) {
            part_add(&p, type_short(a, x->any.v[i]));
        }
    }
    if (mark) {
        part_add(&p, S("..."));
    }
    return union_of(&p);
}

static void differ_unions(struct arena *a, const struct type *x, const struct type *y,
                          struct str *left, struct str *right)
{
    bool common = false;
    for (size_t i = 0; i < x->any.n; i++) {
        common |= member_of(a, y->any, x->any.v[i]);
    }
    *left = only_here(a, x, y, common);
    *right = only_here(a, y, x, common);
}

static void differ_funcs(struct arena *a, const struct type *x, const struct type *y, int depth,
                         struct str *left, struct str *right)
{
    struct parts l = {.a = a}, r = {.a = a};
    struct str one, other;
    for (size_t i = 0; i < x->func.args.n; i++) {
        differ(a, x->func.args.v[i], y->func.args.v[i], depth + 1, &one, &other);
        part_add(&l, one);
        part_add(&r, other);
    }
    differ(a, x->func.result, y->func.result, depth + 1, &one, &other);
    *left = function(a, &l, one);
    *right = function(a, &r, other);
}

static void differ(struct arena *a, const struct type *x, const struct type *y, int depth,
                   struct str *left, struct str *right)
{
    bool deep = depth >= DIFFERENCE_DEPTH || x == NULL || y == NULL || x->kind != y->kind ||
                same_text(a, x, y);
    *left = type_short(a, x);
    *right = type_short(a, y);
    if (deep) {
        return;
    }
    if (x->kind == TY_SET && x->of != NULL && y->of != NULL) {
        differ(a, x->of, y->of, depth + 1, left, right);
        *left = arena_printf(a, "set[%.*s]", STR_FMT(*left));
        *right = arena_printf(a, "set[%.*s]", STR_FMT(*right));
    } else if (x->kind == TY_ARRAY) {
        differ_arrays(a, x, y, depth, left, right);
    } else if (x->kind == TY_OBJECT) {
        differ_objects(a, x, y, depth, left, right);
    } else if (x->kind == TY_ANY) {
        differ_unions(a, x, y, left, right);
    } else if (x->kind == TY_FUNC && x->func.args.n == y->func.args.n) {
        differ_funcs(a, x, y, depth, left, right);
    }
}

void type_difference(struct arena *a, const struct type *x, const struct type *y, struct str *left,
                     struct str *right)
{
    differ(a, x, y, 0, left, right);
}
