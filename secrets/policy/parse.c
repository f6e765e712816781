/*
 * Reading a policy: from HCL or JSON to rules, with everything that is wrong in it named at once.
 */
#include "policy_priv.h"

#include "lib/base/clock.h"
#include "lib/hcl/hcl.h"

#include <stdarg.h>

enum { POLICY_ARENA_MAX = 64 << 20, PROBLEMS_MAX = 900 };

static const struct {
    const char *name;
    unsigned cap;
} cap_names[] = {
    {"deny", CAP_DENY},     {"create", CAP_CREATE}, {"read", CAP_READ},
    {"update", CAP_UPDATE}, {"delete", CAP_DELETE}, {"list", CAP_LIST},
    {"sudo", CAP_SUDO},     {"patch", CAP_PATCH},   {"scan", CAP_SCAN},
};

static const struct {
    const char *name;
    unsigned caps;
} shorthands[] = {
    {"deny", CAP_DENY},
    {"read", CAP_READ | CAP_LIST},
    {"write", CAP_CREATE | CAP_READ | CAP_UPDATE | CAP_DELETE | CAP_LIST},
    {"sudo", CAP_CREATE | CAP_READ | CAP_UPDATE | CAP_DELETE | CAP_LIST | CAP_SUDO},
};

struct reader {
    struct policy *policy;
    size_t cap_rules;
    struct buf problems; /* one line a problem */
};

static void problem(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void problem(struct reader *r, const char *fmt, ...)
{
    char line[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (r->problems.n > 0) {
        buf_puts(&r->problems, S("; "));
    }
    buf_puts(&r->problems, str_of(line));
}

/* Names every member of `obj` that is not in the NULL-terminated list. */
static void only_keys(struct reader *r, const struct json *obj, const char *const *known,
                      struct str path)
{
    for (uint32_t i = 0; i < obj->n; i++) {
        const struct json_member *m = &obj->members[i];
        bool ok = false;
        for (const char *const *k = known; *k != NULL; k++) {
            ok |= str_is(m->key, *k);
        }
        if (ok) {
            continue;
        }
        if (path.p != NULL) {
            problem(r, "path \"%.*s\": invalid key \"%.*s\" on line %u", STR_FMT(path),
                    STR_FMT(m->key), m->value->line);
        } else {
            problem(r, "invalid key \"%.*s\" on line %u", STR_FMT(m->key), m->value->line);
        }
    }
}

static void read_shorthand(struct reader *r, const struct json *v, struct policy_rule *rule)
{
    for (size_t i = 0; i < ARRAY_LEN(shorthands); i++) {
        if (str_is(json_str(v), shorthands[i].name)) {
            rule->caps |= shorthands[i].caps;
            return;
        }
    }
    problem(r, "path \"%.*s\": invalid policy \"%.*s\"", STR_FMT(rule->written),
            STR_FMT(json_str(v)));
}

static void read_capability(struct reader *r, struct str name, struct policy_rule *rule)
{
    for (size_t i = 0; i < ARRAY_LEN(cap_names); i++) {
        if (str_is(name, cap_names[i].name)) {
            rule->caps |= cap_names[i].cap;
            return;
        }
    }
    problem(r, "path \"%.*s\": invalid capability \"%.*s\"", STR_FMT(rule->written), STR_FMT(name));
}

static void read_capabilities(struct reader *r, const struct json *v, struct policy_rule *rule)
{
    if (v->type == JSON_STRING) {
        read_capability(r, v->text, rule);
        return;
    }
    if (v->type != JSON_ARRAY) {
        problem(r, "path \"%.*s\": capabilities must be a list of strings", STR_FMT(rule->written));
        return;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        read_capability(r, json_str(v->items[i]), rule);
    }
}

static void read_ttl(struct reader *r, const struct json *v, struct policy_rule *rule,
                     const char *name, int64_t *out)
{
    int64_t ns = -1;
    struct err e = v->type == JSON_NUMBER || v->type == JSON_STRING
                       ? duration_parse(v->text, &ns)
                       : err_make(ERR_SYNTAX, "not a duration");
    if (failed(e) || ns < 0) {
        problem(r, "path \"%.*s\": error parsing %s: %s", STR_FMT(rule->written), name,
                err_detail());
        return;
    }
    *out = ns / NS_PER_S;
}

/* {name: [values]}: names in lower case; a value that is not a list becomes a list of one. */
static void read_parameters(struct reader *r, const struct json *v, struct policy_rule *rule,
                            const char *what, struct json **out)
{
    struct arena *a = &r->policy->arena;
    if (v->type == JSON_ARRAY && v->n == 1) {
        v = v->items[0]; /* HCL's block form */
    }
    if (v->type != JSON_OBJECT) {
        problem(r, "path \"%.*s\": %s must be a map of lists", STR_FMT(rule->written), what);
        return;
    }
    struct json *obj = json_new_object(a);
    for (uint32_t i = 0; i < v->n; i++) {
        struct json *values = v->members[i].value;
        if (values->type != JSON_ARRAY) {
            struct json *list = json_new_array(a);
            json_push(a, list, values);
            values = list;
        }
        json_set(a, obj, str_lower(a, v->members[i].key), values);
    }
    *out = obj;
}

static void read_strings(struct reader *r, struct json *v, struct policy_rule *rule,
                         const char *what, struct json **out)
{
    bool ok = v->type == JSON_ARRAY;
    for (uint32_t i = 0; ok && i < v->n; i++) {
        ok = v->items[i]->type == JSON_STRING;
    }
    if (!ok) {
        problem(r, "path \"%.*s\": %s must be a list of strings", STR_FMT(rule->written), what);
        return;
    }
    *out = v;
}

static void read_body(struct reader *r, const struct json *body, struct policy_rule *rule)
{
    static const char *const known[] = {"comment",           "policy",
                                        "capabilities",      "allowed_parameters",
                                        "denied_parameters", "required_parameters",
                                        "min_wrapping_ttl",  "max_wrapping_ttl",
                                        "mfa_methods",       NULL};
    only_keys(r, body, known, rule->written);
    for (uint32_t i = 0; i < body->n; i++) {
        struct str key = body->members[i].key;
        struct json *v = body->members[i].value;
        if (str_is(key, "policy")) {
            read_shorthand(r, v, rule);
        } else if (str_is(key, "capabilities")) {
            read_capabilities(r, v, rule);
        } else if (str_is(key, "allowed_parameters")) {
            read_parameters(r, v, rule, "allowed_parameters", &rule->allowed);
        } else if (str_is(key, "denied_parameters")) {
            read_parameters(r, v, rule, "denied_parameters", &rule->denied);
        } else if (str_is(key, "required_parameters")) {
            read_strings(r, v, rule, "required_parameters", &rule->required);
        } else if (str_is(key, "mfa_methods")) {
            read_strings(r, v, rule, "mfa_methods", &rule->mfa_methods);
        } else if (str_is(key, "min_wrapping_ttl")) {
            read_ttl(r, v, rule, "min_wrapping_ttl", &rule->min_wrap_s);
        } else if (str_is(key, "max_wrapping_ttl")) {
            read_ttl(r, v, rule, "max_wrapping_ttl", &rule->max_wrap_s);
        }
    }
    if ((rule->caps & CAP_DENY) != 0) {
        rule->caps = CAP_DENY;
        rule->allowed = rule->denied = rule->required = NULL;
    }
    if (rule->min_wrap_s != 0 && rule->max_wrap_s != 0 && rule->max_wrap_s < rule->min_wrap_s) {
        problem(r, "path \"%.*s\": max_wrapping_ttl cannot be less than min_wrapping_ttl",
                STR_FMT(rule->written));
    }
}

static struct policy_rule *new_rule(struct reader *r)
{
    struct policy *p = r->policy;
    if (p->n_rules == r->cap_rules) {
        p->rules = arena_grow(&p->arena, p->rules, p->n_rules, p->n_rules + 1, &r->cap_rules,
                              sizeof *p->rules);
    }
    struct policy_rule *rule = &p->rules[p->n_rules++];
    *rule = (struct policy_rule){0};
    return rule;
}

void policy_rule_pattern(struct policy_rule *rule, struct str path)
{
    if (str_starts(path, S("/"))) {
        path = str_sub(path, 1, path.n);
    }
    rule->segments = false;
    for (struct str rest = path, part; rest.p != NULL;) {
        part = str_split(&rest, '/');
        rule->segments |= str_is(part, "+");
    }
    rule->prefix = str_ends(path, S("*"));
    rule->path = rule->prefix && !rule->segments ? str_sub(path, 0, path.n - 1) : path;
}

static struct err read_path(struct reader *r, struct str path, const struct json *body)
{
    ENSURE(r->policy->n_rules < POLICY_RULES_MAX, ERR_LIMIT, "a policy has at most %d paths",
           POLICY_RULES_MAX);
    if (body->type != JSON_OBJECT) {
        problem(r, "path \"%.*s\" on line %u must be an object", STR_FMT(path), body->line);
        return OK;
    }
    struct policy_rule *rule = new_rule(r);
    rule->written = path;
    rule->line = body->line;
    if (str_find(path, S("+*")) != STR_NPOS) {
        problem(r, "path \"%.*s\": invalid use of wildcards ('+*' is forbidden)", STR_FMT(path));
    }
    rule->templated = str_find(path, S("{{")) != STR_NPOS || str_find(path, S("}}")) != STR_NPOS;
    r->policy->templated |= rule->templated;
    policy_rule_pattern(rule, path);
    read_body(r, body, rule);
    return OK;
}

/* `paths` is an object {pattern: body}, or an array of such objects; a body may be an array too. */
static struct err read_path_object(struct reader *r, const struct json *obj)
{
    for (uint32_t i = 0; i < obj->n; i++) {
        const struct json *body = obj->members[i].value;
        bool many = body->type == JSON_ARRAY;
        for (uint32_t k = 0; k < (many ? body->n : 1); k++) {
            TRY(read_path(r, obj->members[i].key, many ? body->items[k] : body));
        }
    }
    return OK;
}

static struct err read_paths(struct reader *r, const struct json *paths)
{
    bool many = paths->type == JSON_ARRAY;
    for (uint32_t i = 0; i < (many ? paths->n : 1); i++) {
        const struct json *obj = many ? paths->items[i] : paths;
        if (obj->type == JSON_OBJECT) {
            TRY(read_path_object(r, obj));
        } else {
            problem(r, "path on line %u must be a block with a pattern", obj->line);
        }
    }
    return OK;
}

static struct err read_policy(struct reader *r, const struct json *top)
{
    static const char *const known[] = {"name", "path", NULL};
    only_keys(r, top, known, STR_EMPTY);
    const struct json *name = json_get(top, "name"), *paths = json_get(top, "path");
    if (name != NULL && name->type != JSON_STRING) {
        problem(r, "name on line %u must be a string", name->line);
    }
    if (paths != NULL) {
        TRY(read_paths(r, paths));
    }
    ENSURE(r->problems.n == 0, ERR_INVALID, "failed to parse policy: %.*s%s",
           STR_FMT(buf_str(&r->problems)), buf_ok(&r->problems) ? "" : "; and more");
    ENSURE(!arena_exhausted(&r->policy->arena), ERR_LIMIT, "the policy needs too much memory");
    return OK;
}

struct err policy_parse(struct str name, struct str text, struct policy **out)
{
    ENSURE(text.n <= POLICY_TEXT_MAX, ERR_LIMIT, "a policy has at most %d bytes", POLICY_TEXT_MAX);
    struct policy *p = calloc(1, sizeof *p);
    BUG_ON(p == NULL);
    p->refs = 1;
    arena_init(&p->arena, POLICY_ARENA_MAX);
    p->name = arena_str(&p->arena, name);
    p->text = arena_str(&p->arena, text);
    struct reader r = {.policy = p};
    buf_init(&r.problems, PROBLEMS_MAX);
    struct json *top;
    struct err e = hcl_parse(&p->arena, p->text, &top);
    if (failed(e)) {
        e = err_wrap(e, "failed to parse policy: line %u", err_line());
    } else {
        e = read_policy(&r, top);
    }
    buf_release(&r.problems);
    if (failed(e)) {
        policy_unref(p);
        return e;
    }
    *out = p;
    return OK;
}

struct policy *policy_ref(struct policy *p)
{
    p->refs++;
    return p;
}

void policy_unref(struct policy *p)
{
    if (p != NULL && --p->refs == 0) {
        arena_release(&p->arena);
        free(p);
    }
}

struct str str_lower(struct arena *a, struct str s)
{
    char *p = arena_alloc_raw(a, s.n + 1, 1);
    for (size_t i = 0; i < s.n; i++) {
        p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
    }
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

struct err policy_name_normal(struct arena *a, struct str name, struct str *out)
{
    name = str_trim(name);
    ENSURE(name.n > 0, ERR_INVALID, "a policy name is empty");
    ENSURE(name.n <= POLICY_NAME_MAX, ERR_INVALID, "a policy name has at most %d bytes",
           POLICY_NAME_MAX);
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        ENSURE(c > 0x20 && c != 0x7f, ERR_INVALID,
               "a policy name holds a blank or control character");
    }
    ENSURE(str_is_utf8(name), ERR_INVALID, "a policy name is not UTF-8");
    *out = str_lower(a, name);
    return OK;
}

bool str_has_upper(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 'A' && s.p[i] <= 'Z') {
            return true;
        }
    }
    return false;
}
