/* Errors of types with the lines that explain them: what there is, what would be right. */
#include "authz/rego/types/check_priv.h"

#include "authz/rego/value/utf8.h"

enum { LINE_MAX_WIDTH = 80, SHORT_TYPE = 32, DETAIL_MAX = 1 << 20 };

void error_add(struct checker *k, struct loc loc, struct str message, struct str details)
{
    rego_errors_add(&k->errors, "rego_type_error", compile_file(k->c), loc, "%s", "");
    struct rego_error *e = &k->errors.v[k->errors.n - 1];
    e->message = message;
    e->details = details;
}

bool error_is_unknown(struct type_list l)
{
    for (size_t i = 0; i < l.n; i++) {
        if (type_unknown(l.v[i])) {
            return true;
        }
    }
    return false;
}

static bool too_wide(struct str a, struct str b)
{
    return utf8_count(a) > LINE_MAX_WIDTH || utf8_count(b) > LINE_MAX_WIDTH;
}

static const char *shared_kind(const struct type *x, const struct type *y)
{
    if (x == NULL || y == NULL || x->kind != y->kind) {
        return NULL;
    }
    return x->kind == TY_OBJECT  ? "objects"
           : x->kind == TY_ARRAY ? "arrays"
           : x->kind == TY_SET   ? "sets"
                                 : NULL;
}

void error_match(struct checker *k, struct loc loc, const struct type *left,
                 const struct type *right)
{
    struct arena *a = k->a;
    struct str l = type_text(a, left), r = type_text(a, right);
    struct str one = arena_printf(a, "left  : %.*s", STR_FMT(l)),
               two = arena_printf(a, "right : %.*s", STR_FMT(r));
    if (too_wide(one, two)) {
        type_difference(a, left, right, &l, &r);
        one = arena_printf(a, "left  : %.*s", STR_FMT(l));
        two = arena_printf(a, "right : %.*s", STR_FMT(r));
    }
    const char *kind = shared_kind(left, right);
    struct str hint = kind == NULL
                          ? STR_EMPTY
                          : arena_printf(a,
                                         "\nhint  : both sides are %s but their types differ, so "
                                         "they can never be equal (see https://www.openpolicyagent."
                                         "org/docs/errors/rego-type-error/match-error)",
                                         kind);
    error_add(k, loc, S("match error"),
              arena_printf(a, "%.*s\n%.*s%.*s", STR_FMT(one), STR_FMT(two), STR_FMT(hint)));
}

/* Parameters of a function as they are shown, the result behind them where it counts as one. */
struct params {
    struct type_list types;
    struct str *names;
};

static struct params params_of(struct checker *k, const struct type *f, bool with_result)
{
    size_t n = f->func.args.n, all = n + (with_result && f->func.result != NULL);
    struct params p = {.types = {arena_array(k->a, const struct type *, all + 1), all}};
    p.names = arena_array(k->a, struct str, all + 1);
    for (size_t i = 0; i < n; i++) {
        p.types.v[i] = f->func.args.v[i];
        p.names[i] = f->func.names.args != NULL ? f->func.names.args[i] : STR_EMPTY;
    }
    if (all > n) {
        p.types.v[n] = f->func.result;
        p.names[n] = f->func.names.result;
    }
    return p;
}

static struct str named(struct arena *a, struct str name, struct str text)
{
    return name.n == 0 ? text : arena_printf(a, "%.*s: %.*s", STR_FMT(name), STR_FMT(text));
}

/* The whole of it when that is short with its name, else its outermost form. */
static struct str short_named(struct arena *a, struct str name, const struct type *t)
{
    struct str full = named(a, name, type_text(a, t));
    return utf8_count(full) <= SHORT_TYPE ? full : named(a, name, type_cut(a, t, 0));
}

static struct str in_parentheses(struct arena *a, const struct str *v, size_t n)
{
    struct buf b;
    buf_init(&b, DETAIL_MAX);
    buf_putc(&b, '(');
    for (size_t i = 0; i < n; i++) {
        buf_puts(&b, i > 0 ? S(", ") : S(""));
        buf_puts(&b, v[i]);
    }
    buf_putc(&b, ')');
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str variadic_text(struct arena *a, const struct type *t)
{
    return arena_printf(a, "%.*s...", STR_FMT(type_text(a, t)));
}

void error_arguments(struct checker *k, struct loc loc, struct str name, const char *what,
                     struct type_list have, const struct type *func, bool with_result)
{
    struct arena *a = k->a;
    struct params p = params_of(k, func, with_result);
    struct str *h = arena_array(a, struct str, have.n + 1),
               *w = arena_array(a, struct str, p.types.n + 2);
    for (size_t i = 0; i < have.n; i++) {
        h[i] = type_text(a, have.v[i]);
    }
    for (size_t i = 0; i < p.types.n; i++) {
        w[i] = named(a, p.names[i], type_text(a, p.types.v[i]));
    }
    size_t n = p.types.n;
    if (func->func.variadic != NULL) {
        w[n++] = variadic_text(a, func->func.variadic);
    }
    struct str one = arena_printf(a, "have: %.*s", STR_FMT(in_parentheses(a, h, have.n))),
               two = arena_printf(a, "want: %.*s", STR_FMT(in_parentheses(a, w, n)));
    if (too_wide(one, two)) {
        for (size_t i = 0; i < MAX(have.n, p.types.n); i++) {
            const struct type *x = i < have.n ? have.v[i] : NULL;
            const struct type *y = i < p.types.n ? p.types.v[i] : NULL;
            if (x != NULL && y != NULL && i < have.n && !unifies(x, y)) {
                type_difference(a, x, y, &h[i], &w[i]);
                w[i] = named(a, p.names[i], w[i]);
                continue;
            }
            if (i < have.n) {
                h[i] = type_short(a, x);
            }
            if (i < p.types.n) { /* one that is not known is set against the plain type */
                bool pair = i < have.n && x == NULL;
                w[i] =
                    pair ? named(a, p.names[i], type_short(a, y)) : short_named(a, p.names[i], y);
            }
        }
        one = arena_printf(a, "have: %.*s", STR_FMT(in_parentheses(a, h, have.n)));
        two = arena_printf(a, "want: %.*s", STR_FMT(in_parentheses(a, w, n)));
    }
    error_add(k, loc, arena_printf(a, "%.*s: %s", STR_FMT(name), what),
              arena_printf(a, "%.*s\n%.*s", STR_FMT(one), STR_FMT(two)));
}

/* A reference as it was written: variables that were made up are what they stand for. */
static struct term *as_written(struct checker *k, const struct term *ref)
{
    struct term *t = arena_new(k->a, struct term);
    *t = *ref;
    t->list.v = arena_array(k->a, struct term *, ref->list.n + 1);
    for (size_t i = 0; i < ref->list.n; i++) {
        struct term *part = ref->list.v[i];
        bool made_up = part->type == T_VAR && part->var.local != NULL;
        bool stands_for = made_up && part->var.local->subject != NULL;
        t->list.v[i] = stands_for ? (struct term *)(uintptr_t)part->var.local->subject : part;
    }
    return t;
}

static struct str term_text(struct checker *k, const struct term *t, size_t n)
{
    struct buf b;
    buf_init(&b, DETAIL_MAX);
    struct term part = *t;
    if (t->type == T_REF) {
        part.list.n = n;
    }
    term_write(&b, &part);
    struct str s = arena_str(k->a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str repeated(struct checker *k, char ch, size_t n)
{
    char *p = arena_alloc(k->a, n + 1);
    memset(p, ch, n);
    return str_n(p, n);
}

static struct str value_list(struct checker *k, struct val list)
{
    struct buf b;
    buf_init(&b, DETAIL_MAX);
    buf_putc(&b, '[');
    for (uint32_t i = 0; i < val_len(list); i++) {
        buf_puts(&b, i > 0 ? S(" ") : S(""));
        val_to_rego(&b, val_nth(list, i));
    }
    buf_putc(&b, ']');
    struct str s = arena_str(k->a, buf_str(&b));
    buf_release(&b);
    return s;
}

void error_ref(struct checker *k, const struct term *ref, size_t at, const struct type *have,
               const struct type *want, struct val one_of)
{
    struct arena *a = k->a;
    struct term *t = as_written(k, ref);
    struct str whole = term_text(k, t, t->list.n),
               pad = repeated(k, ' ', term_text(k, t, at).n + 1);
    const struct term *key = t->list.v[at];
    struct str got =
        have != NULL ? type_text(a, have) : term_text(k, key, key->type == T_REF ? key->list.n : 0);
    bool listed = !val_undef(one_of) && val_len(one_of) > 0;
    struct str right = listed ? value_list(k, one_of) : want == NULL ? S("[]") : type_text(a, want);
    struct str lines =
        arena_printf(a, "%.*s\n%.*s^\n%.*shave%s: %.*s\n%.*swant (%s): %.*s", STR_FMT(whole),
                     STR_FMT(pad), STR_FMT(pad), have != NULL ? " (type)" : "", STR_FMT(got),
                     STR_FMT(pad), listed || want == NULL ? "one of" : "type", STR_FMT(right));
    error_add(k, ref->list.v[0]->loc, arena_printf(a, "undefined ref: %.*s", STR_FMT(whole)),
              lines);
}

void error_ref_unsupported(struct checker *k, const struct term *ref, size_t at,
                           const struct type *have)
{
    struct arena *a = k->a;
    struct term *t = as_written(k, ref);
    struct str whole = term_text(k, t, t->list.n);
    struct str message = arena_printf(a, "undefined ref: %.*s", STR_FMT(whole));
    if (type_is(have, TY_FUNC)) {
        const struct term *last = t->list.v[t->list.n - 1];
        bool made_up = last->type == T_VAR && last->var.local != NULL && last->var.local->generated;
        struct str name = made_up ? term_text(k, t, t->list.n - 1) : whole;
        message = arena_printf(a, "function %.*s used as reference, not called", STR_FMT(name));
    }
    struct str lines = arena_printf(a, "%.*s\n%.*s\nhave: %.*s", STR_FMT(whole),
                                    STR_FMT(repeated(k, '^', term_text(k, t, at + 1).n)),
                                    STR_FMT(type_text(a, have)));
    error_add(k, ref->list.v[0]->loc, message, lines);
}
