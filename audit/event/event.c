#include "event.h"

#include "lib/base/codec.h"
#include "lib/tls/digest.h"

#include <inttypes.h>

const char *const event_field_names[EVENT_FIELDS] = {
    [EVENT_USER] = "actor_user",       [EVENT_IDENTITY] = "actor_spiffe_id",
    [EVENT_SESSION] = "session",       [EVENT_ACCESSOR] = "token_accessor",
    [EVENT_DECISION] = "decision_id",  [EVENT_POLICY] = "policy_path",
    [EVENT_RESOURCE] = "resource_uid", [EVENT_SECRET] = "secret_path",
    [EVENT_KEY] = "key_name",          [EVENT_LEASE] = "lease_id",
    [EVENT_TRACE] = "trace_id",        [EVENT_DAEMON] = "daemon",
    [EVENT_ACTIVITY] = "activity",     [EVENT_UID] = "uid",
    [EVENT_RULE] = "policy_rule",      [EVENT_RESOURCE_TYPE] = "resource_type",
    [EVENT_SOURCE] = "source_addr",    [EVENT_NAMESPACE] = "namespace",
    [EVENT_REGION] = "region",         [EVENT_OUTCOME] = "outcome",
    [EVENT_REASON] = "reason",         [EVENT_TITLE] = "title",
};

static int64_t integer(const struct json *v, const char *key)
{
    int64_t n = 0;
    return failed(json_i64(json_get(v, key), &n)) ? 0 : n;
}

static void fill(struct event *e, enum event_field f, struct str value)
{
    if (e->field[f].n == 0) {
        e->field[f] = value;
    }
}

static const struct json *first(const struct json *list)
{
    return json_is(list, JSON_ARRAY) && list->n > 0 ? list->items[0] : NULL;
}

static void read_resources(const struct json *list, struct event *e)
{
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        struct str type = json_str(json_get(list->items[i], "type")),
                   uid = json_str(json_get(list->items[i], "uid"));
        uid = uid.n > 0 ? uid : json_str(json_get(list->items[i], "name"));
        enum event_field f = str_is(type, "secret")  ? EVENT_SECRET
                             : str_is(type, "key")   ? EVENT_KEY
                             : str_is(type, "lease") ? EVENT_LEASE
                                                     : EVENT_RESOURCE;
        if (f == EVENT_RESOURCE) {
            fill(e, EVENT_RESOURCE_TYPE, type);
        }
        fill(e, f, uid);
    }
}

/* Where OCSF itself has the answer: for events of producers that do not write unmapped.sextant. */
static void read_ocsf(const struct json *v, struct event *e)
{
    const struct json *actor = json_get(v, "actor"), *user = json_get(actor, "user");
    user = user != NULL ? user : json_get(v, "user");
    struct str uid = json_str(json_get(user, "uid"));
    uid = uid.n > 0 ? uid : json_str(json_get(user, "name"));
    uid = str_is(uid, "unknown") ? STR_EMPTY
                                 : uid; /* what a producer writes where OCSF demands a name */
    fill(e, integer(user, "type_id") == 4 ? EVENT_IDENTITY : EVENT_USER, uid);
    fill(e, EVENT_IDENTITY, json_str(json_get(actor, "app_uid")));
    fill(e, EVENT_SESSION, json_str(json_path(actor, "session.uid")));
    const struct json *policy = json_get(first(json_get(actor, "authorizations")), "policy");
    fill(e, EVENT_POLICY, json_str(json_get(policy, "name")));
    fill(e, EVENT_RULE, json_str(json_get(policy, "uid")));
    read_resources(json_get(v, "resources"), e);
    fill(e, EVENT_SOURCE, json_str(json_path(v, "src_endpoint.ip")));
    fill(e, EVENT_REGION, json_str(json_path(v, "cloud.region")));
    fill(e, EVENT_TRACE, json_str(json_path(v, "metadata.correlation_uid")));
    fill(e, EVENT_DAEMON, json_str(json_path(v, "metadata.product.name")));
    fill(e, EVENT_ACTIVITY, json_str(json_path(v, "api.operation")));
    fill(e, EVENT_TITLE, json_str(json_path(v, "finding_info.title")));
    int64_t action = integer(v, "action_id"), status = integer(v, "status_id");
    fill(e, EVENT_OUTCOME,
         action == 2   ? S("denied")
         : status == 2 ? S("failed")
         : status == 1 ? S("allowed")
                       : STR_EMPTY);
}

void event_read(const struct json *v, struct event *out)
{
    struct event e = {.time_ms = integer(v, "time"),
                      .class_uid = integer(v, "class_uid"),
                      .activity_id = integer(v, "activity_id"),
                      .severity = integer(v, "severity_id")};
    const struct json *own = json_path(v, "unmapped.sextant");
    for (int f = 0; f < EVENT_FIELDS; f++) {
        e.field[f] = json_str(json_get(own, event_field_names[f]));
    }
    e.field[EVENT_UID] = json_str(json_path(v, "metadata.uid"));
    read_ocsf(v, &e);
    *out = e;
}

/* ---- sensitive values ---- */

static void replace_sensitive(struct arena *a, struct json *v, const struct secret *key)
{
    const struct json *own = json_path(v, "unmapped.sextant");
    const struct json *sensitive = json_get(own, "sensitive");
    for (uint32_t i = 0; json_is(sensitive, JSON_OBJECT) && i < sensitive->n; i++) {
        struct buf text, raw;
        uint8_t mac[SHA256_BYTES];
        buf_init(&raw, EVENT_LINE_MAX * 2);
        buf_init(&text, 128);
        struct json *value = sensitive->members[i].value;
        if (json_is(value, JSON_STRING)) {
            buf_puts(&raw, value->text);
        } else { /* numbers and booleans too: a small value is soon guessed when it stays clear */
            json_write_canonical(&raw, value);
        }
        hmac_sha256(secret_bytes(key), buf_str(&raw), mac);
        buf_puts(&text, S("hmac-sha256:"));
        hex_put(&text, str_n(mac, sizeof(mac)));
        sensitive->members[i].value = json_new_string(a, arena_str(a, buf_str(&text)));
        buf_release(&raw);
        buf_release(&text);
    }
}

/* ---- completion ---- */

static struct err check_producer(const struct json *v, struct str producer)
{
    if (producer.n == 0) {
        return OK;
    }
    struct str product = json_str(json_path(v, "metadata.product.name"));
    struct str daemon = json_str(json_path(v, "unmapped.sextant.daemon"));
    bool by_product =
        str_starts(product, S("sextant-")) && str_eq(str_sub(product, 8, product.n), producer);
    ENSURE(by_product && (daemon.n == 0 || str_eq(daemon, producer)), ERR_DENIED,
           "the sender is '%.*s', but the event's product is '%.*s' and its daemon '%.*s'",
           STR_FMT(producer), STR_FMT(product), STR_FMT(daemon));
    return OK;
}

static struct json *object_at(struct arena *a, struct json *parent, const char *key)
{
    const struct json *old = json_get(parent, key);
    if (json_is(old, JSON_OBJECT)) {
        for (uint32_t i = 0; i < parent->n; i++) {
            if (str_is(parent->members[i].key, key)) {
                return parent->members[i].value;
            }
        }
    }
    struct json *fresh = json_new_object(a);
    json_set(a, parent, str_of(key), fresh);
    return fresh;
}

static void complete(struct arena *a, struct json *v, const struct event_context *c)
{
    struct json *m = object_at(a, v, "metadata"), *profiles = json_new_array(a);
    if (integer(v, "class_uid") == 4001) { /* its actor comes from this profile */
        json_push(a, profiles, json_new_string(a, S("host")));
    }
    json_push(a, profiles, json_new_string(a, S("record_integrity")));
    json_push(a, profiles, json_new_string(a, S("security_control")));
    json_set(a, m, S("log_name"), json_new_string(a, c->origin));
    json_set(a, m, S("logged_time"), json_new_int(a, c->now_ms));
    json_set(a, m, S("profiles"), profiles);
    json_set(a, m, S("sequence"), json_new_int(a, (int64_t)c->sequence));
    struct json *own = object_at(a, object_at(a, v, "unmapped"), "sextant");
    json_remove(own, S("sender")); /* who sent it is not for the sender to say */
    if (c->sender.n > 0) {
        json_set(a, own, S("sender"), json_new_string(a, c->sender));
    }
    struct json *attestation = json_new_object(a), *list = json_new_array(a);
    json_set(a, attestation, S("authority_uid"), json_new_string(a, c->origin));
    json_set(a, attestation, S("chain_uid"), json_new_string(a, c->origin));
    json_push(a, list, attestation);
    json_set(a, v, S("attestation_list"), list);
}

/*
 * The fingerprint is over the canonical event without it; in canonical order it stands right behind
 * chain_uid, so it is put into the written bytes there instead of writing them twice.
 */
#define FINGERPRINT_HEAD ",\"fingerprint\":{\"algorithm_id\":3,\"value\":\""
#define FINGERPRINT_TAIL "\"}"
enum { FINGERPRINT_LEN = sizeof(FINGERPRINT_HEAD) - 1 + 2 * SHA256_BYTES + 2 };

static const struct str LIST = STR_INIT("\"attestation_list\":[");

/* Behind the attestation's last member. The list is ours alone: one deeper inside is refused. */
static struct err fingerprint_place(struct str event, size_t *out)
{
    size_t at = str_find(event, LIST);
    struct str rest = at != STR_NPOS ? str_sub(event, at + LIST.n, event.n) : STR_EMPTY;
    size_t end = str_find(rest, S("}]"));
    ENSURE(end != STR_NPOS && str_find(rest, LIST) == STR_NPOS, ERR_INVALID,
           "an event may not bring an attestation_list inside another attribute");
    *out = at + LIST.n + end;
    return OK;
}

static struct err put_fingerprinted(struct buf *out, struct str event)
{
    uint8_t sum[SHA256_BYTES];
    size_t at;
    TRY(fingerprint_place(event, &at));
    sha256_of(event, sum);
    buf_puts(out, str_sub(event, 0, at));
    buf_puts(out, S(FINGERPRINT_HEAD));
    hex_put(out, str_n(sum, sizeof(sum)));
    buf_puts(out, S(FINGERPRINT_TAIL));
    buf_puts(out, str_sub(event, at, event.n));
    return OK;
}

static const struct json_limits limits = {
    .max_bytes = EVENT_LINE_MAX, .max_depth = 24, .max_values = 4096};

struct err event_accept(struct arena *a, struct str line, const struct event_context *c,
                        struct buf *out, struct event *fields)
{
    struct json *v;
    ENSURE(line.n <= EVENT_LINE_MAX, ERR_LIMIT,
           "an event of %zu bytes; at most %d are logged: leave large bodies out, or hash them",
           line.n, EVENT_LINE_MAX);
    TRY(json_parse(a, line, &limits, &v));
    TRY(event_check(v));
    TRY(check_producer(v, c->producer));
    replace_sensitive(a, v, c->hmac_key);
    complete(a, v, c);
    struct buf text;
    buf_init(&text, UINT16_MAX - FINGERPRINT_LEN);
    json_write_canonical(&text, v);
    size_t before = out->n;
    struct err e = buf_check(&text);
    if (!failed(e)) {
        e = put_fingerprinted(out, buf_str(&text));
    }
    buf_release(&text);
    if (failed(e) || !buf_ok(out)) {
        out->n = before;
        return failed(e) ? e : err_make(ERR_LIMIT, "the event is too large once completed");
    }
    event_read(v, fields);
    return OK;
}

struct err event_check_fingerprint(struct arena *a, struct str logged)
{
    struct buf rest;
    uint8_t sum[SHA256_BYTES];
    size_t list = str_find(logged, LIST);
    list = list != STR_NPOS ? list : logged.n;
    size_t at = str_find(str_sub(logged, list, logged.n), S(FINGERPRINT_HEAD));
    ENSURE(at != STR_NPOS && logged.n - list - at >= FINGERPRINT_LEN, ERR_NOT_FOUND,
           "the event has no fingerprint");
    at += list;
    buf_init(&rest, UINT16_MAX);
    buf_puts(&rest, str_sub(logged, 0, at));
    buf_puts(&rest, str_sub(logged, at + FINGERPRINT_LEN, logged.n));
    sha256_of(buf_str(&rest), sum);
    buf_release(&rest);
    struct str told = str_sub(logged, at + sizeof(FINGERPRINT_HEAD) - 1, at + FINGERPRINT_LEN - 2);
    ENSURE(str_eq(hex_encode(a, str_n(sum, sizeof(sum))), told), ERR_SIGNATURE,
           "the event's own fingerprint does not match it");
    return OK;
}
