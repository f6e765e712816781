/*
 * Secrets in text: keyword, pattern, entropy, and what looks like a secret but is none.
 *
 * Entropy is computed in fixed point: the same text gives the same answer on every machine.
 */
#include "assess.h"
#include "rules.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/regex/regex.h"

#include <stdlib.h>

enum { RULES_MAX = 128, MATCHES_MAX = 200 /* of one rule in one text */, Q = 16 };

struct scanner {
    struct regex *patterns[RULES_MAX];
    struct regex *not_values[RULES_MAX];
    struct regex *placeholder, *words_only, *other_name;
};

size_t scanner_rules(void)
{
    return assess_n_rules;
}

void scanner_free(struct scanner *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < assess_n_rules; i++) {
        regex_free(s->patterns[i]);
        regex_free(s->not_values[i]);
    }
    regex_free(s->placeholder);
    regex_free(s->words_only);
    regex_free(s->other_name);
    free(s);
}

/* Values that people write where a secret would go. */
static const char placeholder[] = "(?i)(?:^(?:true|false|null|none|undefined|changeme|change-me|"
                                  "example|redacted|placeholder|password|secret|token)$|"
                                  "x{5,}|\\*{3,}|\\.{3}|0{6,}|123456789|abcdefgh|"
                                  "^[<$%{@\\[(]|[>})\\]]$|\\$\\{|\\{\\{|%[sdvx]\\b|"
                                  "your[_-]|my[_-]?(?:secret|token|pass)|_here\\b|example|sample|"
                                  "dummy|fake|changeit|todo|insert|replace)";

static struct err compile_rule(struct scanner *s, size_t i)
{
    TRY(regex_compile(str_of(assess_rules[i].pattern), 0, &s->patterns[i]));
    if (assess_rules[i].not_value != NULL) {
        TRY(regex_compile(str_of(assess_rules[i].not_value), 0, &s->not_values[i]));
    }
    return OK;
}

struct err scanner_new(struct scanner **out)
{
    struct scanner *s = calloc(1, sizeof(*s));
    struct err e = OK;
    BUG_ON(s == NULL || assess_n_rules > RULES_MAX);
    for (size_t i = 0; i < assess_n_rules && !failed(e); i++) {
        e = compile_rule(s, i);
        e = failed(e) ? err_wrap(e, "rule %s", assess_rules[i].id) : e;
    }
    e = failed(e) ? e : regex_compile(str_of(placeholder), 0, &s->placeholder);
    e = failed(e) ? e : regex_compile(S("^[a-zA-Z_.-]+$"), 0, &s->words_only);
    e = failed(e) ? e
                  : regex_compile(S("(?i)(?:id|ids|name|version|type|path|file|url|uri|hash|"
                                    "algorithm)[\"'\\]]{0,2}\\s*[:=]"),
                                  0, &s->other_name);
    if (failed(e)) {
        scanner_free(s);
        return e;
    }
    *out = s;
    return OK;
}

/* log2(n) with Q fraction bits, n > 0: the integer part, then one bit a squaring. */
static uint64_t log2_fixed(uint64_t n)
{
    unsigned whole = 63 - (unsigned)__builtin_clzll(n);
    uint64_t x =
        n << (31 - whole); /* in [1, 2) with 31 fraction bits; texts are below 2^31 bytes */
    uint64_t result = (uint64_t)whole << Q;
    for (int bit = Q - 1; bit >= 0; bit--) {
        x = (x * x) >> 31;
        if (x >= UINT64_C(1) << 32) {
            x >>= 1;
            result |= UINT64_C(1) << bit;
        }
    }
    return result;
}

/* Shannon entropy in thousandths of a bit a byte: log2(n) - sum(c log2 c)/n. */
static int entropy_of(struct str s)
{
    uint32_t counts[256] = {0};
    uint64_t sum = 0;
    if (s.n == 0 || s.n > (1u << 20)) {
        return 0;
    }
    for (size_t i = 0; i < s.n; i++) {
        counts[(unsigned char)s.p[i]]++;
    }
    for (int c = 0; c < 256; c++) {
        sum += counts[c] > 1 ? counts[c] * log2_fixed(counts[c]) : 0;
    }
    return (int)(((log2_fixed(s.n) * s.n - sum) * 1000 / s.n) >> Q);
}

static bool has_keyword(const struct rule *r, struct str lower)
{
    for (struct str rest = str_of(r->keywords); rest.p != NULL;) {
        struct str word = str_split(&rest, ' ');
        if (memmem(lower.p, lower.n, word.p, word.n) != NULL) {
            return true;
        }
    }
    return false;
}

static struct str value_of(const struct str *groups, int n)
{
    for (int i = 1; i < n; i++) {
        if (groups[i].p != NULL && groups[i].n > 0) {
            return groups[i];
        }
    }
    return groups[0];
}

/* A generic match needs more than a pattern: a digit, no plain words, no code. */
static bool generic_is_none(const struct scanner *s, struct str value)
{
    bool digit = false;
    for (size_t i = 0; i < value.n; i++) {
        digit = digit || (value.p[i] >= '0' && value.p[i] <= '9');
    }
    return !digit || regex_match(s->words_only, value, NULL, 0) || str_find(value, S("==")) == 0 ||
           str_find(value, S("://")) != STR_NPOS || value.p[0] == '/' || value.p[0] == '.';
}

static bool is_secret(const struct scanner *s, size_t i, struct str value, struct str match)
{
    const struct rule *r = &assess_rules[i];
    if (r->entropy > 0 && entropy_of(value) <= r->entropy) {
        return false;
    }
    if (s->not_values[i] != NULL && regex_match(s->not_values[i], value, NULL, 0)) {
        return false;
    }
    bool private_key = str_is(str_of(r->id), "private-key");
    if (!private_key && regex_match(s->placeholder, value, NULL, 0)) {
        return false;
    }
    return (r->flags & RULE_GENERIC) == 0 ||
           (!generic_is_none(s, value) && !regex_match(s->other_name, match, NULL, 0));
}

/* A comment in the line says that the author knows. */
static bool line_is_allowed(struct str text, struct str value)
{
    size_t at = (size_t)(value.p - text.p), start = at, end = at;
    while (start > 0 && text.p[start - 1] != '\n') {
        start--;
    }
    while (end < text.n && text.p[end] != '\n') {
        end++;
    }
    struct str line = str_sub(text, start, end);
    return str_find(line, S("sextant:allow")) != STR_NPOS ||
           str_find(line, S("gitleaks:allow")) != STR_NPOS;
}

typedef bool (*on_secret)(void *ctx, size_t rule, struct str value);

/* Calls back for each secret of one rule; stops when the callback says so. */
static bool scan_rule(const struct scanner *s, size_t i, struct str text, on_secret fn, void *ctx)
{
    struct str groups[6];
    int n = MIN(regex_groups(s->patterns[i]) + 1, (int)ARRAY_LEN(groups));
    size_t from = 0;
    for (int count = 0;
         count < MATCHES_MAX && regex_match_from(s->patterns[i], text, from, groups, n); count++) {
        struct str value = value_of(groups, n);
        size_t end = (size_t)(groups[0].p - text.p) + groups[0].n;
        if (is_secret(s, i, value, groups[0]) && !line_is_allowed(text, value) &&
            fn(ctx, i, value)) {
            return true;
        }
        from = MAX(end, from + 1);
        if (from >= text.n) {
            break;
        }
    }
    return false;
}

static bool found_any(void *ctx, size_t rule, struct str value)
{
    (void)ctx, (void)rule, (void)value;
    return true;
}

bool scanner_finds(struct scanner *s, struct str text, struct str rule)
{
    char *copy = assess_lower(text);
    bool found = false;
    for (size_t i = 0; i < assess_n_rules && !found; i++) {
        bool asked = rule.n == 0 || str_is(rule, assess_rules[i].id);
        found = asked && has_keyword(&assess_rules[i], str_n(copy, text.n)) &&
                scan_rule(s, i, text, found_any, NULL);
    }
    free(copy);
    return found;
}

/* A sample whose time is over harms nobody. */
static bool is_expired_jwt(struct assess *a, struct str token)
{
    struct str rest = token, raw;
    struct json *claims;
    int64_t exp;
    str_split(&rest, '.');
    return !failed(base64_decode(&a->arena, str_split(&rest, '.'), BASE64_URL, &raw)) &&
           !failed(json_parse(&a->arena, raw, NULL, &claims)) &&
           !failed(json_i64(json_get(claims, "exp"), &exp)) && exp < clock_wall_s();
}

struct report {
    struct assess *a;
    const struct origin *o;
    struct str text;
    struct str taken; /* the value of a specific rule: generic ones must not repeat it */
};

static enum antipattern kind_of(const struct rule *r)
{
    return (r->flags & RULE_CLOUD_KEY) != 0 ? ANTI_LONG_LIVED_CLOUD_KEY : ANTI_SECRET_IN_GIT;
}

static bool overlaps(struct str a, struct str b)
{
    return a.p != NULL && a.p < b.p + b.n && b.p < a.p + a.n;
}

static bool report_secret(void *ctx, size_t rule, struct str value)
{
    struct report *x = ctx;
    const struct rule *r = &assess_rules[rule];
    if ((r->flags & (RULE_GENERIC | RULE_LOOSE | RULE_JWT)) != 0 && overlaps(x->taken, value)) {
        return false;
    }
    if ((r->flags & RULE_JWT) != 0 && is_expired_jwt(x->a, value)) {
        return false;
    }
    x->taken = value;
    size_t shown = MIN(value.n / 4, (size_t)4);
    struct finding f = {.kind = kind_of(r),
                        .rule = str_of(r->id),
                        .path = x->o->path,
                        .line = line_of(x->text, (size_t)(value.p - x->text.p)),
                        .commit = x->o->commit,
                        .text = str_of(r->what),
                        .mask = arena_printf(&x->a->arena, "%.*s...", (int)shown, value.p),
                        .in_tree = x->o->in_tree};
    assess_fingerprint(x->a, value, f.fingerprint);
    assess_find(x->a, &f);
    if ((r->flags & RULE_ADMIN) != 0 && x->o->in_tree) {
        struct str rest = x->o->path, top = str_split(&rest, '/');
        struct use u = {.consumer = x->o->path,
                        .team = rest.p != NULL ? top : S("."),
                        .name = f.rule,
                        .path = f.path,
                        .line = f.line,
                        .admin = true};
        memcpy(u.fingerprint, f.fingerprint, sizeof(u.fingerprint));
        assess_use(x->a, &u);
    }
    return false;
}

void scan_secrets(struct assess *a, const struct origin *o, struct str text)
{
    struct report x = {.a = a, .o = o, .text = text};
    char *copy = assess_lower(text);
    for (size_t i = 0; i < assess_n_rules; i++) {
        if (has_keyword(&assess_rules[i], str_n(copy, text.n))) {
            scan_rule(a->scanner, i, text, report_secret, &x);
        }
    }
    free(copy);
}
