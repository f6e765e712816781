/*
 * interactions: logins under way, between the authorization request and the code.
 *
 * An interaction belongs to the browser that began it (a cookie), remembers the checked request, and
 * carries one anti-forgery value that is spent by each form. They are in memory, bounded, and
 * short-lived: a login that was under way when the daemon restarts is begun again.
 */
#ifndef SEXTANT_AUTHN_INTERACTIONS_H
#define SEXTANT_AUTHN_INTERACTIONS_H

#include "lib/base/arena.h"
#include "lib/base/map.h"

#include "rules.h"

struct client;

enum response_mode { MODE_QUERY, MODE_FORM_POST };

/* A checked authorization request. */
struct auth_request {
    struct client *client; /* counted */
    struct str redirect_uri, state, nonce, challenge, audience, login_hint;
    unsigned scopes;
    enum response_mode mode;
    bool prompt_none, prompt_login, prompt_consent;
    int64_t max_age;     /* seconds; -1: not asked */
    struct str hint_sub; /* subject that an id_token_hint names; empty */
};

enum stage { STAGE_LOGIN, STAGE_CONSENT };

struct interaction {
    struct arena arena;
    struct str id;
    uint8_t browser[SHA256_BYTES]; /* digest of the cookie */
    struct str csrf;
    char csrf_text[ONE_TIME_TEXT];
    enum stage stage;
    struct auth_request request;
    struct str sub, session, user_name; /* once logged in */
    int64_t auth_time, expires_ns;
    struct interaction *older, *newer;
};

struct interactions {
    struct map by_id;
    struct interaction *oldest, *newest;
};

void interactions_init(struct interactions *t);
void interactions_release(struct interactions *t);

/* Copies the request (and counts its client). The oldest gives way when there are too many. */
struct interaction *interaction_new(struct interactions *t, const struct auth_request *request,
                                    struct str browser_cookie, int64_t mono_ns);
/* Of this browser and not expired; NULL otherwise. */
struct interaction *interaction_find(struct interactions *t, struct str id,
                                     struct str browser_cookie, int64_t mono_ns);
/* Is `csrf` its value? It is replaced whatever the answer. */
bool interaction_spend_csrf(struct interaction *i, struct str csrf);
void interaction_free(struct interactions *t, struct interaction *i);

#endif
