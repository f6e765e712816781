#include "regex.h"

#include "lib/base/buf.h"
#include "quick.h"

#include <stdlib.h>

struct shim; /* RE2's own */
struct shim *regex_shim_new(const char *p, size_t n, unsigned flags, long mem, char *why,
                            size_t why_size, int *limit);
void regex_shim_free(struct shim *re);
int regex_shim_groups(const struct shim *re);
int regex_shim_size(const struct shim *re);
int regex_shim_match(const struct shim *re, const char *p, size_t n, size_t from, int full,
                     struct str *groups, int n_groups);
const char *regex_shim_name(const struct shim *re, int i);

struct regex {
    struct quick *quick; /* NULL: RE2 alone */
    struct shim *re2;    /* NULL until a quick pattern needs it */
    char *pattern;       /* of a quick one */
    size_t n;
};

/* Where the class that begins at `at` ends: a ] right at its start is one of its characters. */
static size_t class_end(struct str s, size_t at)
{
    size_t i = at + 1;
    i += i < s.n && s.p[i] == '^';
    i += i < s.n && s.p[i] == ']';
    for (; i < s.n && s.p[i] != ']'; i++) {
        if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == '[' && i + 1 < s.n && s.p[i + 1] == ':') {
            size_t end = str_find(str_sub(s, i, s.n), S(":]"));
            i += end != STR_NPOS ? end + 1 : 0;
        }
    }
    return i;
}

/* (?<name>…) is (?P<name>…) to RE2 of this age. */
static void name_groups(struct buf *out, struct str s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == 'Q') {
            size_t end = str_find(str_sub(s, i, s.n), S("\\E"));
            i = end != STR_NPOS ? i + end + 1 : s.n;
        } else if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == '[') {
            i = class_end(s, i);
        } else if (str_starts(str_sub(s, i, s.n), S("(?<"))) {
            buf_puts(out, str_sub(s, from, i));
            buf_puts(out, S("(?P<"));
            from = i + 3;
        }
    }
    buf_puts(out, str_sub(s, from, s.n));
}

static struct err shim_make(struct str pattern, unsigned flags, struct shim **out)
{
    char why[256] = "";
    int limit = 0;
    struct buf text;
    buf_init(&text, 2 * pattern.n + 8);
    if (str_find(pattern, S("(?<")) != STR_NPOS && (flags & REGEX_LITERAL) == 0) {
        name_groups(&text, pattern);
        pattern = buf_str(&text);
    }
    struct shim *re =
        regex_shim_new(pattern.p, pattern.n, flags, REGEX_MEM_MAX, why, sizeof why, &limit);
    buf_release(&text);
    ENSURE(re != NULL || !limit, ERR_LIMIT, "regular expression too large: %s", why);
    ENSURE(re != NULL, ERR_SYNTAX, "error parsing regexp: %s", why);
    *out = re;
    return OK;
}

/* RE2 knows `\C`, any byte; the language that it shares with Go does not, and it would cut letters. */
static struct err no_bytes(struct str p)
{
    for (size_t i = 0; i + 1 < p.n; i++) {
        if (p.p[i] != '\\') {
            continue;
        }
        i++;
        ENSURE(p.p[i] != 'C', ERR_SYNTAX, "error parsing regexp: invalid escape sequence: `\\C`");
        if (p.p[i] == 'Q') {
            size_t end = str_find(str_sub(p, i, p.n), S("\\E"));
            i = end == STR_NPOS ? p.n : i + end + 1;
        }
    }
    return OK;
}

struct err regex_compile(struct str pattern, unsigned flags, struct regex **out)
{
    struct shim *re2 = NULL;
    struct quick *quick = flags == 0 ? quick_compile(pattern) : NULL;
    if (quick == NULL) {
        TRY(no_bytes(pattern));
        TRY(shim_make(pattern, flags, &re2));
    }
    struct regex *re = calloc(1, sizeof *re);
    BUG_ON(re == NULL);
    *re = (struct regex){.quick = quick, .re2 = re2};
    if (quick != NULL) {
        re->pattern = strndup(pattern.p, pattern.n); /* a quick pattern holds no NUL */
        re->n = pattern.n;
        BUG_ON(re->pattern == NULL);
    }
    *out = re;
    return OK;
}

size_t regex_weight(const struct regex *re)
{
    return re->re2 != NULL ? (size_t)regex_shim_size(re->re2) : re->n;
}

void regex_free(struct regex *re)
{
    if (re != NULL) {
        quick_free(re->quick);
        regex_shim_free(re->re2);
        free(re->pattern);
        free(re);
    }
}

/* What is quick is a valid pattern of a bounded size: RE2 takes it. */
static const struct shim *shim_of(const struct regex *re)
{
    struct regex *mine = (struct regex *)(uintptr_t)re;
    if (mine->re2 == NULL) {
        struct err e = shim_make(str_n(mine->pattern, mine->n), 0, &mine->re2);
        BUG_ON(failed(e));
    }
    return mine->re2;
}

bool regex_is_quick(const struct regex *re)
{
    return re->quick != NULL;
}

int regex_groups(const struct regex *re)
{
    return re->quick != NULL ? 0 : regex_shim_groups(re->re2);
}

/* RE2 reports an empty match at the start of an absent text as a NULL pointer; keep it non-NULL. */
static struct str solid(struct str text)
{
    return text.p != NULL ? text : S("");
}

bool regex_match(const struct regex *re, struct str text, struct str *groups, int n)
{
    if (n == 0 && re->quick != NULL) {
        enum quick_answer answer = quick_match(re->quick, text);
        if (answer != QUICK_UNKNOWN) {
            return answer == QUICK_YES;
        }
    }
    return regex_match_from(re, text, 0, groups, n);
}

bool regex_match_from(const struct regex *re, struct str text, size_t from, struct str *groups,
                      int n)
{
    BUG_ON(n > REGEX_GROUPS_MAX + 1 || from > text.n);
    text = solid(text);
    return regex_shim_match(shim_of(re), text.p, text.n, from, 0, groups, n) != 0;
}

bool regex_match_full(const struct regex *re, struct str text)
{
    text = solid(text);
    return regex_shim_match(shim_of(re), text.p, text.n, 0, 1, NULL, 0) != 0;
}

struct str regex_group_name(const struct regex *re, int i)
{
    return re->quick != NULL ? STR_EMPTY : str_of(regex_shim_name(re->re2, i));
}
