/* deps: audit_core json tls base */
/*
 * Intake: any line is refused or becomes a canonical event whose own fingerprint holds; its fields, syslog form and
 * the detections take whatever is in it.
 */
#include "audit/detect/detect.h"
#include "audit/event/syslog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_finding(void *ctx, const struct finding *f)
{
    BUG_ON(f->n_events == 0);
}

static void check_logged(struct arena *a, struct str logged, const struct event *e)
{
    struct json *v;
    struct buf canonical, line;
    struct event again;
    BUG_ON(logged.n > UINT16_MAX || failed(json_parse(a, logged, NULL, &v)));
    buf_init(&canonical, 1 << 20);
    json_write_canonical(&canonical, v);
    BUG_ON(!str_eq(buf_str(&canonical), logged));
    BUG_ON(failed(event_check_fingerprint(a, logged)) || failed(event_check(v)));
    event_read(v, &again);
    BUG_ON(again.time_ms != e->time_ms || again.class_uid != e->class_uid);
    buf_clear(&canonical);
    buf_init(&line, 1 << 20);
    syslog_put(&line, 13, S("host"), 7, e, logged);
    buf_release(&line);
    buf_release(&canonical);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct expectations nothing = {NULL, 0};
    static struct detector *d;
    static struct secret key;
    static uint64_t index;
    if (d == NULL) {
        d = detector_new(&nothing, on_finding, NULL);
        BUG_ON(failed(secret_random(&key, 32)));
    }
    struct event_context c = {
        .origin = S("example.com/audit"), .sequence = 7, .now_ms = 1790000000000, .hmac_key = &key};
    struct arena a;
    struct buf out;
    struct event e;
    arena_init(&a, EVENT_ARENA);
    buf_init(&out, 1 << 17);
    if (!failed(event_accept(&a, str_n(data, size), &c, &out, &e))) {
        check_logged(&a, buf_str(&out), &e);
        detector_feed(d, index++, &e, c.now_ms);
    } else {
        BUG_ON(out.n != 0);
    }
    buf_release(&out);
    arena_release(&a);
    return 0;
}
