/*
 * outing: a request whose policies ask the world. The server has one thread and must not wait, so:
 *
 * The first evaluation stops where an answer is missing. Its handler lets go of all it made, without a reply; the
 * errand runs on the loop while other requests are served; when the answer is there, the request is handled again from
 * its beginning. Answers are remembered in the order of their questions, and so is what else differs from run to run
 * (time, random numbers), so each run gets one question further. No thread, no process and no nested loop is needed,
 * an aborted request cancels its errand, and the budget of steps and time holds for all runs together.
 * Policies that call neither http.send nor net.lookup_ip_addr never come here.
 *
 *     outing_begin(z, o, loop, again, ctx);            o: NULL, or what again() was given
 *     … handler: decide(); if (d.eval.waiting) { outing_wait(z); let go; return; } …
 *     o = outing_end(z);                               not NULL: again(ctx, o) will be called
 */
#ifndef SEXTANT_AUTHZ_OUTING_H
#define SEXTANT_AUTHZ_OUTING_H

#include "authz/authz.h"
#include "lib/loop/loop.h"

enum { OUTING_ASKS_MAX = 100, OUTING_MEMORY = 64 << 20 };

struct outing;

void outing_begin(struct authz *z, struct outing *o, struct loop *l,
                  void (*again)(void *ctx, struct outing *o), void *ctx);
void outing_wait(struct authz *z);
/* The evaluations of this request so far count as not made: the next one is its first again. */
void outing_rewind(struct authz *z);
struct outing *outing_end(struct authz *z);
void outing_cancel(struct outing *o); /* the client has gone; NULL is fine */

struct authz *outing_server(const struct outing *o);

/* Completes the options of an evaluation that may ask; what it took is to be told afterwards. */
void outing_fill(struct authz *z, bool asks, struct rego_eval_options *o);
void outing_spent(struct authz *z, const struct rego_result *r, int64_t ns);

void outings_release(struct authz *z); /* what is shared by all */

#endif
