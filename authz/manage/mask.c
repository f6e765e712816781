#include "mask.h"

#include "lib/base/codec.h"

struct mask_rule {
    struct str parts[MASK_DEPTH_MAX]; /* escaped, as they are looked up and reported */
    size_t n;
    bool upsert;
    struct val value;
};

/* A segment as Go escapes it: upstream looks members up by the escaped name. */
static struct str escape(struct arena *a, struct str s)
{
    struct buf b;
    buf_init(&b, 3 * s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != 0 && strchr("-_.~$&+:=@", c) != NULL);
        buf_printf(&b, plain ? "%c" : "%%%02X", c);
    }
    struct str out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static struct err rule_path(struct arena *a, struct str path, struct mask_rule *r)
{
    struct str unused;
    ENSURE(path.n > 0, ERR_INVALID, "mask must be non-empty");
    ENSURE(path.p[0] == '/', ERR_INVALID, "mask must be slash-prefixed");
    struct str rest = str_sub(path, 1, path.n);
    for (r->n = 0; rest.p != NULL; r->n++) {
        struct str part = str_split(&rest, '/');
        ENSURE(r->n < MASK_DEPTH_MAX, ERR_LIMIT, "mask is more than %d parts deep", MASK_DEPTH_MAX);
        if (r->n == 0) {
            ENSURE(str_is(part, "input") || str_is(part, "result") ||
                       str_is(part, "nd_builtin_cache"),
                   ERR_INVALID, "mask prefix not allowed: %.*s", STR_FMT(part));
        }
        ENSURE(!failed(percent_decode(a, part, false, &unused)), ERR_INVALID,
               "invalid URL escape \"%.*s\"", STR_FMT(part));
        r->parts[r->n] = escape(a, part);
    }
    return OK;
}

static struct err rule_text(struct val v, const char *name, struct str *out)
{
    struct val m = val_get_str(v, name);
    *out = STR_EMPTY;
    if (val_undef(m)) {
        return OK;
    }
    ENSURE(val_is(m, V_STRING) && val_len(m) > 0, ERR_INVALID, "invalid \"%s\" value", name);
    *out = val_text(m);
    return OK;
}

static struct err rule_read(struct arena *a, struct val v, struct mask_rule *r)
{
    struct str op, path;
    *r = (struct mask_rule){.value = VAL_NULL};
    if (val_is(v, V_STRING)) {
        return rule_path(a, val_text(v), r);
    }
    ENSURE(val_is(v, V_OBJECT), ERR_INVALID, "invalid mask rule format encountered: %s",
           val_type_name(v));
    TRY(rule_text(v, "op", &op));
    TRY(rule_text(v, "path", &path));
    TRY(rule_path(a, path, r));
    ENSURE(str_is(op, "remove") || str_is(op, "upsert"), ERR_INVALID,
           "mask op is not supported: %.*s", STR_FMT(op));
    r->upsert = str_is(op, "upsert");
    struct val value = val_get_str(v, "value");
    r->value = val_undef(value) ? VAL_NULL : value;
    return OK;
}

static bool array_at(struct val arr, struct str key, uint32_t *i)
{
    uint64_t n;
    bool digits = !failed(str_to_u64(key, &n));
    *i = digits ? (uint32_t)MIN(n, UINT64_C(0xffffffff)) : 0;
    return digits && n < val_len(arr);
}

static struct val array_with(struct arena *a, struct val arr, uint32_t at, struct val v)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(arr); i++) {
        if (i != at) {
            vlist_add(&l, val_nth(arr, i));
        } else if (!val_undef(v)) {
            vlist_add(&l, v);
        }
    }
    return vlist_array(&l);
}

/* The container with the member at `key` set, or taken away; VAL_UNDEF: it does not fit. */
static struct val changed(struct arena *a, struct val at, struct str key, bool upsert,
                          struct val value)
{
    uint32_t i;
    if (val_is(at, V_ARRAY)) {
        return array_at(at, key, &i) ? array_with(a, at, i, upsert ? value : VAL_UNDEF) : VAL_UNDEF;
    }
    if (!val_is(at, V_OBJECT)) {
        return VAL_UNDEF;
    }
    struct val k = val_str(a, key);
    if (upsert) {
        return val_with(a, at, k, value);
    }
    return val_undef(val_get(at, k)) ? VAL_UNDEF : val_without(a, at, k);
}

static struct val child_of(struct arena *a, struct val at, struct str key, bool make)
{
    uint32_t i;
    if (val_is(at, V_ARRAY)) {
        return array_at(at, key, &i) ? val_nth(at, i) : VAL_UNDEF;
    }
    if (!val_is(at, V_OBJECT)) {
        return VAL_UNDEF;
    }
    struct val v = val_get(at, val_str(a, key));
    return val_undef(v) && make ? val_empty_object() : v;
}

/* The document with the rule applied below it; VAL_UNDEF: the path leads nowhere. */
static struct val apply_below(struct arena *a, const struct mask_rule *r, struct val root)
{
    struct val at[MASK_DEPTH_MAX];
    size_t last = r->n - 1;
    at[1] = root;
    for (size_t i = 1; i < last; i++) {
        at[i + 1] = child_of(a, at[i], r->parts[i], r->upsert);
        if (val_undef(at[i + 1])) {
            return VAL_UNDEF;
        }
    }
    struct val v = changed(a, at[last], r->parts[last], r->upsert, r->value);
    for (size_t i = last; i-- > 1 && !val_undef(v);) {
        v = changed(a, at[i], r->parts[i], true, v);
    }
    return v;
}

static void note(struct vlist *list, const struct mask_rule *r)
{
    struct str s = STR_EMPTY;
    for (size_t i = 0; i < r->n; i++) {
        s = arena_printf(list->a, "%.*s/%.*s", STR_FMT(s), STR_FMT(r->parts[i]));
    }
    vlist_add(list, val_str(list->a, s));
}

static struct val apply(struct arena *a, const struct mask_rule *r, struct val event,
                        struct vlist *erased, struct vlist *masked)
{
    struct val name = val_str(a, r->parts[0]), part = val_get(event, name), v;
    if (val_undef(part)) {
        return event;
    }
    if (r->n == 1) {
        v = r->upsert ? r->value : VAL_UNDEF;
    } else {
        v = apply_below(a, r, part);
        if (val_undef(v)) {
            return event;
        }
    }
    note(r->upsert ? masked : erased, r);
    return val_undef(v) ? val_without(a, event, name) : val_with(a, event, name, v);
}

static void take_list(struct vlist *l, struct val event, const char *name)
{
    struct val v = val_get_str(event, name);
    for (uint32_t i = 0; !val_undef(v) && val_is(v, V_ARRAY) && i < val_len(v); i++) {
        vlist_add(l, val_nth(v, i));
    }
}

struct err mask_event(struct arena *a, struct val event, struct val rules, struct val *out)
{
    ENSURE(val_is(rules, V_ARRAY) || val_is(rules, V_SET), ERR_INVALID,
           "unexpected rule format (%s)", val_type_name(rules));
    ENSURE(val_len(rules) <= MASK_RULES_MAX, ERR_LIMIT, "more than %d mask rules", MASK_RULES_MAX);
    struct mask_rule *list = arena_array(a, struct mask_rule, 2);
    struct vlist erased = {.a = a}, masked = {.a = a};
    for (uint32_t i = 0; i < val_len(rules); i++) {
        TRY(rule_read(a, val_nth(rules, i), list)); /* all of them are sound, or none is used */
    }
    take_list(&erased, event, "erased");
    take_list(&masked, event, "masked");
    for (uint32_t i = 0; i < val_len(rules); i++) {
        TRY(rule_read(a, val_nth(rules, i), list));
        event = apply(a, list, event, &erased, &masked);
    }
    if (erased.n > 0) {
        event = val_with(a, event, val_str(a, S("erased")), vlist_array(&erased));
    }
    if (masked.n > 0) {
        event = val_with(a, event, val_str(a, S("masked")), vlist_array(&masked));
    }
    *out = event;
    return OK;
}
