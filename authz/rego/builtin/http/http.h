/* http: the parts of http.send: its operand, its answer as a value, and the cache between queries. */
#ifndef SEXTANT_REGO_HTTP_H
#define SEXTANT_REGO_HTTP_H

#include "authz/rego/builtin/builtin.h"
#include "authz/rego/outside.h"

/* Why a call failed, and how it is told: as an error of the query, or inside the result. */
struct send_error {
    enum { SEND_PLAIN, SEND_OPERAND, SEND_NETWORK, SEND_BARE } kind; /* bare: told without place */
    struct str text;
    struct str short_text; /* of a timeout, when it is an error of the query */
};

struct send_options {
    bool raise_error, force_json, force_yaml;
    bool between;           /* `cache` or `force_cache`: also between queries */
    bool bad_mode;          /* `caching_mode` is none: nothing is kept between them */
    int32_t force_duration; /* seconds; 0: as the answer's headers say */
};

/* The operand without what does not tell requests apart: the key of the caches. False: *e is why. */
bool send_key(struct arena *a, struct val operand, struct val *key, struct send_error *e);
bool send_check_keys(struct arena *a, struct val operand, struct send_error *e);
bool send_read_options(struct arena *a, struct val operand, struct send_options *o,
                       struct send_error *e);
bool send_read_request(struct arena *a, const struct outside *outside, struct val operand,
                       struct outside_request *r, struct send_error *e);
/* A plain error, and a bare one; always false. */
bool send_refused_bare(struct arena *a, struct send_error *e, struct str text);
bool send_refused(struct arena *a, struct send_error *e, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* { status, status_code, body, raw_body, headers } */
struct val send_answer_value(struct arena *a, const struct send_options *o,
                             const struct outside_answer *w);
struct str send_header(const struct outside_answer *w, const char *lower_name);
bool send_status_cacheable(int status);

/* ---- between queries ---- */
struct send_cached {
    struct outside_answer answer;
    int64_t expires_ns; /* wall time */
};
bool send_cache_get(struct outside_cache *c, struct arena *a, struct val key,
                    struct send_cached *out);
void send_cache_put(struct outside_cache *c, struct val key, const struct outside_answer *w,
                    int64_t expires_ns, int64_t now_ns);
void send_cache_drop(struct outside_cache *c, struct val key);
/* When an answer becomes stale by its own headers. False: never to be kept, or its headers are broken. */
bool send_expiry(const struct outside_answer *w, int64_t *expires_ns);
bool send_may_store(const struct outside_answer *w);

#endif
