/*
 * expiry: things that end at a time of the wall clock, in one binary heap with one timer.
 *
 * A node is embedded in what ends. Setting a node that is set moves it. `fire` runs on the loop, after
 * the node has left the heap; it may set the node again.
 */
#ifndef SEXTANT_SECRETS_EXPIRY_H
#define SEXTANT_SECRETS_EXPIRY_H

#include "lib/base/err.h"

struct expiry_heap;
struct loop;

struct expiry_node {
    int64_t at_ns;
    size_t slot; /* place in the heap plus one; 0: not in it */
    void (*fire)(struct expiry_node *n, void *ctx);
};

enum { EXPIRY_BURST = 1024 /* nodes fired in one turn of the loop */ };

/* `loop` may be NULL: then nothing fires but by expiry_run. ctx goes to every fire. */
struct expiry_heap *expiry_new(struct loop *loop, void *ctx);
void expiry_free(struct expiry_heap *h); /* nodes are forgotten; NULL ok */
void expiry_set(struct expiry_heap *h, struct expiry_node *n, int64_t at_ns);
void expiry_clear(struct expiry_heap *h, struct expiry_node *n); /* harmless when not set */
void expiry_run(struct expiry_heap *h,
                int64_t now_ns); /* fires what is due, at most EXPIRY_BURST */
size_t expiry_len(const struct expiry_heap *h);

#endif
