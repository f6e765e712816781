/* Reading an authorization request: no input or output, so that it can be fuzzed. */
#include "authorize.h"

static void problem_set(struct auth_problem *p, const char *code, struct str description)
{
    p->code = code;
    p->description = description;
}

static bool read_target(const struct clients *clients, const struct params *p,
                        struct auth_request *out, struct auth_problem *problem)
{
    struct str id = params_get(p, "client_id"), uri = params_get(p, "redirect_uri");
    out->client = id.n > 0 ? clients_find(clients, id) : NULL;
    if (out->client == NULL) {
        problem_set(problem, "invalid_request",
                    id.n > 0 ? S("This application is not registered here (unknown client_id).")
                             : S("The request names no client_id."));
        return false;
    }
    if (uri.n == 0 || !client_has_redirect(out->client, uri)) {
        problem_set(problem, "invalid_request",
                    uri.n > 0
                        ? S("The redirect_uri is not one that this application has registered.")
                        : S("The request names no redirect_uri."));
        return false;
    }
    out->redirect_uri = uri;
    return true;
}

static bool read_prompt(const struct params *p, struct auth_request *out)
{
    struct str prompt = params_get(p, "prompt");
    for (struct str rest = prompt; rest.p != NULL && prompt.n > 0;) {
        struct str word = str_split(&rest, ' ');
        if (str_is(word, "none")) {
            out->prompt_none = true;
        } else if (str_is(word, "login") || str_is(word, "select_account")) {
            out->prompt_login = true;
        } else if (str_is(word, "consent")) {
            out->prompt_consent = true;
        } else {
            return false;
        }
    }
    return !out->prompt_none || str_is(prompt, "none");
}

static bool read_max_age(const struct params *p, struct auth_request *out)
{
    struct str text = params_get(p, "max_age");
    uint64_t v;
    out->max_age = -1;
    if (text.n == 0) {
        return true;
    }
    if (failed(str_to_u64(text, &v)) || v > INT32_MAX) {
        return false;
    }
    out->max_age = (int64_t)v;
    return true;
}

/* RFC 8707: at most one resource, and one the client is registered for. */
static bool read_audience(struct str issuer, const struct params *p, struct auth_request *out)
{
    struct str wanted = params_get(p, "resource");
    const struct str_list *known = &out->client->audiences;
    if (params_nth(p, "resource", 1).n > 0) {
        return false;
    }
    if (wanted.n == 0) {
        out->audience = known->n > 0 ? known->items[0] : issuer;
        return true;
    }
    out->audience = wanted;
    return str_list_has(known, wanted) || str_eq(wanted, issuer);
}

static const char *read_rest(struct str issuer, const struct params *p, struct auth_request *out,
                             struct str *why)
{
    *why = S("request objects are not supported");
    if (params_get(p, "request").n > 0) {
        return "request_not_supported";
    }
    if (params_get(p, "request_uri").n > 0) {
        return "request_uri_not_supported";
    }
    *why = S("response_type must be code");
    if (!str_is(params_get(p, "response_type"), "code")) {
        return params_get(p, "response_type").n > 0 ? "unsupported_response_type"
                                                    : "invalid_request";
    }
    *why = S("the client is not registered for authorization_code");
    if ((out->client->grants & GRANT_CODE) == 0) {
        return "unauthorized_client";
    }
    *why = S("PKCE is required: code_challenge with code_challenge_method=S256");
    out->challenge = params_get(p, "code_challenge");
    if (!str_is(params_get(p, "code_challenge_method"), "S256") ||
        !pkce_challenge_ok(out->challenge)) {
        return "invalid_request";
    }
    *why = S("prompt holds an unknown value, or none beside another");
    if (!read_prompt(p, out)) {
        return "invalid_request";
    }
    *why = S("max_age is not a number of seconds");
    if (!read_max_age(p, out)) {
        return "invalid_request";
    }
    *why = S("the client may not ask for this resource");
    return read_audience(issuer, p, out) ? NULL : "invalid_target";
}

static const char *read_scope(struct arena *a, const struct params *p, struct auth_request *out,
                              struct str *why)
{
    struct str text = params_get(p, "scope");
    if (failed(scope_parse(text, &out->scopes))) {
        *why = arena_str(a, str_of(err_detail()));
        return "invalid_scope";
    }
    *why = S("the client is not registered for one of these scopes");
    return (out->scopes & ~out->client->scopes) != 0 ? "invalid_scope" : NULL;
}

void auth_request_read(struct arena *a, const struct clients *clients, struct str issuer,
                       const struct params *p, struct auth_request *out,
                       struct auth_problem *problem)
{
    struct str why = STR_EMPTY;
    *out = (struct auth_request){.max_age = -1};
    *problem = (struct auth_problem){0};
    if (!read_target(clients, p, out, problem)) {
        return;
    }
    problem->by_redirect = true;
    out->state = params_get(p, "state");
    out->nonce = params_get(p, "nonce");
    out->login_hint = params_get(p, "login_hint");
    struct str mode = params_get(p, "response_mode");
    out->mode = str_is(mode, "form_post") ? MODE_FORM_POST : MODE_QUERY;
    if (mode.n > 0 && !str_is(mode, "form_post") && !str_is(mode, "query")) {
        problem_set(problem, "invalid_request", S("response_mode must be query or form_post"));
        return;
    }
    const char *code = read_rest(issuer, p, out, &why);
    code = code != NULL ? code : read_scope(a, p, out, &why);
    if (code != NULL) {
        problem_set(problem, code, why);
    }
}
