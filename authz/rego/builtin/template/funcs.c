/* The values of templates and the functions that every template has. */
#include "authz/rego/builtin/template/priv.h"

#include "authz/rego/value/utf8.h"

struct tval tval_of(struct arena *a, struct val v)
{
    switch (val_type(v)) {
    case V_BOOL:
        return (struct tval){.kind = TV_BOOL, .boxed = true, .truth = val_is_true(v)};
    case V_NUMBER:
        return (struct tval){.kind = TV_NUMBER, .boxed = true, .s = num_text(a, val_number(v))};
    case V_STRING:
        return (struct tval){.kind = TV_STRING, .boxed = true, .s = val_text(v)};
    case V_ARRAY:
        return (struct tval){.kind = TV_LIST, .boxed = true, .v = v};
    case V_OBJECT:
        return (struct tval){.kind = TV_MAP, .boxed = true, .v = v};
    default:
        return (struct tval){.kind = TV_NULL, .boxed = true};
    }
}

struct tval tval_unboxed(struct tval t)
{
    t.boxed = false;
    if (t.kind == TV_NULL) {
        t.kind = TV_NONE;
    }
    return t;
}

bool tval_truth(struct tval t)
{
    switch (t.kind) {
    case TV_BOOL:
        return t.truth;
    case TV_INT:
    case TV_BYTE:
        return t.i != 0;
    case TV_FLOAT:
        return t.f != 0;
    case TV_STRING:
    case TV_NUMBER:
        return t.s.n > 0;
    case TV_LIST:
    case TV_MAP:
        return val_len(t.v) > 0;
    default:
        return false;
    }
}

const char *tval_type(struct tval t)
{
    static const char *const names[] = {
        [TV_NONE] = "<nil>",          [TV_NULL] = "interface {}",
        [TV_BOOL] = "bool",           [TV_INT] = "int",
        [TV_BYTE] = "uint8",          [TV_FLOAT] = "float64",
        [TV_STRING] = "string",       [TV_NUMBER] = "json.Number",
        [TV_LIST] = "[]interface {}", [TV_MAP] = "map[string]interface {}"};
    return t.boxed ? "interface {}" : names[t.kind];
}

/* Depth is that of the value. */
struct gofmt_arg tval_arg(struct arena *a, struct tval t)
{
    struct gofmt_arg g = {.kind = GOFMT_STRING, .text = t.s}, *items;
    switch (t.kind) {
    case TV_NONE:
    case TV_NULL:
        g.kind = GOFMT_NIL;
        break;
    case TV_BOOL:
        g.kind = GOFMT_BOOL;
        g.truth = t.truth;
        break;
    case TV_INT:
    case TV_BYTE:
        g.kind = GOFMT_INT;
        g.num = num_int(t.i);
        g.type = t.kind == TV_BYTE ? "uint8" : NULL;
        break;
    case TV_FLOAT:
        g.kind = GOFMT_FLOAT;
        g.f = t.f;
        break;
    case TV_NUMBER:
        g.type = "json.Number";
        break;
    case TV_STRING:
        break;
    case TV_LIST:
    case TV_MAP:
        g.kind = t.kind == TV_MAP ? GOFMT_MAP : GOFMT_LIST;
        items = arena_array(a, struct gofmt_arg, 2 * (size_t)val_len(t.v) + 1);
        for (uint32_t i = 0; i < val_len(t.v) && !arena_exhausted(a); i++) {
            if (t.kind == TV_MAP) {
                items[g.n++].text = val_text(val_nth_key(a, t.v, i));
            }
            items[g.n++] = tval_arg(a, tval_of(a, val_nth(t.v, i)));
        }
        g.items = items;
        break;
    }
    return g;
}

static bool fail(struct str *why, struct str text)
{
    *why = text;
    return false;
}

static bool give_bool(struct tval *out, bool b)
{
    *out = (struct tval){.kind = TV_BOOL, .truth = b};
    return true;
}

static bool give_text(struct arena *a, struct tval *out, struct buf *b)
{
    *out = (struct tval){.kind = TV_STRING, .s = arena_str(a, buf_str(b))};
    buf_release(b);
    return true;
}

/* Length, indexing, slicing. */

static bool is_text(struct tval t)
{
    return t.kind == TV_STRING || t.kind == TV_NUMBER;
}

static bool f_len(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                  struct str *why)
{
    struct tval t = args[0];
    (void)n;
    if (t.kind == TV_NULL) {
        return fail(why, S("len of nil pointer"));
    }
    if (t.kind == TV_NONE) {
        return fail(why, S("reflect: call of reflect.Value.Type on zero Value"));
    }
    if (!is_text(t) && t.kind != TV_LIST && t.kind != TV_MAP) {
        t.boxed = false;
        return fail(why, arena_printf(a, "len of type %s", tval_type(t)));
    }
    *out = (struct tval){.kind = TV_INT, .i = (int64_t)(is_text(t) ? t.s.n : val_len(t.v))};
    return true;
}

static bool position(struct arena *a, struct tval at, size_t most, size_t *out, struct str *why)
{
    at = tval_unboxed(at);
    if (at.kind == TV_NONE) {
        return fail(why, S("cannot index slice/array with nil"));
    }
    if (at.kind != TV_INT && at.kind != TV_BYTE) {
        return fail(why, arena_printf(a, "cannot index slice/array with type %s", tval_type(at)));
    }
    if (at.i < 0 || (uint64_t)at.i > most) {
        return fail(why, arena_printf(a, "index out of range: %lld", (long long)at.i));
    }
    *out = (size_t)at.i;
    return true;
}

static bool index_map(struct arena *a, struct tval *item, struct tval key, struct str *why)
{
    key = tval_unboxed(key);
    if (key.kind == TV_NONE) {
        return fail(why, S("value is nil; should be of type string"));
    }
    if (key.kind != TV_STRING) {
        return fail(why, arena_printf(a, "value has type %s; should be string", tval_type(key)));
    }
    struct val v = val_get(item->v, val_str(a, key.s));
    *item = tval_of(a, val_undef(v) ? VAL_NULL : v);
    return true;
}

static bool index_list(struct arena *a, struct tval *item, struct tval key, struct str *why)
{
    size_t at, n = is_text(*item) ? item->s.n : val_len(item->v);
    if (!position(a, key, n, &at, why)) {
        return false;
    }
    if (at == n) {
        const char *what = is_text(*item) ? "string" : "slice";
        return fail(why, arena_printf(a, "reflect: %s index out of range", what));
    }
    *item = is_text(*item) ? (struct tval){.kind = TV_BYTE, .i = (unsigned char)item->s.p[at]}
                           : tval_of(a, val_nth(item->v, (uint32_t)at));
    return true;
}

static bool f_index(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                    struct str *why)
{
    struct tval item = tval_unboxed(args[0]);
    if (item.kind == TV_NONE) {
        return fail(why, S("index of untyped nil"));
    }
    for (size_t i = 1; i < n; i++) {
        if (item.kind == TV_NULL) {
            return fail(why, S("index of nil pointer"));
        }
        if (item.kind == TV_MAP ? !index_map(a, &item, args[i], why)
            : is_text(item) || item.kind == TV_LIST
                ? !index_list(a, &item, args[i], why)
                : !fail(why, arena_printf(a, "can't index item of type %s",
                                          tval_type(tval_unboxed(item))))) {
            return false;
        }
        if (item.kind != TV_MAP && item.kind != TV_LIST && !is_text(item) && i + 1 < n &&
            item.kind != TV_NULL) {
            return fail(
                why, arena_printf(a, "can't index item of type %s", tval_type(tval_unboxed(item))));
        }
    }
    *out = item;
    return true;
}

static bool f_slice(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                    struct str *why)
{
    struct tval item = tval_unboxed(args[0]);
    if (item.kind == TV_NONE) {
        return fail(why, S("slice of untyped nil"));
    }
    if (n > 4) {
        return fail(why, arena_printf(a, "too many slice indexes: %zu", n - 1));
    }
    if (is_text(item) && n == 4) {
        return fail(why, S("cannot 3-index slice a string"));
    }
    if (!is_text(item) && item.kind != TV_LIST) {
        return fail(why, arena_printf(a, "can't slice item of type %s", tval_type(item)));
    }
    size_t most = is_text(item) ? item.s.n : val_len(item.v), at[3] = {0, most, most};
    for (size_t i = 1; i < n; i++) {
        if (!position(a, args[i], most, &at[i - 1], why)) {
            return false;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        if (at[i] > at[i + 1]) {
            return fail(why, arena_printf(a, "invalid slice index: %zu > %zu", at[i], at[i + 1]));
        }
    }
    *out = item;
    if (is_text(item)) {
        out->s = str_sub(item.s, at[0], at[1]);
    } else {
        out->v = val_array(a, val_arr(item.v)->v + at[0], at[1] - at[0]);
    }
    return true;
}

/* Comparing. */

enum basic { B_OTHER, B_BOOL, B_INT, B_FLOAT, B_STRING, B_UINT };

static enum basic basic(struct tval t)
{
    return t.kind == TV_BOOL    ? B_BOOL
           : t.kind == TV_INT   ? B_INT
           : t.kind == TV_BYTE  ? B_UINT
           : t.kind == TV_FLOAT ? B_FLOAT
           : is_text(t)         ? B_STRING
                                : B_OTHER;
}

static bool both_integers(enum basic x, enum basic y)
{
    return (x == B_INT || x == B_UINT) && (y == B_INT || y == B_UINT);
}

static bool incompatible(struct arena *a, struct tval x, struct tval y, struct str *why)
{
    return fail(why, arena_printf(a, "incompatible types for comparison: %s and %s", tval_type(x),
                                  tval_type(y)));
}

/* As reflect.Value's String, under %s. */
static struct str shown(struct arena *a, struct tval t)
{
    struct buf b;
    struct gofmt_arg g = tval_arg(a, t);
    buf_init(&b, 1 << 16);
    gofmt(a, &b, S("%s"), &g, 1);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static bool equal(struct arena *a, struct tval x, struct tval y, bool *out, struct str *why)
{
    enum basic kx = basic(x), ky = basic(y);
    *out = false;
    if (both_integers(kx, ky)) {
        *out = x.i == y.i;
        return true;
    }
    if (kx != ky) {
        return x.kind == TV_NONE || y.kind == TV_NONE || incompatible(a, x, y, why);
    }
    switch (kx) {
    case B_BOOL:
        *out = x.truth == y.truth;
        return true;
    case B_FLOAT:
        *out = x.f == y.f;
        return true;
    case B_STRING:
        *out = str_eq(x.s, y.s);
        return true;
    default:
        break;
    }
    if (x.kind == TV_NONE || y.kind == TV_NONE) {
        *out = x.kind == y.kind;
        return true;
    }
    if (x.kind != y.kind) {
        return fail(why,
                    arena_printf(a, "non-comparable types %.*s: %s, %s: %.*s", STR_FMT(shown(a, x)),
                                 tval_type(x), tval_type(y), STR_FMT(shown(a, y))));
    }
    return fail(
        why, arena_printf(a, "non-comparable type %.*s: %s", STR_FMT(shown(a, y)), tval_type(y)));
}

static bool less(struct arena *a, struct tval x, struct tval y, bool *out, struct str *why)
{
    enum basic kx = basic(x), ky = basic(y);
    if (kx == B_OTHER || ky == B_OTHER || (kx == B_BOOL && ky == B_BOOL)) {
        return fail(why, S("invalid type for comparison"));
    }
    if (both_integers(kx, ky)) {
        *out = x.i < y.i;
    } else if (kx != ky) {
        return incompatible(a, x, y, why);
    } else if (kx == B_FLOAT) {
        *out = x.f < y.f;
    } else {
        *out = str_cmp(x.s, y.s) < 0;
    }
    return true;
}

static bool f_eq(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                 struct str *why)
{
    bool same = false;
    if (n == 1) {
        return fail(why, S("missing argument for comparison"));
    }
    for (size_t i = 1; i < n && !same; i++) {
        if (!equal(a, tval_unboxed(args[0]), tval_unboxed(args[i]), &same, why)) {
            return false;
        }
    }
    return give_bool(out, same);
}

static bool f_ne(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                 struct str *why)
{
    bool same;
    (void)n;
    return equal(a, tval_unboxed(args[0]), tval_unboxed(args[1]), &same, why) &&
           give_bool(out, !same);
}

static bool f_lt(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                 struct str *why)
{
    bool is;
    (void)n;
    return less(a, tval_unboxed(args[0]), tval_unboxed(args[1]), &is, why) && give_bool(out, is);
}

static bool f_le(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                 struct str *why)
{
    bool is;
    (void)n;
    if (!less(a, tval_unboxed(args[0]), tval_unboxed(args[1]), &is, why)) {
        return false;
    }
    return (is || equal(a, tval_unboxed(args[0]), tval_unboxed(args[1]), &is, why)) &&
           give_bool(out, is);
}

static bool f_gt(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                 struct str *why)
{
    return f_le(a, args, n, out, why) && give_bool(out, !out->truth);
}

static bool f_ge(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                 struct str *why)
{
    return f_lt(a, args, n, out, why) && give_bool(out, !out->truth);
}

static bool f_not(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                  struct str *why)
{
    (void)a;
    (void)n;
    (void)why;
    return give_bool(out, !tval_truth(args[0]));
}

/* Printing and escaping. */

static void put_all(struct arena *a, struct buf *b, const struct tval *args, size_t n, bool lines)
{
    for (size_t i = 0; i < n; i++) {
        bool blank = lines || (!is_text(args[i]) && i > 0 && !is_text(args[i - 1]));
        struct gofmt_arg g = tval_arg(a, args[i]);
        buf_puts(b, i > 0 && blank ? S(" ") : STR_EMPTY);
        gofmt_value(a, b, &g);
    }
}

static bool f_print(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                    struct str *why)
{
    struct buf b;
    (void)why;
    buf_init(&b, TEMPLATE_OUTPUT_MAX);
    put_all(a, &b, args, n, false);
    return give_text(a, out, &b);
}

static bool f_println(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                      struct str *why)
{
    struct buf b;
    (void)why;
    buf_init(&b, TEMPLATE_OUTPUT_MAX);
    put_all(a, &b, args, n, true);
    buf_putc(&b, '\n');
    return give_text(a, out, &b);
}

static bool f_printf(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                     struct str *why)
{
    struct buf b;
    struct gofmt_arg *g = arena_array(a, struct gofmt_arg, n + 1);
    (void)why;
    for (size_t i = 1; i < n; i++) {
        g[i - 1] = tval_arg(a, args[i]);
    }
    buf_init(&b, TEMPLATE_OUTPUT_MAX);
    gofmt(a, &b, args[0].s, g, n - 1);
    return give_text(a, out, &b);
}

/* The arguments printed, for the escapers: what is nothing shows. */
static struct str printed(struct arena *a, const struct tval *args, size_t n)
{
    struct buf b;
    struct tval *shown_args = arena_array(a, struct tval, n + 1);
    for (size_t i = 0; i < n; i++) {
        bool nothing = args[i].kind == TV_NONE || args[i].kind == TV_NULL;
        shown_args[i] = nothing ? (struct tval){.kind = TV_STRING, .s = S("<no value>")} : args[i];
    }
    buf_init(&b, TEMPLATE_OUTPUT_MAX);
    put_all(a, &b, shown_args, n, false);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static bool f_html(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                   struct str *why)
{
    struct str s = printed(a, args, n);
    struct buf b;
    (void)why;
    buf_init(&b, TEMPLATE_OUTPUT_MAX);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        buf_puts(&b, c == '"'    ? S("&#34;")
                     : c == '\'' ? S("&#39;")
                     : c == '&'  ? S("&amp;")
                     : c == '<'  ? S("&lt;")
                     : c == '>'  ? S("&gt;")
                     : c == '\0' ? S("\xef\xbf\xbd")
                                 : str_sub(s, i, i + 1));
    }
    return give_text(a, out, &b);
}

static bool f_js(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                 struct str *why)
{
    struct str s = printed(a, args, n);
    struct buf b;
    (void)why;
    buf_init(&b, TEMPLATE_OUTPUT_MAX);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\\' || c == '\'' || c == '"') {
            buf_putc(&b, '\\');
            buf_putc(&b, (char)c);
        } else if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == '=') {
            buf_printf(&b, "\\u%04X", c);
        } else {
            buf_putc(&b, (char)c);
        }
    }
    return give_text(a, out, &b);
}

static bool f_urlquery(struct arena *a, const struct tval *args, size_t n, struct tval *out,
                       struct str *why)
{
    struct str s = printed(a, args, n);
    struct buf b;
    (void)why;
    buf_init(&b, TEMPLATE_OUTPUT_MAX);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c != 0 && strchr("-_.~", c) != NULL);
        if (plain || c == ' ') {
            buf_putc(&b, c == ' ' ? '+' : (char)c);
        } else {
            buf_printf(&b, "%%%02X", c);
        }
    }
    return give_text(a, out, &b);
}

static const struct tfunc functions[] = {
    {"and", 1, true, false, NULL},
    {"or", 1, true, false, NULL},
    {"call", 1, true, false, NULL},
    {"html", 0, true, true, f_html},
    {"index", 1, true, false, f_index},
    {"slice", 1, true, false, f_slice},
    {"js", 0, true, true, f_js},
    {"len", 1, false, false, f_len},
    {"not", 1, false, false, f_not},
    {"print", 0, true, true, f_print},
    {"printf", 1, true, true, f_printf},
    {"println", 0, true, true, f_println},
    {"urlquery", 0, true, true, f_urlquery},
    {"eq", 1, true, false, f_eq},
    {"ge", 2, false, false, f_ge},
    {"gt", 2, false, false, f_gt},
    {"le", 2, false, false, f_le},
    {"lt", 2, false, false, f_lt},
    {"ne", 2, false, false, f_ne},
};

const struct tfunc *tfunc_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (str_is(name, functions[i].name)) {
            return &functions[i];
        }
    }
    return NULL;
}
