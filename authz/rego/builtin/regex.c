/* Regular expressions (RE2), templates of them, and the intersection of glob-like patterns. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/builtin/gofmt.h"
#include "authz/rego/builtin/regex_cache.h"
#include "authz/rego/value/utf8.h"

/* Compiling may take a tenth of a millisecond and more; matching goes with the text, which is charged already. */
enum { COMPILE_STEPS = 2000 };

static bool compiled(struct bcall *b, struct str pattern, struct regex **out)
{
    unsigned long before = regex_cache_misses();
    struct err e = regex_cached(pattern, out);
    if (regex_cache_misses() != before) {
        size_t weight = failed(e) ? 0 : regex_weight(*out);
        if (b_budget(b, COMPILE_STEPS + 100 * (pattern.n + weight))) {
            return false;
        }
    }
    if (failed(e)) {
        (void)b_fail_err(b, e);
        return false;
    }
    return true;
}

static enum b_status b_match(struct bcall *b)
{
    struct str pattern, text;
    struct regex *re;
    if (!b_string(b, 1, &pattern) || !b_string(b, 2, &text) || !compiled(b, pattern, &re)) {
        return B_ERROR;
    }
    return b_out(b, val_bool(regex_match(re, text, NULL, 0)));
}

static enum b_status b_is_valid(struct bcall *b)
{
    struct regex *re;
    if (!val_is(b->args[0], V_STRING)) {
        return b_out(b, VAL_FALSE);
    }
    struct err e = regex_cached(val_text(b->args[0]), &re);
    return b_out(b, val_bool(!failed(e)));
}

/* All matches that do not overlap, at most `most` when it is not negative. */
static size_t next_match(struct regex *re, struct str text, size_t from, struct str *groups, int n,
                         bool after_match)
{
    while (from <= text.n && regex_match_from(re, text, from, groups, n)) {
        size_t at = (size_t)(groups[0].p - text.p), end = at + groups[0].n;
        /* An empty match right behind the one before does not count. */
        if (groups[0].n > 0 || !after_match || at != from) {
            return end;
        }
        if (from == text.n) {
            break;
        }
        utf8_next(text, &from);
        after_match = false;
    }
    return STR_NPOS;
}

struct matches {
    struct regex *re;
    struct str text, groups[REGEX_GROUPS_MAX + 1];
    int n_groups;
    size_t from;
    bool after;
};

static struct str solid(struct str s)
{
    return s.p != NULL ? s : S("");
}

static bool matches_next(struct matches *m)
{
    size_t end = next_match(m->re, m->text, m->from, m->groups, m->n_groups, m->after);
    if (end == STR_NPOS) {
        return false;
    }
    m->from = end;
    m->after = true;
    if (m->groups[0].n == 0) {
        if (m->from < m->text.n) {
            utf8_next(m->text, &m->from);
            m->after = false;
        } else {
            m->from = m->text.n + 1;
        }
    }
    return true;
}

static enum b_status b_find_n(struct bcall *b)
{
    struct str pattern, text;
    int64_t most;
    struct matches m = {.n_groups = 1};
    if (!b_string(b, 1, &pattern) || !b_string(b, 2, &text) || !b_int(b, 3, &most) ||
        !compiled(b, pattern, &m.re)) {
        return B_ERROR;
    }
    m.text = solid(text);
    struct vlist l = {.a = b->a};
    while ((most < 0 || (int64_t)l.n < most) && matches_next(&m)) {
        vlist_add(&l, val_str(b->a, m.groups[0]));
        if (b_budget(b, 4)) {
            return B_ERROR;
        }
    }
    return b_out(b, vlist_array(&l));
}

static enum b_status b_find_submatch(struct bcall *b)
{
    struct str pattern, text;
    int64_t most;
    struct matches m = {0};
    if (!b_string(b, 1, &pattern) || !b_string(b, 2, &text) || !b_int(b, 3, &most) ||
        !compiled(b, pattern, &m.re)) {
        return B_ERROR;
    }
    m.text = solid(text);
    m.n_groups = MIN(regex_groups(m.re), REGEX_GROUPS_MAX) + 1;
    struct vlist l = {.a = b->a};
    while ((most < 0 || (int64_t)l.n < most) && matches_next(&m)) {
        struct vlist one = {.a = b->a};
        for (int i = 0; i < m.n_groups; i++) {
            vlist_add(&one, val_str(b->a, m.groups[i]));
        }
        vlist_add(&l, vlist_array(&one));
        if (b_budget(b, 8)) {
            return B_ERROR;
        }
    }
    return b_out(b, vlist_array(&l));
}

/* $1, ${1}, $name, ${name}, $$ as Go's Expand reads them. */
static void expand(struct buf *out, struct regex *re, struct str template, const struct str *groups,
                   int n)
{
    for (size_t i = 0; i < template.n;) {
        if (template.p[i] != '$' || i + 1 >= template.n) {
            buf_putc(out, template.p[i++]);
            continue;
        }
        if (template.p[i + 1] == '$') {
            buf_putc(out, '$');
            i += 2;
            continue;
        }
        bool brace = template.p[i + 1] == '{';
        size_t from = i + 1 + brace, to = from;
        while (to < template.n &&
               ((template.p[to] >= '0' && template.p[to] <= '9') ||
                (template.p[to] >= 'a' && template.p[to] <= 'z') ||
                (template.p[to] >= 'A' && template.p[to] <= 'Z') || template.p[to] == '_')) {
            to++;
        }
        struct str name = str_sub(template, from, to);
        if (name.n == 0 || (brace && (to >= template.n || template.p[to] != '}'))) {
            buf_putc(out, template.p[i++]);
            continue;
        }
        i = to + brace;
        uint64_t number;
        bool numeric = !failed(str_to_u64(name, &number));
        for (int k = 0; k < n; k++) {
            if (numeric ? (uint64_t)k == number : k > 0 && str_eq(regex_group_name(re, k), name)) {
                buf_puts(out, groups[k]);
            }
        }
    }
}

static enum b_status b_replace(struct bcall *b)
{
    struct str text, pattern, template;
    struct matches m = {0};
    if (!b_string(b, 1, &text) || !b_string(b, 2, &pattern) || !b_string(b, 3, &template) ||
        !compiled(b, pattern, &m.re)) {
        return B_ERROR;
    }
    m.text = solid(text);
    m.n_groups = MIN(regex_groups(m.re), REGEX_GROUPS_MAX) + 1;
    struct buf out;
    buf_init(&out, b_text_max(b, 256 << 20));
    size_t done = 0;
    while (matches_next(&m)) {
        size_t at = (size_t)(m.groups[0].p - m.text.p);
        buf_puts(&out, str_sub(m.text, done, at));
        expand(&out, m.re, template, m.groups, m.n_groups);
        done = at + m.groups[0].n;
    }
    buf_puts(&out, str_sub(m.text, done, m.text.n));
    return b_buf(b, &out);
}

static enum b_status b_split(struct bcall *b)
{
    struct str pattern, text;
    struct matches m = {.n_groups = 1};
    if (!b_string(b, 1, &pattern) || !b_string(b, 2, &text) || !compiled(b, pattern, &m.re)) {
        return B_ERROR;
    }
    m.text = solid(text);
    struct vlist l = {.a = b->a};
    size_t from = 0, end = 0;
    while (matches_next(&m)) {
        size_t at = (size_t)(m.groups[0].p - m.text.p), to = at + m.groups[0].n;
        end = at;
        if (to != 0) {
            vlist_add(&l, val_str(b->a, str_sub(m.text, from, at)));
        }
        from = to;
    }
    if (end != m.text.n || m.text.n == 0) {
        vlist_add(&l, val_str(b->a, str_sub(m.text, from, m.text.n)));
    }
    return b_out(b, vlist_array(&l));
}

static void put_literal(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\0' && strchr("\\.+*?()|[]{}^$", s.p[i]) != NULL) {
            buf_putc(out, '\\');
        }
        buf_putc(out, s.p[i]);
    }
}

/* A piece stands in parentheses, and must be an expression by itself. */
static bool put_piece(struct bcall *b, struct buf *out, struct str piece)
{
    struct regex *re;
    buf_putc(out, '(');
    buf_puts(out, piece);
    buf_putc(out, ')');
    return compiled(b, arena_printf(b->a, "^%.*s$", STR_FMT(piece)), &re);
}

/* The pieces between delimiters are expressions; what stands around them is literal. */
static bool template_pattern(struct bcall *b, struct str t, char open, char close, struct buf *out)
{
    long level = 0;
    size_t from = 0, literal = 0;
    buf_putc(out, '^');
    for (size_t i = 0; i < t.n && level >= 0; i++) {
        if (t.p[i] == open) {
            from = level++ == 0 ? i : from;
        } else if (t.p[i] == close && --level == 0) {
            put_literal(out, str_sub(t, literal, from));
            literal = i + 1;
            if (!put_piece(b, out, str_sub(t, from + 1, i))) {
                return false;
            }
        }
    }
    if (level != 0) {
        struct buf text;
        buf_init(&text, 4 * t.n + 16);
        gofmt_quoted(&text, t);
        (void)b_fail(b, "unbalanced braces in %.*s", STR_FMT(buf_str(&text)));
        buf_release(&text);
        return false;
    }
    put_literal(out, str_sub(t, literal, t.n));
    buf_putc(out, '$');
    return true;
}

static enum b_status b_template_match(struct bcall *b)
{
    struct str t, text, open, close;
    struct regex *re;
    if (!b_string(b, 1, &t) || !b_string(b, 2, &text) || !b_string(b, 3, &open) ||
        !b_string(b, 4, &close)) {
        return B_ERROR;
    }
    if (open.n != 1) {
        return b_fail(b, "start delimiter has to be exactly one character long but is %zu long",
                      open.n);
    }
    if (close.n != 1) {
        return b_fail(b, "end delimiter has to be exactly one character long but is %zu long",
                      open.n);
    }
    struct buf pattern;
    buf_init(&pattern, 1 << 20);
    bool ok = template_pattern(b, t, open.p[0], close.p[0], &pattern) &&
              compiled(b, buf_str(&pattern), &re);
    if (ok) {
        b->out = val_bool(regex_match(re, text, NULL, 0));
    }
    buf_release(&pattern);
    return ok ? B_OK : B_ERROR;
}

const struct builtin builtins_regex[] = {
    {"regex.match", 2, b_match, 0},
    {"re_match", 2, b_match, BF_DEPRECATED},
    {"regex.is_valid", 1, b_is_valid, 0},
    {"regex.find_n", 3, b_find_n, 0},
    {"regex.find_all_string_submatch_n", 3, b_find_submatch, 0},
    {"regex.replace", 3, b_replace, 0},
    {"regex.split", 2, b_split, 0},
    {"regex.template_match", 4, b_template_match, 0},
    {0},
};
