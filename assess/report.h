/* report: what assess found, as text, JSON and SARIF 2.1.0; the compliance map; the pattern that fits. */
#ifndef SEXTANT_ASSESS_REPORT_H
#define SEXTANT_ASSESS_REPORT_H

#include "assess.h"

#include "lib/base/buf.h"

/* --- compliance map (controls.c) --- */

enum { FRAMEWORK_MAX = 7, FUNCTION_MAX = 6, FUNCTION_GATES_MAX = 4 };

struct control_map {
    const char *function;
    const char *controls[FRAMEWORK_MAX];
    enum gate_id gates[FUNCTION_GATES_MAX]; /* what of it can be seen in a code base */
    size_t n_gates;
};

extern const char *const framework_ids[FRAMEWORK_MAX];
extern const char *const framework_titles[FRAMEWORK_MAX];
extern const struct control_map control_maps[FUNCTION_MAX];

/* --- which reference pattern suits (pattern.c) --- */

struct answers {
    bool given;
    uint64_t teams, clouds, services; /* 0: not answered */
    struct str compliance[16];
    size_t n_compliance;
};

enum { REASONS_MAX = 12 };

struct pattern {
    bool enterprise;
    int points;
    struct str reasons[REASONS_MAX];
    size_t n_reasons;
    struct str advice;
};

/* ERR_NOT_FOUND, ERR_INVALID with file and line. */
struct err answers_read(struct arena *a, const char *file, struct answers *out);
struct err answers_add_compliance(struct answers *out, struct str comma_list);
struct pattern pattern_for(struct arena *a, const struct answers *in);

/* --- writers --- */

struct report_opts {
    const struct answers *answers;
    int framework; /* index, or -1: all in JSON, none in text */
    bool colour;
};

void report_text(struct buf *out, struct assess *a, const struct report_opts *o);
void report_json(struct buf *out, struct assess *a, const struct report_opts *o);
void report_sarif(struct buf *out, const struct assess *a);

#endif
