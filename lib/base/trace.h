/*
 * trace: W3C trace context, the thread that joins all events of one request.
 *
 * A daemon takes the context of the caller from its `traceparent` header, or starts a new one, and
 * hands a child of it (same trace, new span) to every call it makes. Plain values; nothing is owned.
 *
 *     struct trace t;
 *     if (failed(trace_parse(header, &t))) {
 *         t = trace_new();
 *     }
 *     struct trace child = trace_child(&t);
 *     trace_put(&head, &child);      00-<32 hex>-<16 hex>-01
 *
 * https://www.w3.org/TR/trace-context/ sections 3.2 and 4.3.
 */
#ifndef SEXTANT_TRACE_H
#define SEXTANT_TRACE_H

#include "buf.h"

enum { TRACE_TEXT = 55, TRACE_ID_TEXT = 32 };

struct trace {
    uint8_t trace_id[16]; /* all zero: no trace */
    uint8_t span_id[8];
    uint8_t flags; /* bit 0: sampled */
};

/* ERR_SYNTAX for anything but a valid traceparent (version ff and all-zero ids are invalid). */
struct err trace_parse(struct str traceparent, struct trace *out);
struct trace trace_new(void);                           /* random ids, sampled */
struct trace trace_child(const struct trace *parent);   /* same trace, new span */
void trace_put(struct buf *out, const struct trace *t); /* version 00, TRACE_TEXT bytes */
void trace_id_put(struct buf *out,
                  const struct trace *t); /* only the trace id, TRACE_ID_TEXT bytes */
bool trace_is_set(const struct trace *t);

#endif
