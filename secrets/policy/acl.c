/* Compiling policies into an acl, and deciding with it. */
#include "policy_priv.h"

#include "lib/base/map.h"

#include <inttypes.h>

enum { ACL_ARENA_MAX = 64 << 20 };

struct acl {
    struct arena arena;
    bool root;
    struct map exact;           /* path -> struct acl_rule */
    struct map by_pattern;      /* written pattern -> struct acl_rule; only for merging */
    struct acl_rule **patterns; /* best first */
    size_t n_patterns;
    struct policy **policies; /* held while the acl lives */
    size_t n_policies;
};

static void add_granting(struct acl *acl, struct acl_rule *rule, const struct policy *p,
                         const struct policy_rule *from)
{
    struct arena *a = &acl->arena;
    size_t n = rule->n_granting;
    const struct policy **policies = arena_array(a, const struct policy *, n + 1);
    unsigned *caps = arena_array(a, unsigned, n + 1), *lines = arena_array(a, unsigned, n + 1);
    for (size_t i = 0; i < n; i++) {
        policies[i] = rule->granting[i];
        caps[i] = rule->granting_caps[i];
        lines[i] = rule->granting_lines[i];
    }
    policies[n] = p;
    caps[n] = from->caps;
    lines[n] = from->line;
    rule->granting = policies;
    rule->granting_caps = caps;
    rule->granting_lines = lines;
    rule->n_granting = n + 1;
}

static void append_all(struct arena *a, struct json *to, const struct json *from, bool unique)
{
    for (uint32_t i = 0; i < from->n; i++) {
        bool have = false;
        for (uint32_t k = 0; unique && k < to->n; k++) {
            have |= json_equal(to->items[k], from->items[i]);
        }
        if (!have) {
            json_push(a, to, from->items[i]);
        }
    }
}

/* Value lists of the later stanza come first; an empty list on either side stands for any value. */
static struct json *merge_values(struct arena *a, const struct json *old, const struct json *later)
{
    struct json *list = json_new_array(a);
    if (old->n > 0 && later->n > 0) {
        append_all(a, list, later, false);
        append_all(a, list, old, false);
    }
    return list;
}

static struct json *merge_params(struct arena *a, struct json *old, const struct json *later)
{
    if (later == NULL) {
        return old;
    }
    struct json *out = json_new_object(a);
    for (uint32_t i = 0; old != NULL && i < old->n; i++) {
        json_set(a, out, old->members[i].key, old->members[i].value);
    }
    for (uint32_t i = 0; i < later->n; i++) {
        const struct json *have = json_get_str(out, later->members[i].key);
        json_set(a, out, later->members[i].key,
                 have != NULL ? merge_values(a, have, later->members[i].value)
                              : later->members[i].value);
    }
    return out;
}

static struct json *merge_list(struct arena *a, const struct json *old, const struct json *later)
{
    if (old == NULL && later == NULL) {
        return NULL;
    }
    struct json *out = json_new_array(a);
    if (old != NULL) {
        append_all(a, out, old, true);
    }
    if (later != NULL) {
        append_all(a, out, later, true);
    }
    return out;
}

static int64_t smaller_set(int64_t a, int64_t b)
{
    return a == 0 ? b : b == 0 ? a : MIN(a, b);
}

static void merge(struct acl *acl, struct acl_rule *rule, const struct policy *p,
                  const struct policy_rule *from)
{
    struct arena *a = &acl->arena;
    if ((rule->caps & CAP_DENY) != 0) {
        return;
    }
    add_granting(acl, rule, p, from);
    if ((from->caps & CAP_DENY) != 0) {
        rule->caps = CAP_DENY;
        return;
    }
    rule->caps |= from->caps;
    rule->allowed = merge_params(a, rule->allowed, from->allowed);
    rule->denied = merge_params(a, rule->denied, from->denied);
    rule->required = merge_list(a, rule->required, from->required);
    rule->mfa_methods = merge_list(a, rule->mfa_methods, from->mfa_methods);
    rule->min_wrap_s = smaller_set(rule->min_wrap_s, from->min_wrap_s);
    rule->max_wrap_s = smaller_set(rule->max_wrap_s, from->max_wrap_s);
}

static void add_rule(struct acl *acl, const struct policy *p, const struct policy_rule *from)
{
    bool exact = !from->prefix && !from->segments;
    struct str key = exact ? from->path
                           : arena_printf(&acl->arena, "%.*s%s", STR_FMT(from->path),
                                          from->prefix && !from->segments ? "*" : "");
    struct map *m = exact ? &acl->exact : &acl->by_pattern;
    struct acl_rule *rule = map_get(m, key);
    if (rule == NULL) {
        rule = arena_new(&acl->arena, struct acl_rule);
        rule->path = from->path;
        rule->prefix = from->prefix;
        rule->segments = from->segments;
        map_set(m, key, rule);
    }
    merge(acl, rule, p, from);
}

static void add_policy(struct acl *acl, const struct policy *p, const struct acl_entity *entity)
{
    for (size_t i = 0; i < p->n_rules; i++) {
        struct policy_rule rule = p->rules[i];
        if (rule.templated) {
            struct str path;
            if (failed(policy_template(&acl->arena, rule.path, entity, "*+/", &path))) {
                continue;
            }
            bool prefix = rule.prefix;
            policy_rule_pattern(&rule, path);
            rule.prefix |= prefix;
        }
        add_rule(acl, p, &rule);
    }
}

static size_t first_wildcard(const struct acl_rule *r)
{
    if (!r->segments) {
        return r->path.n;
    }
    size_t at = 0;
    for (struct str rest = r->path, part; rest.p != NULL; at += part.n + 1) {
        part = str_split(&rest, '/');
        if (str_is(part, "+")) {
            return at;
        }
    }
    return r->path.n;
}

static size_t count_plus(const struct acl_rule *r)
{
    size_t n = 0;
    for (struct str rest = r->path, part; r->segments && rest.p != NULL;) {
        part = str_split(&rest, '/');
        n += str_is(part, "+");
    }
    return n;
}

/* For qsort: the better pattern first. */
static int by_priority(const void *left, const void *right)
{
    const struct acl_rule *a = *(struct acl_rule *const *)left;
    const struct acl_rule *b = *(struct acl_rule *const *)right;
    size_t fa = first_wildcard(a), fb = first_wildcard(b);
    if (fa != fb) {
        return fa > fb ? -1 : 1;
    }
    if (a->prefix != b->prefix) {
        return a->prefix ? 1 : -1;
    }
    size_t pa = count_plus(a), pb = count_plus(b);
    if (pa != pb) {
        return pa < pb ? -1 : 1;
    }
    if (a->path.n != b->path.n) {
        return a->path.n > b->path.n ? -1 : 1;
    }
    return str_cmp(b->path, a->path);
}

static void sort_patterns(struct acl *acl)
{
    acl->patterns = arena_array(&acl->arena, struct acl_rule *, map_len(&acl->by_pattern));
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&acl->by_pattern, &i)) != NULL;) {
        acl->patterns[acl->n_patterns++] = e->value;
    }
    if (acl->n_patterns > 0) {
        qsort(acl->patterns, acl->n_patterns, sizeof *acl->patterns, by_priority);
    }
}

struct err acl_new(struct policy *const *policies, size_t n, const struct acl_entity *entity,
                   struct acl **out)
{
    ENSURE(n <= ACL_POLICIES_MAX, ERR_LIMIT, "more than %d policies on one token",
           ACL_POLICIES_MAX);
    bool root = false;
    for (size_t i = 0; i < n; i++) {
        root |= str_is(policies[i]->name, "root");
    }
    ENSURE(!root || n == 1, ERR_INVALID, "other policies present along with root");
    struct acl *acl = calloc(1, sizeof *acl);
    BUG_ON(acl == NULL);
    arena_init(&acl->arena, ACL_ARENA_MAX);
    map_init(&acl->exact);
    map_init(&acl->by_pattern);
    acl->root = root;
    acl->policies = arena_array(&acl->arena, struct policy *, n + 1);
    for (size_t i = 0; i < n; i++) {
        acl->policies[acl->n_policies++] = policy_ref(policies[i]);
        add_policy(acl, policies[i], entity);
    }
    sort_patterns(acl);
    if (arena_exhausted(&acl->arena)) {
        acl_free(acl);
        FAIL(ERR_LIMIT, "the policies of this token need too much memory");
    }
    *out = acl;
    return OK;
}

void acl_free(struct acl *acl)
{
    if (acl == NULL) {
        return;
    }
    for (size_t i = 0; i < acl->n_policies; i++) {
        policy_unref(acl->policies[i]);
    }
    map_release(&acl->exact);
    map_release(&acl->by_pattern);
    arena_release(&acl->arena);
    free(acl);
}

static bool segments_match(const struct acl_rule *r, struct str path)
{
    struct str want = r->prefix ? str_sub(r->path, 0, r->path.n - 1) : r->path, have = path;
    while (want.p != NULL) {
        if (have.p == NULL) {
            return false;
        }
        struct str w = str_split(&want, '/'), h = str_split(&have, '/');
        bool last = want.p == NULL;
        bool ok = str_is(w, "+") ? h.n > 0 : last && r->prefix ? str_starts(h, w) : str_eq(w, h);
        if (!ok) {
            return false;
        }
    }
    return r->prefix || have.p == NULL;
}

static const struct acl_rule *best_pattern(const struct acl *acl, struct str path)
{
    for (size_t i = 0; i < acl->n_patterns; i++) {
        const struct acl_rule *r = acl->patterns[i];
        if (r->segments ? segments_match(r, path) : str_starts(path, r->path)) {
            return r;
        }
    }
    return NULL;
}

static const struct acl_rule *find_rule(const struct acl *acl, enum acl_op op, struct str path)
{
    bool listing = (op == ACL_LIST || op == ACL_SCAN) && path.n > 0 && str_ends(path, S("/"));
    struct str bare = str_sub(path, 0, path.n - listing);
    const struct acl_rule *r = map_get(&acl->exact, path);
    if (r == NULL && listing) {
        r = map_get(&acl->exact, bare);
    }
    if (r == NULL) {
        r = best_pattern(acl, path);
    }
    if (r == NULL && listing) {
        r = best_pattern(acl, bare);
    }
    return r;
}

unsigned acl_capability_of(enum acl_op op)
{
    static const unsigned caps[] = {
        [ACL_READ] = CAP_READ,     [ACL_UPDATE] = CAP_UPDATE,
        [ACL_CREATE] = CAP_CREATE, [ACL_DELETE] = CAP_DELETE,
        [ACL_PATCH] = CAP_PATCH,   [ACL_LIST] = CAP_LIST,
        [ACL_SCAN] = CAP_SCAN,     [ACL_HELP] = 0,
    };
    return caps[op];
}

static bool wrapping_allows(const struct acl_rule *r, const struct acl_request *req)
{
    if (r->min_wrap_s != 0 && r->max_wrap_s != 0 && r->max_wrap_s < r->min_wrap_s) {
        return false;
    }
    if (r->max_wrap_s != 0 && (!req->wrapped || req->wrap_ttl_s > r->max_wrap_s)) {
        return false;
    }
    return r->min_wrap_s == 0 || (req->wrapped && req->wrap_ttl_s >= r->min_wrap_s);
}

void acl_check(const struct acl *acl, const struct acl_request *req, struct acl_verdict *out)
{
    *out = (struct acl_verdict){0};
    if (acl->root) {
        *out = (struct acl_verdict){.allowed = true, .sudo = true, .root = true, .caps = CAP_ROOT};
        return;
    }
    if (req->op == ACL_HELP) {
        out->allowed = true;
        return;
    }
    const struct acl_rule *r = find_rule(acl, req->op, req->path);
    if (r == NULL) {
        return;
    }
    out->rule = r;
    out->caps = r->caps;
    out->sudo = (r->caps & CAP_SUDO) != 0;
    if (req->capabilities_only || (r->caps & acl_capability_of(req->op)) == 0 ||
        !wrapping_allows(r, req)) {
        return;
    }
    bool carries_data = req->op == ACL_READ || req->op == ACL_UPDATE || req->op == ACL_CREATE ||
                        req->op == ACL_PATCH;
    out->allowed = !carries_data || params_allow(r, req->data);
}

/* Do rule and mount agree on every segment that both have? */
static bool touches_mount(const struct acl_rule *r, struct str mount)
{
    struct str pattern = r->path;
    if (!r->segments) {
        size_t n = MIN(pattern.n, mount.n);
        return memcmp(pattern.p != NULL ? pattern.p : "", mount.p, n) == 0 &&
               (r->prefix || pattern.n >= mount.n);
    }
    pattern = r->prefix ? str_sub(pattern, 0, pattern.n - 1) : pattern;
    while (pattern.p != NULL && mount.p != NULL) {
        struct str w = str_split(&pattern, '/'), h = str_split(&mount, '/');
        bool last = pattern.p == NULL;
        if (!(str_is(w, "+") || str_eq(w, h) || (last && r->prefix && str_starts(h, w)))) {
            return false;
        }
    }
    return true;
}

static bool grants_something(const struct acl_rule *r)
{
    return (r->caps & ~(unsigned)CAP_DENY) != 0 && (r->caps & CAP_DENY) == 0;
}

bool acl_sees_mount(const struct acl *acl, struct str mount)
{
    if (acl->root) {
        return true;
    }
    struct str bare =
        mount.n > 0 && str_ends(mount, S("/")) ? str_sub(mount, 0, mount.n - 1) : mount;
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&acl->exact, &i)) != NULL;) {
        const struct acl_rule *r = e->value;
        if (grants_something(r) && (str_starts(r->path, mount) || str_eq(r->path, bare))) {
            return true;
        }
    }
    for (size_t i = 0; i < acl->n_patterns; i++) {
        const struct acl_rule *r = acl->patterns[i];
        if (grants_something(r) && touches_mount(r, r->segments ? bare : mount)) {
            return true;
        }
    }
    return false;
}

struct json *caps_to_json(struct arena *a, unsigned caps)
{
    static const struct {
        unsigned cap;
        struct str name;
    } order[] = {
        {CAP_SUDO, STR_INIT("sudo")},     {CAP_READ, STR_INIT("read")},
        {CAP_LIST, STR_INIT("list")},     {CAP_UPDATE, STR_INIT("update")},
        {CAP_DELETE, STR_INIT("delete")}, {CAP_CREATE, STR_INIT("create")},
        {CAP_PATCH, STR_INIT("patch")},   {CAP_SCAN, STR_INIT("scan")},
    };
    struct json *list = json_new_array(a);
    if (caps == CAP_ROOT) {
        json_push(a, list, json_new_string(a, S("root")));
        return list;
    }
    for (size_t i = 0; (caps & CAP_DENY) == 0 && i < ARRAY_LEN(order); i++) {
        if ((caps & order[i].cap) != 0) {
            json_push(a, list, json_new_string(a, order[i].name));
        }
    }
    if (list->n == 0) {
        json_push(a, list, json_new_string(a, S("deny")));
    }
    return list;
}

struct json *acl_capabilities_json(struct arena *a, const struct acl *acl, struct str path)
{
    struct acl_verdict v;
    acl_check(acl, &(struct acl_request){.op = ACL_LIST, .path = path, .capabilities_only = true},
              &v);
    return caps_to_json(a, v.caps);
}

static void describe_rule(struct arena *a, const struct acl_rule *r, struct json *into)
{
    struct json *entry = json_new_object(a);
    json_set(a, entry, S("capabilities"), caps_to_json(a, r->caps));
    json_set(a, into, arena_str(a, r->path), entry);
}

void acl_describe(struct arena *a, const struct acl *acl, struct json *out)
{
    struct json *exact = json_new_object(a), *globs = json_new_object(a);
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&acl->exact, &i)) != NULL;) {
        describe_rule(a, e->value, exact);
    }
    for (size_t i = 0; i < acl->n_patterns; i++) {
        describe_rule(a, acl->patterns[i], globs);
    }
    json_set(a, out, S("root"), json_new_bool(a, acl->root));
    json_set(a, out, S("exact_paths"), exact);
    json_set(a, out, S("glob_paths"), globs);
}
