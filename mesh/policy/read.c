/* Reading what all three kinds share: fields, lists of strings, metadata, selectors, target references. */
#include "policy_priv.h"

#include "lib/base/clock.h"

#include <stdarg.h>

struct err mesh_invalid(const struct json *at, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return err_make_at(ERR_INVALID, at != NULL ? at->line : 0, at != NULL ? at->col : 0, "%s",
                       text);
}

struct err mesh_check_fields(const struct json *obj, const char *what, const char *const *known)
{
    if (!json_is(obj, JSON_OBJECT)) {
        return mesh_invalid(obj, "%s must be a mapping", what);
    }
    for (uint32_t i = 0; i < obj->n; i++) {
        bool found = false;
        for (size_t k = 0; known[k] != NULL && !found; k++) {
            found = str_is(obj->members[i].key, known[k]);
        }
        if (!found) {
            return err_make_at(ERR_INVALID, obj->members[i].line, obj->members[i].col,
                               "%s has no field '%.*s'", what, STR_FMT(obj->members[i].key));
        }
    }
    return OK;
}

struct err mesh_read_strings(struct mesh_reader *r, const struct json *list, const char *what,
                             struct str **out, size_t *n)
{
    *n = 0;
    if (list == NULL || json_is(list, JSON_NULL)) {
        return OK;
    }
    if (!json_is(list, JSON_ARRAY) || list->n == 0 || list->n > MESH_LABELS_MAX) {
        return mesh_invalid(list, "%s must be a list of 1 to %d strings", what, MESH_LABELS_MAX);
    }
    struct str *items = arena_array(r->arena, struct str, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        items[i] = json_str(list->items[i]);
        if (items[i].n == 0) {
            return mesh_invalid(list->items[i], "%s must hold no empty value, and only strings",
                                what);
        }
    }
    *out = items;
    *n = list->n;
    return OK;
}

static struct err read_selector(struct mesh_reader *r, const struct json *obj,
                                struct mesh_selector *out)
{
    static const char *const known[] = {"matchLabels", NULL};
    if (obj == NULL || json_is(obj, JSON_NULL)) {
        return OK;
    }
    TRY(mesh_check_fields(obj, "selector", known));
    const struct json *labels = json_get(obj, "matchLabels");
    if (labels == NULL || labels->n == 0) {
        r->warning = S("the selector has no labels and so selects every workload of the namespace; "
                       "leave it out to say so");
        return OK;
    }
    if (!json_is(labels, JSON_OBJECT) || labels->n > MESH_LABELS_MAX) {
        return mesh_invalid(labels, "selector.matchLabels must be a mapping of at most %d labels",
                            MESH_LABELS_MAX);
    }
    out->labels = arena_array(r->arena, struct mesh_label, labels->n);
    for (uint32_t i = 0; i < labels->n; i++) {
        const struct json_member *m = &labels->members[i];
        if (m->key.n == 0 || str_find_char(m->key, '*') != STR_NPOS ||
            !json_is(m->value, JSON_STRING) || str_find_char(m->value->text, '*') != STR_NPOS) {
            return mesh_invalid(m->value,
                                "selector.matchLabels takes non-empty keys and string values "
                                "without '*'");
        }
        out->labels[out->n++] = (struct mesh_label){m->key, m->value->text};
    }
    out->given = true;
    return OK;
}

static struct err read_target_ref(const struct json *ref)
{
    static const char *const known[] = {"group", "kind", "name", "namespace", NULL};
    static const struct {
        const char *group, *kind;
    } allowed[] = {{"gateway.networking.k8s.io", "Gateway"},
                   {"gateway.networking.k8s.io", "GatewayClass"},
                   {"", "Service"},
                   {"core", "Service"},
                   {"networking.istio.io", "ServiceEntry"}};
    TRY(mesh_check_fields(ref, "targetRef", known));
    struct str group = json_str(json_get(ref, "group")), kind = json_str(json_get(ref, "kind"));
    if (json_str(json_get(ref, "name")).n == 0) {
        return mesh_invalid(ref, "targetRef needs a name");
    }
    if (json_str(json_get(ref, "namespace")).n > 0) {
        return mesh_invalid(ref, "targetRef must not cross namespaces; leave namespace out");
    }
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        if (str_is(group, allowed[i].group) && str_is(kind, allowed[i].kind)) {
            return OK;
        }
    }
    return mesh_invalid(ref,
                        "targetRef cannot be %.*s of group '%.*s'; it takes Gateway, GatewayClass, "
                        "Service and ServiceEntry",
                        STR_FMT(kind), STR_FMT(group));
}

static struct err read_target_refs(const struct json *spec, struct mesh_selector *out)
{
    const struct json *one = json_get(spec, "targetRef"), *many = json_get(spec, "targetRefs");
    size_t n = json_is(many, JSON_ARRAY) ? many->n : 0;
    if ((one != NULL) + (n > 0) + (json_get(spec, "selector") != NULL) > 1) {
        return mesh_invalid(spec, "only one of selector, targetRef and targetRefs can be set");
    }
    if (n > MESH_TARGET_REFS_MAX) {
        return mesh_invalid(many, "targetRefs takes at most %d", MESH_TARGET_REFS_MAX);
    }
    if (one != NULL) {
        TRY(read_target_ref(one));
    }
    for (size_t i = 0; i < n; i++) {
        TRY(read_target_ref(many->items[i]));
    }
    out->target_refs = one != NULL || n > 0;
    return OK;
}

struct err mesh_read_object(struct mesh_reader *r, const struct json *doc, struct mesh_object *out)
{
    const struct json *meta = json_get(doc, "metadata"), *spec = json_get(doc, "spec");
    struct str created = json_str(json_get(meta, "creationTimestamp"));
    struct mesh_object o = {.ns = json_str(json_get(meta, "namespace")),
                            .name = json_str(json_get(meta, "name")),
                            .line = doc->line,
                            .doc = doc};
    o.ns = o.ns.n > 0 ? o.ns : S("default");
    if (o.name.n == 0) {
        return mesh_invalid(doc, "metadata.name is missing");
    }
    if (created.n > 0 && failed(clock_parse_rfc3339(created, &o.created_ns))) {
        return mesh_invalid(meta, "metadata.creationTimestamp is not a time");
    }
    TRY(read_selector(r, json_get(spec, "selector"), &o.selector));
    TRY(read_target_refs(spec, &o.selector));
    *out = o;
    return OK;
}
