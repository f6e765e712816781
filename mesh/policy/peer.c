/* PeerAuthentication: reading, and the mode of a port after inheritance. */
#include "policy_priv.h"

static const char *const mode_names[] = {"UNSET", "DISABLE", "PERMISSIVE", "STRICT"};

const char *mesh_mtls_mode_name(enum mesh_mtls_mode mode)
{
    return mode_names[mode];
}

static struct err read_mode(const struct json *mtls, enum mesh_mtls_mode *out)
{
    static const char *const known[] = {"mode", NULL};
    *out = MESH_MTLS_UNSET;
    if (mtls == NULL || json_is(mtls, JSON_NULL)) {
        return OK;
    }
    TRY(mesh_check_fields(mtls, "mtls", known));
    const struct json *v = json_get(mtls, "mode");
    for (size_t i = 0; v != NULL && i < ARRAY_LEN(mode_names); i++) {
        if (str_is(json_str(v), mode_names[i])) {
            *out = (enum mesh_mtls_mode)i;
            return OK;
        }
    }
    return v == NULL ? OK : mesh_invalid(v, "mode must be UNSET, DISABLE, PERMISSIVE or STRICT");
}

static struct err read_ports(struct mesh_reader *r, const struct json *ports,
                             struct mesh_peer_auth *out)
{
    if (ports == NULL || json_is(ports, JSON_NULL)) {
        return OK;
    }
    if (!json_is(ports, JSON_OBJECT) || ports->n == 0) {
        return mesh_invalid(ports, "portLevelMtls must map at least one port to a mode");
    }
    if (!out->object.selector.given) {
        return mesh_invalid(ports, "portLevelMtls needs a selector: ports are those of a workload");
    }
    out->ports = arena_array(r->arena, struct mesh_port_mode, ports->n);
    for (uint32_t i = 0; i < ports->n; i++) {
        uint64_t port;
        if (failed(str_to_u64(ports->members[i].key, &port)) || port < 1 || port > 65535) {
            return err_make_at(ERR_INVALID, ports->members[i].line, ports->members[i].col,
                               "'%.*s' is not a port from 1 to 65535",
                               STR_FMT(ports->members[i].key));
        }
        out->ports[out->n_ports].port = (uint16_t)port;
        TRY(read_mode(ports->members[i].value, &out->ports[out->n_ports].mode));
        out->n_ports++;
    }
    return OK;
}

struct err mesh_read_peer_auth(struct mesh_reader *r, const struct json *doc,
                               struct mesh_peer_auth *out)
{
    static const char *const known[] = {"selector", "mtls", "portLevelMtls", NULL};
    const struct json *spec = json_get(doc, "spec");
    if (spec != NULL && !json_is(spec, JSON_NULL)) {
        TRY(mesh_check_fields(spec, "spec", known));
    }
    TRY(mesh_read_object(r, doc, &out->object));
    TRY(read_mode(json_get(spec, "mtls"), &out->mode));
    return read_ports(r, json_get(spec, "portLevelMtls"), out);
}

enum mesh_mtls_mode mesh_mtls_mode(const struct mesh_set *set, uint16_t port)
{
    enum mesh_mtls_mode mode = MESH_MTLS_UNSET;
    for (size_t i = 0; i < ARRAY_LEN(set->peer) && mode == MESH_MTLS_UNSET; i++) {
        mode = set->peer[i] != NULL ? set->peer[i]->mode : MESH_MTLS_UNSET;
    }
    const struct mesh_peer_auth *own = set->peer[0];
    for (size_t i = 0; own != NULL && i < own->n_ports; i++) {
        if (own->ports[i].port == port && own->ports[i].mode != MESH_MTLS_UNSET) {
            mode = own->ports[i].mode;
        }
    }
    return mode == MESH_MTLS_UNSET ? MESH_MTLS_PERMISSIVE : mode;
}
