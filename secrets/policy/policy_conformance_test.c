/*
 * The outside tables vault-acl.json (facts of upstream's own tests) and vault-acl-derived.json, judged one
 * row at a time. Each set of rules is written as HCL and read back by policy_parse, so the reader
 * is under test too.
 */
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>

enum { SKIP = 77, FILE_MAX = 4 << 20 };

static struct arena arena;
static const struct json *doc;
static unsigned passed, failures;

static void verdict(bool ok, const char *suite, const struct json *row)
{
    passed += ok;
    failures += !ok;
    if (!ok) {
        struct buf b;
        buf_init(&b, 1 << 20);
        json_write(&b, row);
        printf("FAILED %s: %.*s (%s)\n", suite, STR_FMT(buf_str(&b)), err_detail());
        buf_release(&b);
    }
}

static const struct json *load(const char *name)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root != NULL ? root : SOURCE_ROOT "/../shared/conformance",
             name);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        printf("skipped: %s is not there\n", path);
        exit(SKIP);
    }
    char *text = malloc(FILE_MAX);
    size_t n = fread(text, 1, FILE_MAX, f);
    fclose(f);
    struct json *v;
    struct err e = json_parse(&arena, str_n(text, n), NULL, &v);
    free(text);
    if (failed(e)) {
        printf("%s: %s\n", path, err_detail());
        exit(1);
    }
    return v;
}

/* ---- rules to text ---- */

static void put_rules(struct buf *b, const struct json *rules)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        const struct json *rule = rules->items[i];
        buf_puts(b, S("path "));
        json_write_string(b, json_str(json_get(rule, "path")));
        buf_puts(b, S(" {\n"));
        for (uint32_t k = 0; k < rule->n; k++) {
            if (!str_is(rule->members[k].key, "path")) {
                buf_printf(b, "  %.*s = ", STR_FMT(rule->members[k].key));
                json_write(b, rule->members[k].value);
                buf_putc(b, '\n');
            }
        }
        buf_puts(b, S("}\n"));
    }
}

static struct policy *policy_of(struct str name, const struct json *rules)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    put_rules(&b, rules);
    struct policy *p;
    if (failed(policy_parse(name, buf_str(&b), &p))) {
        printf("FAILED to parse: %s\n%.*s\n", err_detail(), STR_FMT(buf_str(&b)));
        exit(1);
    }
    buf_release(&b);
    return p;
}

/* The acl of the policies named in a row; "root" is the root policy. */
static struct acl *acl_of(const struct json *names)
{
    struct policy *p[8];
    for (uint32_t i = 0; i < names->n; i++) {
        struct str name = json_str(names->items[i]);
        const struct json *def = json_get_str(json_get(doc, "policies"), name);
        static struct json none = {.type = JSON_ARRAY};
        p[i] = str_is(name, "root")
                   ? policy_of(name, &none)
                   : policy_of(json_str(json_get(def, "name")), json_get(def, "rules"));
    }
    struct acl *acl;
    if (failed(acl_new(p, names->n, NULL, &acl))) {
        printf("FAILED to compile: %s\n", err_detail());
        exit(1);
    }
    for (uint32_t i = 0; i < names->n; i++) {
        policy_unref(p[i]);
    }
    return acl;
}

static enum acl_op op_of(struct str s)
{
    static const char *const names[] = {"read",  "update", "create", "delete",
                                        "patch", "list",   "scan",   "help"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(s, names[i])) {
            return (enum acl_op)i;
        }
    }
    printf("unknown operation %.*s\n", STR_FMT(s));
    exit(1);
}

static struct acl_verdict ask(const struct acl *acl, struct str op, const struct json *path)
{
    struct acl_verdict v;
    acl_check(acl, &(struct acl_request){.op = op_of(op), .path = json_str(path)}, &v);
    return v;
}

/* ---- suites ---- */

static void decisions(void)
{
    const struct json *groups = json_get(doc, "decisions");
    for (uint32_t g = 0; g < groups->n; g++) {
        struct acl *acl = acl_of(json_get(groups->items[g], "policies"));
        const struct json *cases = json_get(groups->items[g], "cases");
        for (uint32_t i = 0; i < cases->n; i++) {
            const struct json *c = cases->items[i];
            struct acl_verdict v = ask(acl, json_str(json_get(c, "op")), json_get(c, "path"));
            verdict(v.allowed == json_true(json_get(c, "allowed")) &&
                        v.sudo == json_true(json_get(c, "sudo")),
                    "decisions", c);
        }
        acl_free(acl);
    }
}

static void capabilities(void)
{
    const struct json *rows = json_get(doc, "capabilities");
    for (uint32_t i = 0; i < rows->n; i++) {
        struct acl *acl = acl_of(json_get(rows->items[i], "policies"));
        struct json *got =
            acl_capabilities_json(&arena, acl, json_str(json_get(rows->items[i], "path")));
        verdict(json_equal(got, json_get(rows->items[i], "expect")), "capabilities",
                rows->items[i]);
        acl_free(acl);
    }
}

static struct acl *acl_of_text(struct str text)
{
    struct policy *p;
    struct acl *acl;
    if (failed(policy_parse(S("x"), text, &p)) || failed(acl_new(&p, 1, NULL, &acl))) {
        printf("FAILED: %s\n", err_detail());
        exit(1);
    }
    policy_unref(p);
    return acl;
}

static void priority(void)
{
    const struct json *rows = json_get(doc, "priority");
    for (uint32_t i = 0; i < rows->n; i++) {
        const struct json *r = rows->items[i];
        struct acl *acl = acl_of_text(arena_printf(
            &arena,
            "path \"%.*s\" { capabilities = [\"read\"] }\npath \"%.*s\" { capabilities = "
            "[\"update\"] }",
            STR_FMT(json_str(json_get(r, "loser"))), STR_FMT(json_str(json_get(r, "winner")))));
        verdict(ask(acl, S("update"), json_get(r, "request")).allowed &&
                    !ask(acl, S("read"), json_get(r, "request")).allowed,
                "priority", r);
        acl_free(acl);
    }
}

static void mount_visibility(void)
{
    const struct json *rows = json_get(doc, "mount_visibility");
    for (uint32_t i = 0; i < rows->n; i++) {
        const struct json *r = rows->items[i];
        struct acl *acl =
            acl_of_text(arena_printf(&arena, "path \"%.*s\" { capabilities = [\"read\"] }",
                                     STR_FMT(json_str(json_get(r, "rule")))));
        verdict(acl_sees_mount(acl, json_str(json_get(r, "mount"))) ==
                    json_true(json_get(r, "visible")),
                "mount_visibility", r);
        acl_free(acl);
    }
}

static void one_parameter_case(const struct acl *acl, const struct json *ops, const struct json *c,
                               const struct json *data, const char *suite)
{
    const struct json *ttl = json_get(c, "wrap_ttl");
    int64_t seconds = 0;
    bool wrapped = ttl != NULL && ttl->type == JSON_NUMBER;
    if (wrapped) {
        ignore_err(json_i64(ttl, &seconds));
    }
    bool ok = true;
    for (uint32_t i = 0; i < ops->n; i++) {
        struct acl_verdict v;
        acl_check(acl,
                  &(struct acl_request){.op = op_of(json_str(ops->items[i])),
                                        .path = json_str(json_get(c, "path")),
                                        .data = data,
                                        .wrapped = wrapped,
                                        .wrap_ttl_s = seconds},
                  &v);
        ok &= v.allowed == json_true(json_get(c, "allowed"));
    }
    verdict(ok, suite, c);
}

static void parameters(void)
{
    const struct json *group = json_get(doc, "parameters"), *cases = json_get(group, "cases");
    struct acl *acl = acl_of(json_get(group, "policies"));
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *names = json_get(cases->items[i], "params");
        struct json *data = json_new_object(&arena);
        for (uint32_t k = 0; k < names->n; k++) {
            json_set(&arena, data, json_str(names->items[k]), json_new_string(&arena, S("")));
        }
        one_parameter_case(acl, json_get(group, "ops"), cases->items[i], data, "parameters");
    }
    acl_free(acl);
}

static void parameter_values(void)
{
    const struct json *group = json_get(doc, "parameter_values"), *cases = json_get(group, "cases");
    struct acl *acl = acl_of(json_get(group, "policies"));
    for (uint32_t i = 0; i < cases->n; i++) {
        one_parameter_case(acl, json_get(group, "ops"), cases->items[i],
                           json_get(cases->items[i], "data"), "parameter_values");
    }
    acl_free(acl);
}

static bool same_or_null(const struct json *got, const struct json *want)
{
    return want == NULL || want->type == JSON_NULL ? got == NULL || got->n == 0
                                                   : got != NULL && json_equal(got, want);
}

static bool same_number(int64_t got, const struct json *want)
{
    int64_t n = 0;
    if (want != NULL && want->type == JSON_NUMBER) {
        ignore_err(json_i64(want, &n));
    }
    return got == n;
}

static void merged(void)
{
    const struct json *group = json_get(doc, "merged"), *cases = json_get(group, "cases");
    struct acl *acl = acl_of(json_get(group, "policies"));
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *c = cases->items[i];
        const struct acl_rule *r = ask(acl, S("update"), json_get(c, "path")).rule;
        verdict(r != NULL && same_or_null(r->allowed, json_get(c, "allowed_parameters")) &&
                    same_or_null(r->denied, json_get(c, "denied_parameters")) &&
                    same_or_null(r->required, json_get(c, "required_parameters")) &&
                    same_number(r->min_wrap_s, json_get(c, "min_wrapping_ttl")) &&
                    same_number(r->max_wrap_s, json_get(c, "max_wrapping_ttl")),
                "merged", c);
    }
    acl_free(acl);
}

static void granting(void)
{
    const struct json *rows = json_get(doc, "granting");
    for (uint32_t i = 0; i < rows->n; i++) {
        const struct json *r = rows->items[i], *want = json_get(r, "granting_policies");
        struct acl *acl = acl_of(json_get(r, "policies"));
        struct str op = json_str(json_get(r, "op"));
        struct acl_verdict v = ask(acl, op, json_get(r, "path"));
        bool ok = v.allowed == json_true(json_get(r, "allowed"));
        uint32_t n = 0;
        for (size_t k = 0; v.allowed && k < v.rule->n_granting; k++) {
            if ((v.rule->granting_caps[k] & acl_capability_of(op_of(op))) != 0) {
                ok &= n < want->n && str_eq(v.rule->granting[k]->name, json_str(want->items[n]));
                n++;
            }
        }
        verdict(ok && n == (want->type == JSON_ARRAY ? want->n : 0), "granting", r);
        acl_free(acl);
    }
}

static void list_scan(void)
{
    const struct json *group = json_get(doc, "list_scan_trailing_slash"),
                      *cases = json_get(group, "cases");
    struct acl *acl = acl_of(json_get(group, "policies"));
    for (uint32_t i = 0; i < cases->n; i++) {
        bool want = json_true(json_get(cases->items[i], "allowed"));
        verdict(ask(acl, S("list"), json_get(cases->items[i], "path")).allowed == want &&
                    ask(acl, S("scan"), json_get(cases->items[i], "path")).allowed == want,
                "list_scan", cases->items[i]);
    }
    acl_free(acl);
}

static void mfa(void)
{
    const struct json *group = json_get(doc, "mfa_methods"), *cases = json_get(group, "cases");
    struct acl *acl = acl_of(json_get(group, "policies"));
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *c = cases->items[i];
        const struct acl_rule *r = ask(acl, json_str(json_get(c, "op")), json_get(c, "path")).rule;
        verdict(r != NULL && same_or_null(r->mfa_methods, json_get(c, "expect")), "mfa", c);
    }
    acl_free(acl);
}

static void parse_errors(void)
{
    const struct json *rows = json_get(doc, "parse_errors");
    for (uint32_t i = 0; i < rows->n; i++) {
        struct policy *p = NULL;
        bool ok = failed(policy_parse(S("x"), json_str(json_get(rows->items[i], "hcl")), &p));
        const struct json *want = json_get(rows->items[i], "error_contains");
        for (uint32_t k = 0; want->type == JSON_ARRAY && k < want->n; k++) {
            ok &= str_find(str_of(err_detail()), json_str(want->items[k])) != STR_NPOS;
        }
        verdict(ok, "parse_errors", rows->items[i]);
        policy_unref(p);
    }
}

static bool rule_is(const struct policy_rule *r, const struct json *row)
{
    const struct json *stored = json_get(row, "stored_path"), *prefix = json_get(row, "prefix");
    const struct json *seg = json_get(row, "segment_wildcards"),
                      *caps = json_get(row, "capabilities");
    bool ok = stored == NULL || str_eq(r->path, json_str(stored));
    ok &= prefix == NULL || r->prefix == json_true(prefix) || (r->segments && json_true(seg));
    ok &= seg == NULL || r->segments == json_true(seg);
    ok &= json_get(row, "min_s") == NULL || (same_number(r->min_wrap_s, json_get(row, "min_s")) &&
                                             same_number(r->max_wrap_s, json_get(row, "max_s")));
    if (caps != NULL) {
        const struct json *got = caps_to_json(&arena, r->caps);
        ok &= got->n == caps->n;
        for (uint32_t i = 0; i < caps->n; i++) {
            bool found = false;
            for (uint32_t k = 0; k < got->n; k++) {
                found |= json_equal(got->items[k], caps->items[i]);
            }
            ok &= found;
        }
    }
    return ok;
}

static void parse_normalised(void)
{
    const struct json *rows = json_get(doc, "parse_normalised");
    for (uint32_t i = 0; i < rows->n; i++) {
        const struct json *row = rows->items[i];
        struct json *rule = json_new_object(&arena), *list = json_new_array(&arena);
        static const char *const keep[] = {"path", "policy", "min_wrapping_ttl",
                                           "max_wrapping_ttl"};
        for (size_t k = 0; k < ARRAY_LEN(keep); k++) {
            struct json_member *m = NULL;
            for (uint32_t j = 0; j < row->n; j++) {
                m = str_is(row->members[j].key, keep[k]) ? &row->members[j] : m;
            }
            if (m != NULL) {
                json_set(&arena, rule, m->key, m->value);
            }
        }
        json_push(&arena, list, rule);
        struct policy *p = policy_of(S("x"), list);
        verdict(p->n_rules == 1 && rule_is(&p->rules[0], row), "parse_normalised", row);
        policy_unref(p);
    }
}

static void one_template(const struct json *row)
{
    const struct json *entity_given = json_get(row, "entity"), *al = json_get(row, "alias");
    const struct json *blocked = json_get(row, "blocked");
    struct acl_alias alias = {.accessor = json_str(json_get(al, "accessor")),
                              .id = json_str(json_get(al, "id")),
                              .name = json_str(json_get(al, "name")),
                              .metadata = json_get(al, "metadata")};
    struct acl_group group = {.id = S("groupID"), .name = json_str(json_get(row, "group"))};
    struct acl_entity entity = {.id = S("entityID"),
                                .name = json_str(json_get(row, "name")),
                                .metadata = json_get(row, "metadata"),
                                .aliases = &alias,
                                .n_aliases = al != NULL,
                                .groups = &group,
                                .n_groups = group.name.n > 0};
    char block[8] = "";
    for (uint32_t i = 0; blocked != NULL && i < blocked->n && i < 7; i++) {
        block[i] = json_str(blocked->items[i]).p[0];
    }
    struct str out = STR_EMPTY, want_error = json_str(json_get(row, "error"));
    bool no_entity = entity_given != NULL && entity_given->type == JSON_NULL;
    struct err e = policy_template(&arena, json_str(json_get(row, "in")),
                                   no_entity ? NULL : &entity, block, &out);
    verdict(failed(e) ? want_error.n > 0 && str_find(str_of(err_detail()), want_error) != STR_NPOS
                      : want_error.n == 0 && str_eq(out, json_str(json_get(row, "out"))),
            "templating", row);
}

static void templating(void)
{
    const struct json *cases = json_get(json_get(doc, "templating_acl"), "cases");
    for (uint32_t i = 0; i < cases->n; i++) {
        one_template(cases->items[i]);
    }
}

static void derived(void)
{
    const struct json *sets = json_get(load("vault-acl-derived.json"), "sets");
    for (uint32_t s = 0; s < sets->n; s++) {
        struct policy *p = policy_of(S("x"), json_get(sets->items[s], "rules"));
        struct acl *acl;
        if (failed(acl_new(&p, 1, NULL, &acl))) {
            exit(1);
        }
        const struct json *cases = json_get(sets->items[s], "cases");
        for (uint32_t i = 0; i < cases->n; i++) {
            struct json *const *c = cases->items[i]->items;
            struct acl_verdict v = ask(acl, json_str(c[0]), c[1]);
            verdict(v.allowed == json_true(c[2]) && v.sudo == json_true(c[3]), "derived",
                    cases->items[i]);
        }
        acl_free(acl);
        policy_unref(p);
    }
}

static void run(const char *name, void (*suite)(void))
{
    unsigned before = passed, bad = failures;
    suite();
    printf("%-18s %4u passed, %u failed\n", name, passed - before, failures - bad);
}

int main(void)
{
    arena_init(&arena, 256 << 20);
    doc = load("vault-acl.json");
    run("decisions", decisions);
    run("capabilities", capabilities);
    run("priority", priority);
    run("mount_visibility", mount_visibility);
    run("parameters", parameters);
    run("parameter_values", parameter_values);
    run("merged", merged);
    run("granting", granting);
    run("list_scan", list_scan);
    run("mfa", mfa);
    run("parse_errors", parse_errors);
    run("parse_normalised", parse_normalised);
    run("templating", templating);
    run("derived", derived);
    printf("vault-acl: %u passed, %u failed\n", passed, failures);
    arena_release(&arena);
    return failures == 0 ? 0 : 1;
}
