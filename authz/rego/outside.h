/*
 * outside: what policies may ask of the world beyond their process: HTTP requests (http.send) and the
 * addresses of names (net.lookup_ip_addr).
 *
 * The engine never waits. It asks its embedder, who either has the answer at once (a command, which may block) or
 * says that it is not there yet. Then the evaluation stops with `waiting`, and the embedder runs it
 * again from its start when the answer is there. What must not change from run to run (the time,
 * random numbers, answers) is kept in a rego_memory, so the second run takes the same way as the first.
 *
 *     struct rego_memory *m = rego_memory_new(16 << 20);
 *     o.outside = &mine; o.memory = m;
 *     rego_eval(q, &o, arena, &r);
 *     if (r.waiting) … wait for the answer to what mine.send was asked for, and evaluate again …
 *     rego_memory_free(m);
 */
#ifndef SEXTANT_REGO_OUTSIDE_H
#define SEXTANT_REGO_OUTSIDE_H

#include "authz/rego/value/value.h"

struct outside_header {
    struct str name, value; /* names in lower case */
};

struct outside_tls {
    bool given; /* anything of the following */
    bool system_certs, insecure;
    struct str ca_pem, cert_pem, key_pem, server_name;
};

/* One request, checked. Slices live until the evaluation ends: copy what is kept. */
struct outside_request {
    struct str method, url; /* http://, https:// or unix:/socket:/path */
    const struct outside_header *headers;
    size_t n_headers;
    struct str body;
    bool has_body;
    int64_t timeout_ns; /* 0: none of its own */
    bool redirect;      /* follow redirections */
    unsigned retries;   /* after failures of the network */
    struct outside_tls tls;
};

struct outside_answer {
    struct str error; /* of the network; empty: there is an answer */
    bool timed_out;
    int status;
    struct str reason; /* "OK" */
    const struct outside_header *headers;
    size_t n_headers;
    struct str body;
};

struct outside_addresses {
    struct str error; /* "no such host"; empty: found */
    const struct str *texts;
    size_t n;
};

/* Copies of all of it. */
void outside_answer_copy(struct arena *a, const struct outside_answer *from,
                         struct outside_answer *to);
void outside_addresses_copy(struct arena *a, const struct outside_addresses *from,
                            struct outside_addresses *to);

struct outside_cache;

/* How the embedder answers. False: not yet. Results go into `a`. */
struct outside {
    bool (*send)(void *ctx, const struct outside_request *r, struct arena *a,
                 struct outside_answer *out);
    bool (*resolve)(void *ctx, struct str host, struct arena *a, struct outside_addresses *out);
    void *ctx;
    /* Hosts that may be asked and looked up; anything goes when not `limited`. */
    bool limited;
    const struct str *allow_net;
    size_t n_allow_net;
    struct outside_cache *cache; /* of answers, between queries; NULL: none */
};

/* May this host be asked? */
bool outside_allows(const struct outside *o, struct str host);

/* What one query remembers from run to run. At most `budget` bytes; what does not fit is forgotten. */
struct rego_memory;
struct rego_memory *rego_memory_new(size_t budget);
void rego_memory_free(struct rego_memory *m); /* NULL is fine */

/*
 * Answers kept between queries (`cache`, `force_cache`). Entries go when they are stale or, the oldest
 * first, when `max` bytes are not enough.
 */
enum { OUTSIDE_CACHE_MAX = 64 << 20, OUTSIDE_CACHE_ENTRIES = 20000 };
struct outside_cache *outside_cache_new(size_t max);
void outside_cache_free(struct outside_cache *c); /* NULL is fine */
size_t outside_cache_entries(const struct outside_cache *c);

#endif
