/*
 * calls: several HTTP requests to other daemons at once, for a command.
 *
 * Every call names what it is for; its answer, or why there is none, stays in it. All go out together on one
 * loop and calls_run returns when the last has been answered, so a runbook of thirty calls costs
 * what its slowest costs.
 */
#ifndef SEXTANT_RESPOND_CALLS_H
#define SEXTANT_RESPOND_CALLS_H

#include "lib/base/arena.h"
#include "lib/base/trace.h"
#include "lib/http/client.h"
#include "lib/json/json.h"

enum { CALLS_MAX = 4096, CALL_TIMEOUT_MS = 10000, CALL_BODY_MAX = 64 << 20 };

struct call {
    const char *method;
    struct str url;
    struct str body;  /* JSON, or empty */
    struct str token; /* of secrets; empty: none */
    /* the answer */
    bool answered; /* false: `problem` says why */
    int status;
    struct str text;   /* body */
    struct json *json; /* of the body; NULL when it is not JSON */
    struct str problem;
    int64_t ms;
};

struct calls {
    struct arena *a;
    struct trace trace; /* of the incident: every event of every daemon carries it */
    struct tls_client *tls;
};

void calls_run(struct calls *c, struct call *list, size_t n);

/* True for a 2xx answer. */
bool call_good(const struct call *c);
/* "403: permission denied", "cannot connect ...": for reports. */
struct str call_outcome(struct arena *a, const struct call *c);

#endif
