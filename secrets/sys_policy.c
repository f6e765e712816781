/* sys/policies/acl, the older sys/policy, and the questions about capabilities. */
#include "field.h"
#include "policies.h"
#include "sys_priv.h"
#include "token.h"

static int by_name(const void *l, const void *r)
{
    return str_cmp((*(struct json *const *)l)->text, (*(struct json *const *)r)->text);
}

static struct json *names(struct request *r, bool with_root)
{
    struct json *keys = json_new_array(r->arena);
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&r->core->policies, &i)) != NULL;) {
        if (!str_is(e->key, "response-wrapping") && (with_root || !str_is(e->key, "root"))) {
            json_push(r->arena, keys, json_new_string(r->arena, arena_str(r->arena, e->key)));
        }
    }
    if (keys->n > 0) {
        qsort(keys->items, keys->n, sizeof(struct json *), by_name);
    }
    return keys;
}

struct err sys_policies_list(struct request *r)
{
    return reply_list(r, names(r, true));
}

struct err sys_old_policies(struct request *r)
{
    struct json *data = json_new_object(r->arena);
    json_put(r->arena, data, "keys", names(r, true));
    json_put(r->arena, data, "policies", names(r, true));
    return reply_top(r, data);
}

static struct err find(struct request *r, struct str *name, struct policy **out)
{
    TRY(policy_name_normal(r->arena, request_param(r, "name"), name));
    *out = policies_get(r->core, *name);
    return OK;
}

static struct err read_as(struct request *r, const char *field, bool old)
{
    struct str name;
    struct policy *p;
    TRY(find(r, &name, &p));
    if (p == NULL) {
        return reply_not_found(r);
    }
    struct json *data = json_new_object(r->arena);
    json_set_str(r->arena, data, "name", name);
    json_set_str(r->arena, data, field, arena_str(r->arena, p->text));
    return old ? reply_top(r, data) : reply_data(r, data);
}

struct err sys_policy_read(struct request *r)
{
    return read_as(r, "policy", false);
}

struct err sys_old_policy_read(struct request *r)
{
    return read_as(r, "rules", true);
}

static bool immutable(struct str name)
{
    return str_is(name, "root") || str_is(name, "response-wrapping");
}

struct err sys_policy_write(struct request *r)
{
    struct str name, text = STR_EMPTY, decoded;
    TRY(policy_name_normal(r->arena, request_param(r, "name"), &name));
    TRY(field_str(r->data, "policy", &text));
    if (text.n == 0) {
        TRY(field_str(r->data, "rules", &text));
    }
    ENSURE(text.n > 0, ERR_INVALID, "'policy' parameter not supplied or empty");
    ENSURE(!immutable(name), ERR_INVALID, "cannot update \"%.*s\" policy", STR_FMT(name));
    ENSURE(str_find_char(name, ',') == STR_NPOS, ERR_INVALID, "a policy name holds a comma");
    if (!failed(base64_decode(r->arena, text, BASE64_STD, &decoded)) && str_is_utf8(decoded)) {
        text = decoded;
    }
    return policies_set(r->core, name, text);
}

struct err sys_policy_del(struct request *r)
{
    struct str name;
    struct policy *p;
    TRY(find(r, &name, &p));
    ENSURE(!immutable(name), ERR_INVALID, "cannot delete \"%.*s\" policy", STR_FMT(name));
    ENSURE(!str_is(name, "default"), ERR_INVALID, "cannot delete default policy");
    return p != NULL ? policies_del(r->core, name) : OK;
}

/* ---- capabilities ---- */

static struct err answer(struct request *r, const struct token *t)
{
    struct arena *a = r->arena;
    struct json *paths = NULL, *data = json_new_object(a);
    TRY(field_list(a, r->data, "paths", &paths));
    if (paths == NULL) {
        TRY(field_list(a, r->data, "path", &paths));
    }
    ENSURE(paths != NULL && paths->n > 0, ERR_INVALID, "paths must be supplied");
    struct acl *acl;
    TRY(core_acl(r->core, t, &acl));
    for (uint32_t i = 0; i < paths->n; i++) {
        struct str path = json_str(paths->items[i]);
        json_set(a, data, path,
                 acl_capabilities_json(a, acl,
                                       str_starts(path, S("/")) ? str_sub(path, 1, path.n) : path));
    }
    if (paths->n == 1) {
        json_put(a, data, "capabilities", json_copy(a, data->members[0].value));
    }
    return reply_top(r, data);
}

struct err sys_capabilities_self(struct request *r)
{
    return answer(r, r->token);
}

struct err sys_capabilities(struct request *r)
{
    struct str id = STR_EMPTY;
    TRY(field_str(r->data, "token", &id));
    const struct token *t = token_find(r->core, id);
    ENSURE(t != NULL, ERR_INVALID, "invalid token");
    return answer(r, t);
}

struct err sys_capabilities_accessor(struct request *r)
{
    struct str accessor = STR_EMPTY;
    TRY(field_str(r->data, "accessor", &accessor));
    const struct token *t = token_by_accessor(r->core, accessor);
    ENSURE(t != NULL, ERR_INVALID, "invalid accessor");
    return answer(r, t);
}

struct err sys_resultant_acl(struct request *r)
{
    struct acl *acl;
    TRY(core_acl(r->core, r->token, &acl));
    struct json *data = json_new_object(r->arena);
    acl_describe(r->arena, acl, data);
    return reply_data(r, data);
}
