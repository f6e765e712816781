/*
 * answer: a decision on its way out. It is written in full before its audit event leaves, since policies and data may
 * change while that is on its way. Answers are kept between uses with the memory they have.
 */
#ifndef SEXTANT_AUTHZ_ANSWER_H
#define SEXTANT_AUTHZ_ANSWER_H

#include "server.h"

struct answer {
    struct http_req *req; /* NULL when the client has gone */
    struct authz *z;
    struct decision d;
    struct params p;
    struct timers t;
    struct arena memory;      /* of the evaluation */
    struct buf body;          /* the reply */
    struct rego_why *why;     /* with ?why; in `memory` */
    struct rego_trace *trace; /* with ?explain; in `memory` */
    int status;
    bool v0, warn, busy_failed;
    unsigned waiting; /* events of a batch that are not acknowledged */
    struct answer *next;
};

struct answer *answer_new(struct authz *z, struct http_req *req);
void answer_free(struct answer *x);
void answers_release(struct authz *z);
/* Records the decision; then sends what stands in the answer, and frees it. */
void answer_send(struct answer *x);
/* An error in place of the body. */
void answer_error(struct answer *x, int status, const char *code, struct str message,
                  const struct rego_errors *errors);
void answer_eval_error(struct answer *x);
/* {"decision_id":…,"result":…} with whatever was asked for, of a decision that did not fail. */
void answer_result(struct answer *x);

/* The document that a path names, resolved and kept for the next request. */
struct target {
    struct str raw;
    struct val *path;
    size_t n;
};
/* NULL: the path is refused, *bad is its segment. */
const struct target *target_find(struct authz *z, struct arena *a, struct str raw, struct str *bad);

#endif
