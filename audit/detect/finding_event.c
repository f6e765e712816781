/* A finding of the detections as an event of the log: OCSF 1.8 Detection Finding. */
#include "audit/detect/detect.h"

#include <inttypes.h>
#include <stdio.h>

static void put_related(struct jw *w, const struct finding *f)
{
    jw_key(w, S("related_events"));
    jw_arr(w);
    for (size_t i = 0; i < f->n_events; i++) {
        char uid[32];
        snprintf(uid, sizeof(uid), "%" PRIu64, f->events[i]);
        jw_obj(w);
        jw_key_str(w, S("uid"), str_of(uid));
        jw_end(w);
    }
    jw_end(w);
}

static void put_finding_info(struct jw *w, const struct finding *f)
{
    jw_key(w, S("finding_info"));
    jw_obj(w);
    jw_key_str(w, S("uid"), str_of(f->uid));
    jw_key_str(w, S("title"), f->title);
    jw_key(w, S("analytic"));
    jw_obj(w);
    jw_key_str(w, S("uid"), str_of(f->rule));
    jw_key_str(w, S("name"), str_of(f->rule));
    jw_key_int(w, S("type_id"), strcmp(f->rule, "secret-read-spike") == 0 ? 3 : 1);
    jw_end(w);
    put_related(w, f);
    jw_end(w);
}

static void put_own(struct jw *w, const struct finding *f)
{
    jw_key(w, S("unmapped"));
    jw_obj(w);
    jw_key(w, S("sextant"));
    jw_obj(w);
    jw_key_str(w, S("daemon"), S("audit"));
    jw_key_str(w, S("activity"), S("detection"));
    if (!str_is(f->identity, "unknown")) {
        jw_key_str(w, S("actor_spiffe_id"), f->identity);
    }
    jw_key_str(w, S("resource_uid"), f->subject);
    jw_key_str(w, S("title"), f->title);
    jw_key_str(w, S("reason"), str_of(f->rule));
    if (f->region.n > 0) {
        jw_key_str(w, S("region"), f->region);
    }
    if (f->trace.n > 0) {
        jw_key_str(w, S("trace_id"), f->trace);
    }
    jw_end(w);
    jw_end(w);
}

void finding_write(struct buf *out, const struct finding *f)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key_int(&w, S("class_uid"), 2004);
    jw_key_int(&w, S("category_uid"), 2);
    jw_key_int(&w, S("activity_id"), 1);
    jw_key_int(&w, S("type_uid"), 200401);
    jw_key_int(&w, S("severity_id"), f->severity);
    jw_key_int(&w, S("status_id"), 1);
    jw_key_int(&w, S("time"), f->time_ms);
    jw_key_str(&w, S("message"), f->title);
    jw_key(&w, S("metadata"));
    jw_obj(&w);
    jw_key_str(&w, S("version"), S("1.8.0"));
    jw_key_str(&w, S("uid"), str_of(f->uid));
    jw_key(&w, S("product"));
    jw_obj(&w);
    jw_key_str(&w, S("name"), S("sextant-audit"));
    jw_key_str(&w, S("vendor_name"), S("Sextant"));
    jw_end(&w);
    jw_end(&w);
    put_finding_info(&w, f);
    put_own(&w, f);
    jw_end(&w);
}
