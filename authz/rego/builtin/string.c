/* Strings: all positions and lengths count code points. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/value/utf8.h"

enum { STRING_MAX = 256 << 20 };

static bool two(struct bcall *b, struct str *x, struct str *y)
{
    return b_string(b, 1, x) && b_string(b, 2, y);
}

static enum b_status b_concat(struct bcall *b)
{
    struct str sep;
    struct val v = b->args[1];
    if (!b_string(b, 1, &sep)) {
        return B_ERROR;
    }
    if (!val_is(v, V_ARRAY) && !val_is(v, V_SET)) {
        return b_type(b, 2, "one of {set, array}");
    }
    if (!b_strings(b, 2)) {
        return B_ERROR;
    }
    struct buf out;
    buf_init(&out, b_text_max(b, STRING_MAX));
    for (uint32_t i = 0; i < val_len(v); i++) {
        buf_puts(&out, i > 0 ? sep : STR_EMPTY);
        buf_puts(&out, val_text(val_nth(v, i)));
    }
    return b_buf(b, &out);
}

static enum b_status b_contains(struct bcall *b)
{
    struct str s, t;
    return two(b, &s, &t) ? b_out(b, val_bool(str_find(s, t) != STR_NPOS)) : B_ERROR;
}

static enum b_status b_startswith(struct bcall *b)
{
    struct str s, t;
    return two(b, &s, &t) ? b_out(b, val_bool(str_starts(s, t))) : B_ERROR;
}

static enum b_status b_endswith(struct bcall *b)
{
    struct str s, t;
    return two(b, &s, &t) ? b_out(b, val_bool(str_ends(s, t))) : B_ERROR;
}

static enum b_status b_indexof(struct bcall *b)
{
    struct str s, t;
    if (!two(b, &s, &t)) {
        return B_ERROR;
    }
    if (t.n == 0) {
        return b_fail(b, "empty search character");
    }
    size_t at = str_find(s, t);
    int64_t i = at == STR_NPOS ? -1 : (int64_t)utf8_count(str_sub(s, 0, at));
    return b_out(b, val_int(b->a, i));
}

static enum b_status b_indexof_n(struct bcall *b)
{
    struct str s, t;
    struct vlist l = {.a = b->a};
    if (!two(b, &s, &t)) {
        return B_ERROR;
    }
    if (t.n == 0) {
        return b_fail(b, "empty search character");
    }
    int64_t i = 0;
    for (size_t at = 0; at < s.n; i++) {
        if (str_starts(str_sub(s, at, s.n), t)) {
            vlist_add(&l, val_int(b->a, i));
        }
        utf8_next(s, &at);
        if (i % 4096 == 0 && b_budget(b, 64)) {
            return B_ERROR;
        }
    }
    return b_out(b, vlist_array(&l));
}

static enum b_status map_case(struct bcall *b, uint32_t (*fn)(uint32_t))
{
    struct str s;
    struct buf out;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    if (b_budget(b, s.n / 64)) {
        return B_ERROR;
    }
    buf_init(&out, b_text_max(b, STRING_MAX));
    for (size_t at = 0; at < s.n;) {
        if ((uint8_t)s.p[at] < 0x80) {
            buf_putc(&out, (char)fn((uint8_t)s.p[at++]));
        } else {
            utf8_put(&out, fn(utf8_next(s, &at)));
        }
    }
    return b_buf(b, &out);
}

static enum b_status b_lower(struct bcall *b)
{
    return map_case(b, utf8_lower);
}
static enum b_status b_upper(struct bcall *b)
{
    return map_case(b, utf8_upper);
}

static void replace_all(struct buf *out, struct str s, struct str old, struct str new)
{
    if (old.n == 0) {
        buf_puts(out, new);
        for (size_t at = 0; at < s.n;) {
            size_t from = at;
            utf8_next(s, &at);
            buf_puts(out, str_sub(s, from, at));
            buf_puts(out, new);
        }
        return;
    }
    for (;;) {
        size_t at = str_find(s, old);
        if (at == STR_NPOS) {
            buf_puts(out, s);
            return;
        }
        buf_puts(out, str_sub(s, 0, at));
        buf_puts(out, new);
        s = str_sub(s, at + old.n, s.n);
    }
}

static enum b_status b_replace(struct bcall *b)
{
    struct str s, old, new;
    struct buf out;
    if (!two(b, &s, &old) || !b_string(b, 3, &new)) {
        return B_ERROR;
    }
    buf_init(&out, b_text_max(b, STRING_MAX));
    replace_all(&out, s, old, new);
    return b_buf(b, &out);
}

/* One pass: at each place the first key, in sorted order, that matches there. */
static enum b_status b_replace_n(struct bcall *b)
{
    struct val pairs = b->args[0];
    struct str s;
    if (!b_is(b, 1, V_OBJECT)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(pairs); i++) {
        if (!val_is(val_nth_key(b->a, pairs, i), V_STRING)) {
            return b_operand(b, 1, "non-string key found in pattern object");
        }
        if (!val_is(val_nth(pairs, i), V_STRING)) {
            return b_operand(b, 1, "non-string value found in pattern object");
        }
    }
    if (!b_string(b, 2, &s)) {
        return B_ERROR;
    }
    struct buf out;
    buf_init(&out, b_text_max(b, STRING_MAX));
    bool after_empty = false;
    for (size_t at = 0; at <= s.n;) {
        bool hit = false;
        if (b_budget(b, val_len(pairs) / 4)) {
            buf_release(&out);
            return B_ERROR;
        }
        for (uint32_t i = 0; i < val_len(pairs) && !hit; i++) {
            struct str key = val_text(val_nth_key(b->a, pairs, i));
            hit = str_starts(str_sub(s, at, s.n), key) && !(key.n == 0 && after_empty);
            if (hit) {
                buf_puts(&out, val_text(val_nth(pairs, i)));
                at += key.n;
                after_empty = key.n == 0;
            }
        }
        if (hit) {
            continue;
        }
        if (at == s.n) {
            break;
        }
        size_t from = at;
        utf8_next(s, &at);
        buf_puts(&out, str_sub(s, from, at));
        after_empty = false;
    }
    return b_buf(b, &out);
}

/* False: out of budget. */
static bool split_into(struct bcall *b, struct vlist *l, struct str s, struct str sep, int64_t most)
{
    if (sep.n == 0) {
        for (size_t at = 0; at < s.n && (most < 0 || most-- > 0);) {
            size_t from = at;
            utf8_next(s, &at);
            vlist_add(l, val_str(l->a, str_sub(s, from, at)));
            if (l->n % 1024 == 0 && b_budget(b, 256)) {
                return false;
            }
        }
        return true;
    }
    for (;;) {
        size_t at = str_find(s, sep);
        vlist_add(l, val_str(l->a, str_sub(s, 0, at == STR_NPOS ? s.n : at)));
        if (at == STR_NPOS || (most >= 0 && (int64_t)l->n >= most)) {
            return true;
        }
        if (l->n % 1024 == 0 && b_budget(b, 256)) {
            return false;
        }
        s = str_sub(s, at + sep.n, s.n);
    }
}

static enum b_status b_split(struct bcall *b)
{
    struct str s, sep;
    struct vlist l = {.a = b->a};
    if (!two(b, &s, &sep)) {
        return B_ERROR;
    }
    if (!split_into(b, &l, s, sep, -1)) {
        return B_ERROR;
    }
    return b_out(b, vlist_array(&l));
}

/* The first n pieces, or the last |n|. */
static enum b_status b_split_n(struct bcall *b)
{
    struct str s, sep;
    int64_t n;
    struct vlist l = {.a = b->a};
    if (!two(b, &s, &sep) || !b_int(b, 3, &n)) {
        return B_ERROR;
    }
    if (n == 0) {
        return b_out(b, val_empty_array());
    }
    if (!split_into(b, &l, s, sep, n > 0 ? n : -1)) {
        return B_ERROR;
    }
    if (n > 0) {
        l.n = MIN(l.n, (size_t)n);
        return b_out(b, vlist_array(&l));
    }
    uint64_t last = 0 - (uint64_t)n;
    size_t skip = l.n > last ? l.n - (size_t)last : 0;
    return b_out(b, val_array(b->a, l.v + skip, l.n - skip));
}

static enum b_status b_substring(struct bcall *b)
{
    struct str s;
    int64_t from, len;
    if (!b_string(b, 1, &s) || !b_int(b, 2, &from) || !b_int(b, 3, &len)) {
        return B_ERROR;
    }
    if (from < 0) {
        return b_fail(b, "negative offset");
    }
    size_t start = utf8_offset(s, (size_t)MIN(from, (int64_t)s.n));
    struct str rest = str_sub(s, start, s.n);
    return b_str(b, len < 0 ? rest : str_sub(rest, 0, utf8_offset(rest, (size_t)len)));
}

static bool in_set(struct str set, uint32_t c)
{
    for (size_t at = 0; at < set.n;) {
        if (utf8_next(set, &at) == c) {
            return true;
        }
    }
    return false;
}

static size_t last_start(struct str s)
{
    size_t at = s.n - 1;
    while (at > 0 && ((unsigned char)s.p[at] & 0xc0) == 0x80) {
        at--;
    }
    return at;
}

static struct str trim_by(struct str s, struct str set, bool left, bool right)
{
    while (left && s.n > 0) {
        size_t at = 0;
        if (!in_set(set, utf8_next(s, &at))) {
            break;
        }
        s = str_sub(s, at, s.n);
    }
    while (right && s.n > 0) {
        size_t at = last_start(s), end = at;
        if (!in_set(set, utf8_next(s, &end))) {
            break;
        }
        s = str_sub(s, 0, at);
    }
    return s;
}

static enum b_status trim(struct bcall *b, bool left, bool right)
{
    struct str s, set;
    return two(b, &s, &set) ? b_str(b, trim_by(s, set, left, right)) : B_ERROR;
}

static enum b_status b_trim(struct bcall *b)
{
    return trim(b, true, true);
}
static enum b_status b_trim_left(struct bcall *b)
{
    return trim(b, true, false);
}
static enum b_status b_trim_right(struct bcall *b)
{
    return trim(b, false, true);
}

static enum b_status b_trim_prefix(struct bcall *b)
{
    struct str s, t;
    return two(b, &s, &t) ? b_str(b, str_starts(s, t) ? str_sub(s, t.n, s.n) : s) : B_ERROR;
}

static enum b_status b_trim_suffix(struct bcall *b)
{
    struct str s, t;
    return two(b, &s, &t) ? b_str(b, str_ends(s, t) ? str_sub(s, 0, s.n - t.n) : s) : B_ERROR;
}

static enum b_status b_trim_space(struct bcall *b)
{
    struct str s;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    for (size_t at = 0; s.n > 0 && utf8_is_space(utf8_next(s, &at)); at = 0) {
        s = str_sub(s, at, s.n);
    }
    while (s.n > 0) {
        size_t at = last_start(s), end = at;
        if (!utf8_is_space(utf8_next(s, &end))) {
            break;
        }
        s = str_sub(s, 0, at);
    }
    return b_str(b, s);
}

static enum b_status b_reverse(struct bcall *b)
{
    struct str s;
    if (!val_is(b->args[0], V_STRING)) {
        return b_type(b, 1, "string");
    }
    s = val_text(b->args[0]);
    struct vstr *r = val_str_room(b->a, s.n);
    for (size_t at = 0; at < s.n;) {
        size_t from = at;
        utf8_next(s, &at);
        memcpy(r->p + s.n - at, s.p + from, at - from);
    }
    return b_out(b, val_str_done(r));
}

static enum b_status b_str_count(struct bcall *b)
{
    struct str s, t;
    if (!two(b, &s, &t)) {
        return B_ERROR;
    }
    if (t.n == 0) {
        return b_out(b, val_int(b->a, (int64_t)utf8_count(s) + 1));
    }
    int64_t n = 0;
    for (size_t at; (at = str_find(s, t)) != STR_NPOS; n++) {
        s = str_sub(s, at + t.n, s.n);
    }
    return b_out(b, val_int(b->a, n));
}

static bool string_list(struct bcall *b, int pos, struct vlist *out)
{
    struct val v = b->args[pos - 1];
    if (val_is(v, V_STRING)) {
        vlist_add(out, v);
        return true;
    }
    if (!val_is(v, V_ARRAY) && !val_is(v, V_SET)) {
        (void)b_type(b, pos, "one of {string, set, array}");
        return false;
    }
    if (!b_strings(b, pos)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        vlist_add(out, val_nth(v, i));
    }
    return true;
}

static enum b_status any_match(struct bcall *b, bool (*fn)(struct str, struct str))
{
    struct vlist texts = {.a = b->a}, bases = {.a = b->a};
    if (!string_list(b, 1, &texts) || !string_list(b, 2, &bases)) {
        return B_ERROR;
    }
    for (size_t i = 0; i < texts.n; i++) {
        for (size_t k = 0; k < bases.n; k++) {
            if (fn(val_text(texts.v[i]), val_text(bases.v[k]))) {
                return b_out(b, VAL_TRUE);
            }
        }
        if (b_budget(b, bases.n)) {
            return B_ERROR;
        }
    }
    return b_out(b, VAL_FALSE);
}

static enum b_status b_any_prefix(struct bcall *b)
{
    return any_match(b, str_starts);
}
static enum b_status b_any_suffix(struct bcall *b)
{
    return any_match(b, str_ends);
}

const struct builtin builtins_string[] = {
    {"concat", 2, b_concat, 0},
    {"contains", 2, b_contains, BF_CHEAP},
    {"startswith", 2, b_startswith, BF_CHEAP},
    {"endswith", 2, b_endswith, BF_CHEAP},
    {"indexof", 2, b_indexof, 0},
    {"indexof_n", 2, b_indexof_n, 0},
    {"lower", 1, b_lower, 0},
    {"upper", 1, b_upper, 0},
    {"replace", 3, b_replace, 0},
    {"strings.replace_n", 2, b_replace_n, 0},
    {"split", 2, b_split, 0},
    {"strings.split_n", 3, b_split_n, 0},
    {"substring", 3, b_substring, BF_CHEAP},
    {"trim", 2, b_trim, 0},
    {"trim_left", 2, b_trim_left, 0},
    {"trim_right", 2, b_trim_right, 0},
    {"trim_prefix", 2, b_trim_prefix, BF_CHEAP},
    {"trim_suffix", 2, b_trim_suffix, BF_CHEAP},
    {"trim_space", 1, b_trim_space, 0},
    {"strings.reverse", 1, b_reverse, 0},
    {"strings.count", 2, b_str_count, 0},
    {"strings.any_prefix_match", 2, b_any_prefix, 0},
    {"strings.any_suffix_match", 2, b_any_suffix, 0},
    {0},
};
