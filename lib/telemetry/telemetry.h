/*
 * telemetry: metrics in Prometheus' text format. The audit client is in audit.h; trace context, which
 * lib/http needs too, is lib/base/trace.h.
 *
 * A metric is a static object, registered on first use, updated by plain arithmetic (one thread):
 *
 *     static struct metric signs = METRIC_COUNTER("sextant_crypto_operations_total",
 *                                                 "Operations done.", "op", "sign");
 *     metric_add(&signs, 1);
 *     metrics_write(&body);
 */
#ifndef SEXTANT_TELEMETRY_H
#define SEXTANT_TELEMETRY_H

#include "lib/base/buf.h"
#include "lib/base/trace.h"

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };

enum { METRIC_BUCKETS = 12 };

struct metric {
    const char *name, *help;         /* metrics of one name are written together */
    const char *label, *label_value; /* one optional label, known when compiled */
    enum metric_kind kind;
    bool registered;
    uint64_t count; /* counter's value; histogram's observations */
    int64_t value;  /* gauge's value; histogram's sum in nanoseconds */
    uint64_t bucket[METRIC_BUCKETS];
    struct metric *next;
};

#define METRIC_COUNTER(n, h, l, v)                                                                 \
    {                                                                                              \
        .name = (n), .help = (h), .label = (l), .label_value = (v), .kind = METRIC_KIND_COUNTER    \
    }
#define METRIC_GAUGE(n, h, l, v)                                                                   \
    {                                                                                              \
        .name = (n), .help = (h), .label = (l), .label_value = (v), .kind = METRIC_KIND_GAUGE      \
    }
#define METRIC_HISTOGRAM(n, h, l, v)                                                               \
    {                                                                                              \
        .name = (n), .help = (h), .label = (l), .label_value = (v), .kind = METRIC_KIND_HISTOGRAM  \
    }

void metrics_init(void); /* before the sandbox: opens what process_* is read from */

void metric_register(struct metric *m);            /* so that it shows before its first use */
void metric_add(struct metric *m, uint64_t n);     /* counters */
void metric_set(struct metric *m, int64_t v);      /* gauges */
void metric_observe(struct metric *m, int64_t ns); /* histograms: a duration in nanoseconds */

/* Everything registered, and process_* (memory, descriptors, CPU, start time). */
void metrics_write(struct buf *out);

#endif
