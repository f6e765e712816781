/*
 * Workloads by their X.509-SVID: the certificate of the mTLS connection (or the kernel's word on a unix socket) is
 * the credential, verified by the TLS layer against the SPIFFE trust bundle; a role says which SPIFFE ids it is for.
 */
#include "engines.h"
#include "field.h"
#include "role.h"

static struct err certs_write(struct request *r)
{
    struct str name = request_param(r, "name");
    struct json *role;
    TRY(role_load(r, "role", name, &role));
    role = role != NULL ? role : json_new_object(r->arena);
    ENSURE(!field_given(r->data, "certificate"), ERR_INVALID,
           "certificate is not used here: clients are verified against the SPIFFE trust bundle; "
           "name them in allowed_uri_sans");
    TRY(role_put_list(r, role, "allowed_uri_sans"));
    TRY(role_put_str(r, role, "display_name", ""));
    TRY(role_read_token_fields(r, role));
    const struct json *ids = json_get(role, "allowed_uri_sans");
    ENSURE(ids->n > 0, ERR_INVALID, "allowed_uri_sans must name at least one SPIFFE id");
    for (uint32_t i = 0; i < ids->n; i++) {
        ENSURE(str_starts(json_str(ids->items[i]), S("spiffe://")) &&
                   str_find_char(str_sub(json_str(ids->items[i]), 9, SIZE_MAX), '/') != STR_NPOS,
               ERR_INVALID,
               "\"%.*s\" is not a SPIFFE id such as spiffe://cluster.local/ns/shop/sa/web or one "
               "ending in *",
               STR_FMT(json_str(ids->items[i])));
    }
    return role_save(r, "role", name, role);
}

static struct err certs_read(struct request *r)
{
    struct json *role;
    TRY(role_load(r, "role", request_param(r, "name"), &role));
    return role != NULL ? reply_data(r, role) : reply_not_found(r);
}

static struct err certs_del(struct request *r)
{
    return role_delete(r, "role", request_param(r, "name"));
}

static struct err certs_list(struct request *r)
{
    return role_list(r, "role");
}

static bool admits(const struct json *role, struct str id)
{
    const struct json *ids = json_get(role, "allowed_uri_sans");
    for (uint32_t i = 0; ids != NULL && i < ids->n; i++) {
        if (role_glob(json_str(ids->items[i]), id)) {
            return true;
        }
    }
    return false;
}

/* The role asked for, or the first that admits the caller. */
static struct err find_role(struct request *r, struct str *name, struct json **role)
{
    TRY(field_str(r->data, "name", name));
    if (name->n == 0) {
        TRY(field_str(r->data, "role", name));
    }
    if (name->n > 0) {
        ENSURE(str_find_char(*name, '/') == STR_NPOS, ERR_INVALID, "invalid role name \"%.*s\"",
               STR_FMT(*name));
        return role_load(r, "role", *name, role);
    }
    struct json *names = json_new_array(r->arena);
    TRY(storage_list(r->core->st, r->arena, mount_storage(r->arena, r->mount, "role/"), LIST_MAX,
                     names));
    for (uint32_t i = 0; i < names->n; i++) {
        TRY(role_load(r, "role", json_str(names->items[i]), role));
        if (*role != NULL && admits(*role, r->peer_spiffe_id)) {
            *name = json_str(names->items[i]);
            return OK;
        }
    }
    *role = NULL;
    return OK;
}

static struct err login(struct request *r)
{
    struct str name = STR_EMPTY, id = r->peer_spiffe_id;
    struct json *role = NULL;
    if (id.n == 0) {
        r->denied_because = "no client certificate";
        FAIL(ERR_INVALID, "client certificate must be supplied");
    }
    r->actor = id;
    TRY(find_role(r, &name, &role));
    if (role == NULL || !admits(role, id)) {
        r->denied_because = "no role admits this SPIFFE id";
        FAIL(ERR_INVALID, "invalid certificate or no client certificate supplied");
    }
    struct json *meta = json_new_object(r->arena);
    json_set_str(r->arena, meta, "cert_name", name);
    json_set_str(r->arena, meta, "spiffe_id", id);
    struct str display = json_str(json_get(role, "display_name"));
    struct login l = {.alias = id,
                      .spiffe_id = id,
                      .display_name = display.n > 0 ? display : name,
                      .meta = meta,
                      .role = name};
    role_apply(r, role, &l);
    return token_login(r, &l);
}

static const struct route routes[] = {
    {"login", .write = login, .flags = ROUTE_UNAUTH},
    {"certs", .list = certs_list},
    {"certs/{name}", .read = certs_read, .write = certs_write, .del = certs_del},
    {0},
};

const struct engine cert_engine = {.type = "cert", .auth = true, .routes = routes};
