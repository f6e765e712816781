/* Steps 1, 2 and 5: what the identity holds, its end, and the policy that keeps it ended. */
#include "incident.h"

#include "lib/base/codec.h"

static struct str reason(struct incident *i)
{
    return arena_printf(i->a, "incident %.*s", STR_FMT(i->id));
}

/* {"name":"value", ...} of up to three strings; empty values are left out. */
static struct str object(struct incident *i, const char *k1, struct str v1, const char *k2,
                         struct str v2, const char *flag)
{
    struct json *o = json_new_object(i->a);
    struct buf b;
    buf_init(&b, 16 * 1024);
    json_set(i->a, o, str_of(k1), json_new_string(i->a, v1));
    if (k2 != NULL && v2.n > 0) {
        json_set(i->a, o, str_of(k2), json_new_string(i->a, v2));
    }
    if (flag != NULL) {
        json_set(i->a, o, str_of(flag), json_new_bool(i->a, true));
    }
    json_write(&b, o);
    struct str out = arena_str(i->a, buf_str(&b));
    buf_release(&b);
    return out;
}

static struct str query_value(struct incident *i, struct str value)
{
    struct buf b;
    buf_init(&b, 16 * 1024);
    percent_put(&b, value);
    struct str out = arena_str(i->a, buf_str(&b));
    buf_release(&b);
    return out;
}

/* identity writes ids in SPIRE's shape: {"trust_domain":"x","path":"/y"}. */
static struct str entry_id(const struct incident *i, const struct json *id)
{
    return json_is(id, JSON_OBJECT) ? arena_printf(i->a, "spiffe://%.*s%.*s",
                                                   STR_FMT(json_str(json_get(id, "trust_domain"))),
                                                   STR_FMT(json_str(json_get(id, "path"))))
                                    : json_str(id);
}

/* The entries of one SPIFFE id out of an answer that may hold all. */
static struct json *own_entries(struct incident *i, const struct json *answer)
{
    const struct json *list = json_is(answer, JSON_ARRAY) ? answer : json_get(answer, "entries");
    struct json *out = json_new_array(i->a);
    for (uint32_t n = 0; json_is(list, JSON_ARRAY) && n < list->n; n++) {
        const struct json *id = json_get(list->items[n], "spiffe_id");
        if (str_eq(entry_id(i, id), i->identity)) {
            json_push(i->a, out, list->items[n]);
        }
    }
    return out;
}

static void count(struct incident *i, const char *key, const struct json *list)
{
    step_note(i, STEP_IDENTIFY, key, json_new_int(i->a, json_is(list, JSON_ARRAY) ? list->n : 0));
}

/* A daemon that is not part of this installation is no failure; one that refuses is. */
static bool reachable(struct incident *i, enum step_id step, const struct call *c,
                      const char *daemon)
{
    if (call_good(c) || (c->answered && c->status == 404)) {
        return true;
    }
    step_residual(i, step, "%s could not be asked (%.*s)", daemon, STR_FMT(call_outcome(i->a, c)));
    return false;
}

static struct call holdings_call(struct incident *i)
{
    return (struct call){.method = "POST",
                         .token = i->token,
                         .url = join_url(i, i->config->secrets, "/v1/sys/internal/entity/holdings"),
                         .body = object(i, "spiffe_id", i->identity, NULL, STR_EMPTY, NULL)};
}

static struct call grants_call(struct incident *i)
{
    struct str value = query_value(i, i->identity);
    return (struct call){.method = "GET",
                         .url = join_url(i, i->config->authn, "/v1/grants?%s=%.*s",
                                         i->is_workload ? "client" : "user", STR_FMT(value))};
}

static struct str deny_url(struct incident *i)
{
    return join_url(i, i->config->authz, "/v1/data/%.*s", STR_FMT(i->config->deny_document));
}

/*
 * {identity: {incident: id}} joins what the document names already. A path in the URL would not do: a SPIFFE
 * id is full of slashes.
 */
static struct call policy_call(struct incident *i)
{
    struct json *why = json_new_object(i->a);
    struct json *body = i->denied != NULL ? json_copy(i->a, i->denied) : json_new_object(i->a);
    struct buf text;
    json_set(i->a, why, S("incident"), json_new_string(i->a, i->id));
    json_set(i->a, body, i->identity, why);
    buf_init(&text, CALL_BODY_MAX);
    json_write(&text, body);
    struct call c = {.method = "PUT", .url = deny_url(i), .body = arena_str(i->a, buf_str(&text))};
    buf_release(&text);
    return c;
}

enum { ASK_LOGIN, ASK_ENTRIES, ASK_GRANTS, ASK_ACTIONS, ASK_DENIED, ASKS };

static void take_answers(struct incident *i, const struct call *c)
{
    if (reachable(i, STEP_IDENTIFY, &c[ASK_LOGIN], "secrets")) {
        i->token = json_str(json_path(c[ASK_LOGIN].json, "auth.client_token"));
    }
    if (reachable(i, STEP_IDENTIFY, &c[ASK_ENTRIES], "identity")) {
        i->entries = own_entries(i, c[ASK_ENTRIES].json);
    }
    if (reachable(i, STEP_IDENTIFY, &c[ASK_GRANTS], "authn") && call_good(&c[ASK_GRANTS])) {
        i->grants = c[ASK_GRANTS].json;
    }
    const struct json *denied = json_get(c[ASK_DENIED].json, "result");
    i->denied = json_is(denied, JSON_OBJECT) ? denied : NULL;
    if (reachable(i, STEP_IDENTIFY, &c[ASK_ACTIONS], "audit")) {
        i->actions = c[ASK_ACTIONS].json;
    }
}

static void note_holdings(struct incident *i)
{
    const struct json *data = json_get(i->holdings, "data");
    count(i, "tokens", json_get(data, "tokens"));
    count(i, "leases", json_get(data, "leases"));
    count(i, "registration_entries", i->entries);
    count(i, "sessions", json_get(i->grants, "sessions"));
    count(i, "grants", json_get(i->grants, "families"));
    step_note(i, STEP_IDENTIFY, "requests_in_the_log",
              json_get(i->actions, "found") != NULL ? json_copy(i->a, json_get(i->actions, "found"))
                                                    : json_new_int(i->a, 0));
    if (data != NULL) {
        step_note(i, STEP_IDENTIFY, "holdings", json_copy(i->a, data));
    }
    if (i->entries != NULL && i->entries->n > 0) {
        step_note(i, STEP_IDENTIFY, "entries", i->entries);
    }
}

struct err incident_identify(struct incident *i)
{
    struct str who = query_value(i, i->identity);
    struct call c[ASKS] = {
        [ASK_LOGIN] = {.method = "POST",
                       .body = S("{}"),
                       .url = join_url(i, i->config->secrets, "/v1/%.*s/login",
                                       STR_FMT(i->config->secrets_login))},
        [ASK_ENTRIES] = {.method = "GET",
                         .url = join_url(i, i->config->identity, "/v1/entries?spiffe_id=%.*s",
                                         STR_FMT(who))},
        [ASK_GRANTS] = grants_call(i),
        [ASK_DENIED] = {.method = "GET", .url = deny_url(i)},
        [ASK_ACTIONS] = {.method = "GET",
                         .url =
                             join_url(i, i->config->audit,
                                      "/v1/ask?question=secret&limit=10000&of=%.*s", STR_FMT(who))},
    };
    step_begin(i, STEP_IDENTIFY);
    calls_run(&i->calls, c, ASKS);
    take_answers(i, c);
    if (i->token.n > 0) {
        struct call h = holdings_call(i);
        calls_run(&i->calls, &h, 1);
        if (reachable(i, STEP_IDENTIFY, &h, "secrets") && call_good(&h)) {
            i->holdings = h.json;
        }
    }
    note_holdings(i);
    bool anything =
        i->holdings != NULL || (i->entries != NULL && i->entries->n > 0) || i->grants != NULL;
    step_end(i, STEP_IDENTIFY, c[ASK_ENTRIES].answered || c[ASK_LOGIN].answered);
    ENSURE(anything || i->actions != NULL, ERR_UNAVAILABLE,
           "no daemon could tell anything about %.*s: is the system running?",
           STR_FMT(i->identity));
    return OK;
}

/* ---- the cut ---- */

enum { CUT_BAN, CUT_SECRETS, CUT_GRANTS, CUT_POLICY, CUTS };

static void note_cut(struct incident *i, enum step_id step, const char *what, const struct call *c,
                     bool absent_is_good)
{
    struct str outcome = call_outcome(i->a, c);
    bool good = call_good(c) || (absent_is_good && c->answered && c->status == 404);
    step_note_str(i, step, what, good ? S("done") : outcome);
    if (!good) {
        step_residual(i, step, "%s: %.*s", what, STR_FMT(outcome));
    }
}

/* Everything at once; the ban is what reaches every enforcement point, so it goes first on the wire. */
void incident_cut(struct incident *i)
{
    struct call c[CUTS] = {
        [CUT_BAN] = {.method = "POST",
                     .url = join_url(i, i->config->identity, "/v1/bans"),
                     .body = object(i, "spiffe_id", i->identity, "reason", reason(i), NULL)},
        [CUT_SECRETS] = {.method = "POST",
                         .token = i->token,
                         .url = join_url(i, i->config->secrets, "/v1/sys/internal/entity/revoke"),
                         .body = object(i, "spiffe_id", i->identity, NULL, STR_EMPTY, "disable")},
        [CUT_GRANTS] = {.method = "POST",
                        .url = join_url(i, i->config->authn, "/v1/revoke"),
                        .body = object(i, i->is_workload ? "client" : "user", i->identity, NULL,
                                       STR_EMPTY, NULL)},
        [CUT_POLICY] = policy_call(i),
    };
    step_begin(i, STEP_REVOKE);
    step_begin(i, STEP_TIGHTEN);
    calls_run(&i->calls, c, CUTS);
    if (i->is_workload) {
        note_cut(i, STEP_REVOKE, "identity banned, deny-list pushed", &c[CUT_BAN], false);
        note_cut(i, STEP_REVOKE, "tokens and leases revoked, entity disabled", &c[CUT_SECRETS],
                 true);
        step_note(i, STEP_REVOKE, "secrets",
                  json_get(c[CUT_SECRETS].json, "data") != NULL
                      ? json_copy(i->a, json_get(c[CUT_SECRETS].json, "data"))
                      : json_new_null(i->a));
    }
    bool grants_matter = !i->is_workload || i->grants != NULL;
    if (grants_matter) {
        note_cut(i, STEP_REVOKE, "sessions and grants revoked", &c[CUT_GRANTS], i->is_workload);
    }
    note_cut(i, STEP_TIGHTEN, "policy data denies the identity", &c[CUT_POLICY], false);
    step_note_str(i, STEP_TIGHTEN, "document", i->config->deny_document);
    i->steps[STEP_REVOKE].ended_ms = incident_ms(i);
}

/* ---- proofs that it is gone ---- */

static size_t probe_secrets(struct incident *i, struct call *c)
{
    const struct json *data = json_get(i->holdings, "data");
    const struct json *tokens = json_get(data, "tokens"), *leases = json_get(data, "leases");
    size_t n = 0;
    for (uint32_t t = 0; json_is(tokens, JSON_ARRAY) && t < tokens->n && n < PROBES_MAX / 2; t++) {
        struct str accessor = json_str(json_get(tokens->items[t], "accessor"));
        c[n++] =
            (struct call){.method = "POST",
                          .token = i->token,
                          .url = join_url(i, i->config->secrets, "/v1/auth/token/lookup-accessor"),
                          .body = object(i, "accessor", accessor, NULL, STR_EMPTY, NULL)};
    }
    for (uint32_t l = 0; json_is(leases, JSON_ARRAY) && l < leases->n && n < PROBES_MAX - 8; l++) {
        struct str id = json_str(json_get(leases->items[l], "id"));
        id = id.n > 0 ? id : json_str(json_get(leases->items[l], "lease_id"));
        c[n++] = (struct call){.method = "POST",
                               .token = i->token,
                               .url = join_url(i, i->config->secrets, "/v1/sys/leases/lookup"),
                               .body = object(i, "lease_id", id, NULL, STR_EMPTY, NULL)};
    }
    return n;
}

/* Gone when secrets says that there is no such token or lease. */
static void judge_secrets(struct incident *i, const struct call *c, size_t n)
{
    for (size_t p = 0; p < n; p++) {
        bool gone = c[p].answered &&
                    (c[p].status == 400 || c[p].status == 404 ||
                     (c[p].status == 403 && str_find(c[p].text, S("accessor")) != STR_NPOS));
        struct str body = str_sub(c[p].body, 0, 200);
        step_probe(i, STEP_REVOKE, gone, arena_printf(i->a, "lookup %.*s", STR_FMT(body)),
                   call_outcome(i->a, &c[p]));
    }
}

static bool list_has(const struct json *answer, struct str identity)
{
    const struct json *list = json_get(answer, "entries");
    list = list != NULL ? list : json_get(answer, "bans");
    for (uint32_t n = 0; json_is(list, JSON_ARRAY) && n < list->n; n++) {
        if (str_eq(json_str(json_get(list->items[n], "spiffe_id")), identity)) {
            return true;
        }
    }
    return false;
}

static void judge_holdings(struct incident *i, const struct call *c)
{
    const struct json *data = json_get(c->json, "data");
    const struct json *tokens = json_get(data, "tokens"), *leases = json_get(data, "leases");
    bool gone = c->answered && (c->status == 404 ||
                                (call_good(c) && json_is(tokens, JSON_ARRAY) && tokens->n == 0 &&
                                 json_is(leases, JSON_ARRAY) && leases->n == 0));
    step_probe(i, STEP_REVOKE, gone, S("tokens and leases held at secrets"),
               c->status == 404 ? S("none, ever")
               : gone           ? S("none")
                                : call_outcome(i->a, c));
    if (call_good(c)) {
        step_probe(i, STEP_TIGHTEN, json_true(json_get(data, "disabled")),
                   S("entity disabled at secrets: no login, no token"),
                   json_true(json_get(data, "disabled")) ? S("disabled") : S("enabled"));
    }
}

static void judge_policy(struct incident *i, const struct call *c)
{
    bool there = call_good(c) && json_get_str(json_get(c->json, "result"), i->identity) != NULL;
    if (c->answered) {
        step_probe(i, STEP_TIGHTEN, there, S("policy data names the identity as denied"),
                   there ? S("present") : call_outcome(i->a, c));
    }
}

void incident_probe(struct incident *i)
{
    struct call *c = arena_array(i->a, struct call, PROBES_MAX);
    size_t n = probe_secrets(i, c), denylist = n, holdings = n + 1, policy = n + 2, grants = n + 3;
    c[denylist] =
        (struct call){.method = "GET", .url = join_url(i, i->config->identity, "/v1/bans")};
    c[holdings] = holdings_call(i);
    c[policy] = (struct call){.method = "GET", .url = deny_url(i)};
    c[grants] = grants_call(i);
    calls_run(&i->calls, c, n + 4);
    judge_secrets(i, c, n);
    if (i->is_workload) {
        bool banned = call_good(&c[denylist]) && list_has(c[denylist].json, i->identity);
        step_probe(i, STEP_REVOKE, banned,
                   S("deny-list of identity, which every enforcement point follows"),
                   banned ? S("names the identity") : call_outcome(i->a, &c[denylist]));
        judge_holdings(i, &c[holdings]);
    }
    if (call_good(&c[grants])) {
        const struct json *s = json_get(c[grants].json, "sessions"),
                          *f = json_get(c[grants].json, "families");
        bool gone = (s == NULL || s->n == 0 || i->is_workload) && (f == NULL || f->n == 0);
        step_probe(i, STEP_REVOKE, gone, S("sessions and grants at authn"),
                   gone ? S("none") : S("some are left"));
    }
    judge_policy(i, &c[policy]);
    step_end(i, STEP_REVOKE, i->steps[STEP_REVOKE].residual->n == 0);
    step_end(i, STEP_TIGHTEN, true);
}
