/* Steps 3, 4, 6 and 7: what follows once access is cut. */
#include "incident.h"

#include "lib/base/codec.h"
#include "lib/yaml/yaml.h"

#include <dirent.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { ROTATE_MAX = 64, OUTPUT_MAX = 4 << 20, OTHERS_MAX = 64 };

static struct str percent(struct incident *i, struct str value)
{
    struct buf b;
    buf_init(&b, 16 * 1024);
    percent_put(&b, value);
    struct str out = arena_str(i->a, buf_str(&b));
    buf_release(&b);
    return out;
}

/* ---- 3: rotate ---- */

/* Did the identity act in this request, or does it only speak about the identity (as the runbook's do)? */
static bool is_action(const struct incident *i, const struct json *request)
{
    const struct json *who = json_get(request, i->is_workload ? "identities" : "persons");
    for (uint32_t n = 0; json_is(who, JSON_ARRAY) && n < who->n; n++) {
        if (str_eq(json_str(who->items[n]), i->identity)) {
            return true;
        }
    }
    return false;
}

/* Different values of one kind over all requests of the identity. */
static struct json *used(struct incident *i, const char *kind)
{
    const struct json *requests = json_get(i->actions, "requests");
    struct json *out = json_new_array(i->a);
    for (uint32_t r = 0; json_is(requests, JSON_ARRAY) && r < requests->n; r++) {
        const struct json *list = json_get(requests->items[r], kind);
        bool allowed = str_is(json_str(json_get(requests->items[r], "outcome")), "allowed") &&
                       is_action(i, requests->items[r]);
        for (uint32_t v = 0; allowed && json_is(list, JSON_ARRAY) && v < list->n; v++) {
            bool known = false;
            for (uint32_t k = 0; k < out->n; k++) {
                known |= str_eq(json_str(out->items[k]), json_str(list->items[v]));
            }
            if (!known && out->n < ROTATE_MAX) {
                json_push(i->a, out, list->items[v]);
            }
        }
    }
    return out;
}

static bool is_dynamic(struct str path)
{
    return str_find(path, S("/creds/")) != STR_NPOS || str_find(path, S("/issue/")) != STR_NPOS;
}

/* Who else reads a path decides whether its leases may all go. */
static bool used_by_others(struct incident *i, const struct call *c)
{
    const struct json *answers = json_get(c->json, "answers");
    for (uint32_t n = 0; json_is(answers, JSON_ARRAY) && n < answers->n; n++) {
        struct str who = json_str(json_get(answers->items[n], "value"));
        bool ours = str_find(who, S("/sextant/")) != STR_NPOS;
        if (!ours && !str_eq(who, i->identity)) {
            return true;
        }
    }
    return !call_good(c);
}

static void revoke_prefixes(struct incident *i, struct json *paths)
{
    struct call ask[ROTATE_MAX], revoke[ROTATE_MAX];
    struct str of[ROTATE_MAX];
    size_t n = 0, m = 0;
    for (uint32_t p = 0; p < paths->n; p++) {
        struct str path = json_str(paths->items[p]), q = percent(i, path);
        if (is_dynamic(path)) {
            of[n] = path;
            ask[n++] =
                (struct call){.method = "GET",
                              .url = join_url(i, i->config->audit,
                                              "/v1/ask?question=identity&of=%.*s", STR_FMT(q))};
        } else {
            step_residual(i, STEP_ROTATE,
                          "'%.*s' was read and its value is known to the intruder: its owner must "
                          "replace it",
                          STR_FMT(path));
        }
    }
    calls_run(&i->calls, ask, n);
    for (size_t k = 0; k < n; k++) {
        if (used_by_others(i, &ask[k])) {
            step_note_str(
                i, STEP_ROTATE, arena_cstr(i->a, of[k]),
                S("shared with others: only the leases of this identity were ended, in step 2"));
            continue;
        }
        of[m] = of[k];
        revoke[m] =
            (struct call){.method = "POST",
                          .token = i->token,
                          .body = S("{}"),
                          .url = join_url(i, i->config->secrets,
                                          "/v1/sys/leases/revoke-prefix/%.*s", STR_FMT(of[m]))};
        m++;
    }
    calls_run(&i->calls, revoke, m);
    for (size_t k = 0; k < m; k++) {
        step_note_str(i, STEP_ROTATE, arena_cstr(i->a, of[k]),
                      call_good(&revoke[k]) ? S("every lease below it ended")
                                            : call_outcome(i->a, &revoke[k]));
        step_probe(i, STEP_ROTATE, call_good(&revoke[k]),
                   arena_printf(i->a, "leases below %.*s", STR_FMT(of[k])),
                   call_outcome(i->a, &revoke[k]));
    }
}

/* A new version: what is encrypted from now on is under a key that the intruder never could use. */
static void rotate_keys(struct incident *i, struct json *keys)
{
    struct call c[ROTATE_MAX];
    for (uint32_t k = 0; k < keys->n; k++) {
        struct str name = percent(i, json_str(keys->items[k]));
        c[k] = (struct call){
            .method = "POST",
            .body = S("{}"),
            .url = join_url(i, i->config->crypto, "/v1/transit/keys/%.*s/rotate", STR_FMT(name))};
    }
    calls_run(&i->calls, c, keys->n);
    for (uint32_t k = 0; k < keys->n; k++) {
        struct str name = json_str(keys->items[k]);
        step_note_str(i, STEP_ROTATE,
                      arena_cstr(i->a, arena_printf(i->a, "key %.*s", STR_FMT(name))),
                      call_good(&c[k]) ? S("rotated") : call_outcome(i->a, &c[k]));
        if (!call_good(&c[k])) {
            step_residual(i, STEP_ROTATE,
                          "key '%.*s' was not rotated (%.*s); whoever may must do it",
                          STR_FMT(name), STR_FMT(call_outcome(i->a, &c[k])));
        }
    }
}

void incident_rotate(struct incident *i)
{
    step_begin(i, STEP_ROTATE);
    struct json *paths = used(i, "secrets"), *keys = used(i, "keys");
    step_note(i, STEP_ROTATE, "secrets_used", paths);
    step_note(i, STEP_ROTATE, "keys_used", keys);
    if (!i->dry_run) {
        revoke_prefixes(i, paths);
        rotate_keys(i, keys);
    }
    step_end(i, STEP_ROTATE, true);
}

/* ---- 4: list ---- */

void incident_list(struct incident *i)
{
    struct str who = percent(i, i->identity);
    struct call c = {.method = "GET",
                     .url = join_url(i, i->config->audit,
                                     "/v1/ask?question=when&limit=10000&of=%.*s", STR_FMT(who))};
    step_begin(i, STEP_LIST);
    calls_run(&i->calls, &c, 1);
    if (!call_good(&c)) {
        step_residual(i, STEP_LIST, "audit did not list the actions: %.*s",
                      STR_FMT(call_outcome(i->a, &c)));
        step_end(i, STEP_LIST, false);
        return;
    }
    i->actions = c.json;
    uint64_t allowed = 0, denied = 0;
    const struct json *requests = json_get(c.json, "requests");
    for (uint32_t r = 0; json_is(requests, JSON_ARRAY) && r < requests->n; r++) {
        struct str outcome = json_str(json_get(requests->items[r], "outcome"));
        bool mine = is_action(i, requests->items[r]);
        allowed += mine && str_is(outcome, "allowed");
        denied += mine && str_is(outcome, "denied");
    }
    step_note(i, STEP_LIST, "requests", json_new_int(i->a, (int64_t)(allowed + denied)));
    step_note(i, STEP_LIST, "allowed", json_new_int(i->a, (int64_t)allowed));
    step_note(i, STEP_LIST, "denied", json_new_int(i->a, (int64_t)denied));
    step_note(i, STEP_LIST, "tree_size", json_copy(i->a, json_get(c.json, "tree_size")));
    step_note(i, STEP_LIST, "resources", used(i, "resources"));
    step_note(i, STEP_LIST, "persons", used(i, "persons"));
    step_end(i, STEP_LIST, true);
}

/* ---- 6: redeploy ---- */

/* Runs a program and gives what it prints. No shell, no inherited descriptors beyond the three. */
static struct err run_program(struct incident *i, char *const argv[], int *status, struct str *out)
{
    int fds[2];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    ENSURE(pipe(fds) == 0, ERR_IO, "no pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    int why = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    if (why != 0) {
        close(fds[0]);
        FAIL(ERR_NOT_FOUND, "cannot run %s: %s", argv[0], strerror(why));
    }
    struct buf b;
    buf_init(&b, OUTPUT_MAX);
    for (;;) {
        char piece[8192];
        ssize_t n = read(fds[0], piece, sizeof(piece));
        if (n <= 0) {
            break;
        }
        buf_put(&b, piece, (size_t)n);
    }
    close(fds[0]);
    waitpid(pid, status, 0);
    *out = arena_str(i->a, buf_str(&b));
    buf_release(&b);
    return OK;
}

/* spiffe://td/ns/prod/sa/a becomes .../a-2, and .../a-2 becomes .../a-3. */
static struct str next_identity(struct incident *i)
{
    struct str id = i->identity;
    size_t dash = str_rfind_char(id, '-');
    uint64_t generation = 0;
    if (dash != STR_NPOS && !failed(str_to_u64(str_sub(id, dash + 1, id.n), &generation)) &&
        generation >= 2 && generation < 1000000) {
        return arena_printf(i->a, "%.*s-%llu", STR_FMT(str_sub(id, 0, dash)),
                            (unsigned long long)generation + 1);
    }
    return arena_printf(i->a, "%.*s-2", STR_FMT(id));
}

static void run_hook(struct incident *i, struct str fresh)
{
    char *argv[] = {arena_cstr(i->a, i->config->redeploy_hook), arena_cstr(i->a, i->identity),
                    arena_cstr(i->a, fresh), arena_cstr(i->a, i->id), NULL};
    int status = -1;
    struct str out = STR_EMPTY;
    struct err e = run_program(i, argv, &status, &out);
    bool good = !failed(e) && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    step_note_str(i, STEP_REDEPLOY, "hook", i->config->redeploy_hook);
    step_note_str(i, STEP_REDEPLOY, "hook_output", str_sub(str_trim(out), 0, 2000));
    if (!good) {
        step_residual(i, STEP_REDEPLOY, "the redeploy hook failed: %s",
                      failed(e) ? err_detail() : "it did not exit with 0");
    }
}

/*
 * The new identity must not be given to the old instance: whoever sits in it would simply ask for it.
 * So an entry with the old selectors is never made here; the hook starts a clean instance elsewhere
 * (other uid, other pod) and registers it, or the operator does, from the patch in the report.
 */
void incident_redeploy(struct incident *i)
{
    step_begin(i, STEP_REDEPLOY);
    if (!i->is_workload) {
        step_note_str(i, STEP_REDEPLOY, "not_applicable", S("a person enrols anew at authn"));
        step_end(i, STEP_REDEPLOY, true);
        return;
    }
    struct str fresh = i->new_identity.n > 0 ? i->new_identity : next_identity(i);
    size_t slash = str_rfind_char(fresh, '/');
    step_note_str(i, STEP_REDEPLOY, "new_identity", fresh);
    step_note(i, STEP_REDEPLOY, "manifest_patch",
              json_new_string(
                  i->a, arena_printf(i->a, "spec: {template: {spec: {serviceAccountName: %.*s}}}",
                                     STR_FMT(str_sub(fresh, slash + 1, fresh.n)))));
    if (i->config->redeploy_hook.n > 0 && !i->dry_run) {
        run_hook(i, fresh);
    } else if (!i->dry_run) {
        step_residual(i, STEP_REDEPLOY,
                      "no redeploy_hook is configured: start a clean instance with another uid and "
                      "register it as %.*s",
                      STR_FMT(fresh));
    }
    step_end(i, STEP_REDEPLOY, true);
}

/* ---- 7: review ---- */

static struct err read_file(struct incident *i, const char *path, struct str *out)
{
    FILE *f = fopen(path, "re");
    ENSURE(f != NULL, ERR_NOT_FOUND, "cannot open %s", path);
    char *p = arena_alloc(i->a, OUTPUT_MAX);
    size_t n = fread(p, 1, OUTPUT_MAX, f);
    fclose(f);
    ENSURE(n < OUTPUT_MAX, ERR_LIMIT, "%s is longer than %d bytes", path, OUTPUT_MAX);
    *out = str_n(p, n);
    return OK;
}

/* spiffe://td/ns/NS/sa/SA: namespace and service account; false for other forms. */
static bool workload_parts(struct incident *i, struct str *ns, struct str *sa)
{
    struct str rest = str_sub(i->identity, str_find(i->identity, S("/ns/")) + 4, i->identity.n);
    if (str_find(i->identity, S("/ns/")) == STR_NPOS || str_find(rest, S("/sa/")) == STR_NPOS) {
        return false;
    }
    *ns = str_split(&rest, '/');
    str_split(&rest, '/');
    *sa = rest;
    return ns->n > 0 && sa->n > 0;
}

static char *sister(struct incident *i, const char *name)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    size_t slash = str_rfind_char(str_of(self), '/');
    self[slash != STR_NPOS ? slash : 0] = '\0';
    return arena_cstr(i->a, arena_printf(i->a, "%s/%s", self, name));
}

/* A pod is named after its service account, perhaps with what a deployment puts behind it. */
static bool is_pod_of(struct str pod, struct str ns, struct str sa)
{
    struct str rest = pod, in = str_split(&rest, '/');
    return str_eq(in, ns) && str_starts(rest, sa) && (rest.n == sa.n || rest.p[sa.n] == '-');
}

/* What the network policies let the pod reach: rows of netpol's simulation that start at it. */
static void review_network(struct incident *i, struct str ns, struct str sa)
{
    char *argv[] = {sister(i, "sextant-netpol"), arena_cstr(i->a, S("simulate")),
                    arena_cstr(i->a, S("--json")), arena_cstr(i->a, i->config->netpol_manifests),
                    NULL};
    int status;
    struct str out;
    struct json *v = NULL;
    struct err e = run_program(i, argv, &status, &out);
    e = failed(e) ? e : json_parse(i->a, out, NULL, &v);
    if (failed(e)) {
        step_residual(i, STEP_REVIEW, "netpol could not say what was reachable: %s", err_detail());
        return;
    }
    struct json *open = json_new_array(i->a), *closed = json_new_array(i->a);
    for (uint32_t r = 0; json_is(v, JSON_ARRAY) && r < v->n; r++) {
        struct json *row = v->items[r];
        if (is_pod_of(json_str(json_get(row, "source")), ns, sa)) {
            json_push(i->a, json_true(json_get(row, "allowed")) ? open : closed, row);
        }
    }
    step_note(i, STEP_REVIEW, "network_reachable", open);
    step_note(i, STEP_REVIEW, "network_closed", closed);
}

static bool mentions(const struct json *v, struct str text)
{
    if (json_is(v, JSON_STRING)) {
        return str_eq(v->text, text) ||
               (str_ends(v->text, S("*")) && str_starts(text, str_sub(v->text, 0, v->text.n - 1)));
    }
    bool found = false;
    for (uint32_t n = 0; json_is(v, JSON_ARRAY) && n < v->n; n++) {
        found |= mentions(v->items[n], text);
    }
    return found;
}

/* Does a rule of an AuthorizationPolicy name the principal as a source? */
static bool names_principal(const struct json *policy, struct str principal)
{
    const struct json *rules = json_path(policy, "spec.rules");
    for (uint32_t r = 0; json_is(rules, JSON_ARRAY) && r < rules->n; r++) {
        const struct json *from = json_get(rules->items[r], "from");
        for (uint32_t f = 0; json_is(from, JSON_ARRAY) && f < from->n; f++) {
            if (mentions(json_path(from->items[f], "source.principals"), principal)) {
                return true;
            }
        }
    }
    return false;
}

static void review_policy(struct incident *i, const struct json *doc, const char *file,
                          struct json *out)
{
    struct str kind = json_str(json_get(doc, "kind")),
               action = json_str(json_path(doc, "spec.action"));
    struct str principal = str_sub(i->identity, sizeof("spiffe://") - 1, i->identity.n);
    bool authorizes = str_is(kind, "AuthorizationPolicy");
    if (!authorizes && !str_is(kind, "PeerAuthentication")) {
        return;
    }
    struct json *row = json_new_object(i->a);
    json_set(
        i->a, row, S("policy"),
        json_new_string(i->a, arena_printf(i->a, "%.*s %.*s/%.*s", STR_FMT(kind),
                                           STR_FMT(json_str(json_path(doc, "metadata.namespace"))),
                                           STR_FMT(json_str(json_path(doc, "metadata.name"))))));
    json_set(i->a, row, S("file"),
             json_new_string(i->a, arena_printf(i->a, "%s:%u", file, doc->line)));
    if (authorizes) {
        json_set(i->a, row, S("action"), json_new_string(i->a, action.n > 0 ? action : S("ALLOW")));
        json_set(i->a, row, S("names_the_identity"),
                 json_new_bool(i->a, names_principal(doc, principal)));
    } else {
        json_set(i->a, row, S("mode"),
                 json_new_string(i->a, json_str(json_path(doc, "spec.mtls.mode"))));
    }
    json_push(i->a, out, row);
}

/* Which mesh policies let the identity in, and which left it out by not naming it. */
static void review_mesh(struct incident *i)
{
    char *folder = arena_cstr(i->a, i->config->mesh_policies);
    struct json *out = json_new_array(i->a);
    DIR *d = opendir(folder);
    if (d == NULL) {
        step_residual(i, STEP_REVIEW, "the mesh policies in %s could not be read", folder);
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct json *docs;
        struct str name = str_of(e->d_name), text;
        char *path = arena_cstr(i->a, arena_printf(i->a, "%s/%s", folder, e->d_name));
        if (!str_ends(name, S(".yaml")) && !str_ends(name, S(".yml")) &&
            !str_ends(name, S(".json"))) {
            continue;
        }
        if (failed(read_file(i, path, &text)) ||
            failed(yaml_parse(i->a, text, name, NULL, &docs))) {
            step_residual(i, STEP_REVIEW, "%s: %s", path, err_detail());
            continue;
        }
        for (uint32_t n = 0; n < docs->n; n++) {
            review_policy(i, docs->items[n], e->d_name, out);
        }
    }
    closedir(d);
    step_note(i, STEP_REVIEW, "mesh_policies", out);
}

/* What it was refused, and whom it reached, as the log has it. */
static void review_observed(struct incident *i)
{
    const struct json *requests = json_get(i->actions, "requests");
    struct json *denied = json_new_array(i->a);
    for (uint32_t r = 0; json_is(requests, JSON_ARRAY) && r < requests->n && denied->n < OTHERS_MAX;
         r++) {
        const struct json *row = requests->items[r];
        if (str_is(json_str(json_get(row, "outcome")), "denied") && is_action(i, row)) {
            struct json *o = json_new_object(i->a);
            static const char *const keep[] = {"time",     "resources", "rules",
                                               "policies", "actions",   "trace_id"};
            for (size_t k = 0; k < ARRAY_LEN(keep); k++) {
                const struct json *m = json_get(row, keep[k]);
                if (m != NULL) {
                    json_set(i->a, o, str_of(keep[k]), json_copy(i->a, m));
                }
            }
            json_push(i->a, denied, o);
        }
    }
    step_note(i, STEP_REVIEW, "refused", denied);
    step_note(i, STEP_REVIEW, "reached", used(i, "resources"));
}

void incident_review(struct incident *i)
{
    struct str ns, sa;
    step_begin(i, STEP_REVIEW);
    if (i->is_workload && i->config->netpol_manifests.n > 0 && workload_parts(i, &ns, &sa)) {
        review_network(i, ns, sa);
    }
    if (i->is_workload && i->config->mesh_policies.n > 0) {
        review_mesh(i);
    }
    review_observed(i);
    step_end(i, STEP_REVIEW, true);
}
