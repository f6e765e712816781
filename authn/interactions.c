#include "interactions.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"

#include "clients.h"
#include "limits.h"

#include <stdlib.h>

void interactions_init(struct interactions *t)
{
    *t = (struct interactions){0};
    map_init(&t->by_id);
}

void interactions_release(struct interactions *t)
{
    while (t->oldest != NULL) {
        interaction_free(t, t->oldest);
    }
    map_release(&t->by_id);
}

static void new_csrf(struct interaction *i)
{
    struct arena scratch;
    arena_init(&scratch, 4096);
    struct str value = one_time_value(&scratch);
    memcpy(i->csrf_text, value.p, ONE_TIME_TEXT);
    i->csrf = str_n(i->csrf_text, ONE_TIME_TEXT);
    arena_release(&scratch);
}

static void copy_request(struct interaction *i, const struct auth_request *r)
{
    struct arena *a = &i->arena;
    i->request = *r;
    i->request.client = client_ref(r->client);
    struct str *texts[] = {&i->request.redirect_uri, &i->request.state,    &i->request.nonce,
                           &i->request.challenge,    &i->request.audience, &i->request.login_hint,
                           &i->request.hint_sub};
    for (size_t j = 0; j < ARRAY_LEN(texts); j++) {
        *texts[j] = arena_str(a, *texts[j]);
    }
}

struct interaction *interaction_new(struct interactions *t, const struct auth_request *request,
                                    struct str browser_cookie, int64_t mono_ns)
{
    if (map_len(&t->by_id) >= INTERACTIONS_MAX) {
        interaction_free(t, t->oldest);
    }
    struct interaction *i = calloc(1, sizeof(*i));
    BUG_ON(i == NULL);
    arena_init(&i->arena, OP_ARENA);
    i->id = random_id(&i->arena, 22, ALPHABET_BASE62);
    sha256(browser_cookie, i->browser);
    copy_request(i, request);
    new_csrf(i);
    i->expires_ns = mono_ns + INTERACTION_S * NS_PER_S;
    i->older = t->newest;
    if (t->newest != NULL) {
        t->newest->newer = i;
    } else {
        t->oldest = i;
    }
    t->newest = i;
    map_set(&t->by_id, i->id, i);
    return i;
}

void interaction_free(struct interactions *t, struct interaction *i)
{
    map_del(&t->by_id, i->id);
    *(i->older != NULL ? &i->older->newer : &t->oldest) = i->newer;
    *(i->newer != NULL ? &i->newer->older : &t->newest) = i->older;
    client_unref(i->request.client);
    arena_release(&i->arena);
    free(i);
}

struct interaction *interaction_find(struct interactions *t, struct str id,
                                     struct str browser_cookie, int64_t mono_ns)
{
    uint8_t browser[SHA256_BYTES];
    while (t->oldest != NULL && t->oldest->expires_ns < mono_ns) {
        interaction_free(t, t->oldest);
    }
    struct interaction *i = map_get(&t->by_id, id);
    if (i == NULL || browser_cookie.n == 0 || i->expires_ns < mono_ns) {
        return NULL;
    }
    sha256(browser_cookie, browser);
    return str_eq_secret(str_n(browser, sizeof(browser)), str_n(i->browser, sizeof(i->browser)))
               ? i
               : NULL;
}

bool interaction_spend_csrf(struct interaction *i, struct str csrf)
{
    bool same = str_eq_secret(csrf, i->csrf);
    new_csrf(i);
    return same;
}
