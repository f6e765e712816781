/* netpol_cluster: what the tests of netpol share: conformance files, and clusters built from them. */
#ifndef SEXTANT_TEST_NETPOL_CLUSTER_H
#define SEXTANT_TEST_NETPOL_CLUSTER_H

#include "netpol/eval.h"

#include "test/unit.h"

/* A whole file of the outside suite, or NULL when it is not there. */
static inline struct json *suite_file(struct arena *a, const char *name)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    struct str path =
        arena_printf(a, "%s/netpol/%s", root != NULL ? root : "../shared/conformance", name);
    FILE *f = fopen(path.p, "re");
    if (f == NULL) {
        return NULL;
    }
    char *text = arena_alloc_raw(a, 4 << 20, 1);
    size_t n = fread(text, 1, 4 << 20, f);
    fclose(f);
    struct json *v;
    assert_ok(json_parse(a, str_n(text, n), NULL, &v));
    return v;
}

static inline struct json *member(const struct json *v, const char *key)
{
    return (struct json *)(uintptr_t)json_get(v, key);
}

static inline struct json *object_of(struct arena *a, const char *kind, const char *api,
                                     struct json *meta)
{
    struct json *o = json_new_object(a);
    json_set(a, o, S("apiVersion"), json_new_string(a, str_of(api)));
    json_set(a, o, S("kind"), json_new_string(a, str_of(kind)));
    json_set(a, o, S("metadata"), meta);
    return o;
}

/* {namespace, name, ip, labels} and ports {port, protocol, name} as a Pod manifest. */
static inline struct json *pod_manifest(struct arena *a, const struct json *p,
                                        const struct json *ports)
{
    struct json *meta = json_new_object(a), *spec = json_new_object(a),
                *status = json_new_object(a);
    json_set(a, meta, S("namespace"), member(p, "namespace"));
    json_set(a, meta, S("name"), member(p, "name"));
    json_set(a, meta, S("labels"), member(p, "labels"));
    struct json *list = json_new_array(a), *container = json_new_object(a),
                *all = json_new_array(a);
    for (uint32_t i = 0; ports != NULL && i < ports->n; i++) {
        struct json *port = json_new_object(a);
        json_set(a, port, S("containerPort"), member(ports->items[i], "port"));
        json_set(a, port, S("protocol"), member(ports->items[i], "protocol"));
        json_set(a, port, S("name"), member(ports->items[i], "name"));
        json_push(a, all, port);
    }
    json_set(a, container, S("ports"), all);
    json_push(a, list, container);
    json_set(a, spec, S("containers"), list);
    json_set(a, status, S("podIP"), member(p, "ip"));
    struct json *pod = object_of(a, "Pod", "v1", meta);
    json_set(a, pod, S("spec"), spec);
    json_set(a, pod, S("status"), status);
    return pod;
}

/* A sealed model of {namespaces: {name: labels}, pods: [...]}, policies and container ports. */
static inline struct netpol_model *cluster_model(struct arena *a, const struct json *step,
                                                 const struct json *policies,
                                                 const struct json *ports)
{
    struct netpol_model *m = netpol_model_new(a);
    const struct json *namespaces = json_get(step, "namespaces"), *pods = json_get(step, "pods");
    for (uint32_t i = 0; namespaces != NULL && i < namespaces->n; i++) {
        struct json *meta = json_new_object(a);
        json_set(a, meta, S("name"), json_new_string(a, namespaces->members[i].key));
        json_set(a, meta, S("labels"), namespaces->members[i].value);
        assert_ok(netpol_model_add(m, object_of(a, "Namespace", "v1", meta), S("suite")));
    }
    for (uint32_t i = 0; i < pods->n; i++) {
        assert_ok(netpol_model_add(m, pod_manifest(a, pods->items[i], ports), S("suite")));
    }
    for (uint32_t i = 0; i < policies->n; i++) {
        struct json *policy = policies->items[i]; /* some tables leave the obvious out */
        json_set(a, policy, S("kind"), json_new_string(a, S("NetworkPolicy")));
        json_set(a, policy, S("apiVersion"), json_new_string(a, S("networking.k8s.io/v1")));
        assert_ok(netpol_model_add(m, policy, S("suite")));
    }
    assert_ok(netpol_model_seal(m));
    return m;
}

static inline struct netpol_end end_named(const struct netpol_model *m, struct str name)
{
    struct netpol_end e;
    assert_ok(netpol_end_parse(m, name, 4, &e));
    return e;
}

#endif
