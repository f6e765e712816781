/* deps: audit_core telemetry base */
/*
 * What an event costs the log, part by part, and how many are durable a second: in this process, without the network.
 * The disk's own rate of syncs stands beside it, for that is what group commit divides.
 */
#include "audit/daemon/service.h"
#include "audit/tlog/tlog_read.h"
#include "audit/tlog/verify.h"
#include "bench.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/telemetry/audit.h"
#include "lib/tls/digest.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { EVENTS = 100000, BATCH = 500, SYNCS = 200 };

static struct buf *batches;
static struct str one_line;
static char dir[128];

static void wake(void *ctx)
{
}

static void told(void *ctx, struct err e)
{
    BUG_ON(failed(e));
}

static void make_events(void)
{
    batches = calloc(EVENTS / BATCH, sizeof(*batches));
    BUG_ON(batches == NULL);
    for (unsigned i = 0; i < EVENTS; i++) {
        struct buf *b = &batches[i / BATCH];
        char path[64], accessor[32], who[64];
        if (i % BATCH == 0) {
            buf_init(b, 4 << 20);
        }
        snprintf(path, sizeof(path), "kv/data/team-%u/secret-%u", i % 40, i % 15);
        snprintf(accessor, sizeof(accessor), "accessor-%u", i % 5000);
        snprintf(who, sizeof(who), "spiffe://cluster.local/ns/prod/sa/service-%u", i % 300);
        struct audit_event e = {.class_uid = OCSF_API_ACTIVITY,
                                .activity_id = 2,
                                .activity = "read",
                                .outcome = i % 50 == 0 ? "denied" : "allowed",
                                .actor_spiffe_id = str_of(who),
                                .token_accessor = str_of(accessor),
                                .secret_path = str_of(path),
                                .policy_path = S("team"),
                                .source_addr = S("10.0.0.1:4242"),
                                .trace = trace_new()};
        audit_event_write(b, &e, "secrets");
    }
    struct str rest = buf_str(&batches[0]);
    one_line = str_split(&rest, '\n');
}

static void accept(void *ctx, unsigned n)
{
    struct event_context c = {
        .origin = S("bench/audit"), .producer = S("secrets"), .hmac_key = ctx};
    struct arena a;
    struct buf out;
    struct event e;
    arena_init(&a, EVENT_ARENA);
    buf_init(&out, 1 << 17);
    for (unsigned i = 0; i < n; i++) {
        arena_reset(&a);
        buf_clear(&out);
        BUG_ON(failed(event_accept(&a, one_line, &c, &out, &e)));
    }
    buf_release(&out);
    arena_release(&a);
}

static void leaves(void *ctx, unsigned n)
{
    struct merkle_range r = {.size = 0};
    for (unsigned i = 0; i < n; i++) {
        struct hash h;
        merkle_leaf(one_line, &h);
        merkle_append(&r, &h);
    }
}

static void syncs_alone(void)
{
    char path[160];
    static char block[64 * 1024];
    snprintf(path, sizeof(path), "%s/syncs", dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    BUG_ON(fd < 0 || posix_fallocate(fd, 0, (off_t)SYNCS * sizeof(block)) != 0 || fsync(fd) != 0);
    int64_t began = clock_mono_ns();
    for (int i = 0; i < SYNCS; i++) {
        BUG_ON(pwrite(fd, block, sizeof(block), (off_t)i * (off_t)sizeof(block)) != sizeof(block));
        BUG_ON(fdatasync(fd) != 0);
    }
    double s = (double)(clock_mono_ns() - began) / 1e9;
    printf("%-44s %12.0f /s\n", "fdatasync of 64 KiB, preallocated", SYNCS / s);
    close(fd);
}

static void whole_service(void)
{
    static const struct expectations nothing = {NULL, 0};
    static const struct sender from = {STR_INIT("secrets"),
                                       STR_INIT("spiffe://bench/sextant/secrets")};
    struct service *s;
    struct service_opts o = {
        .dir = dir, .origin = S("bench/audit"), .expected = &nothing, .wake = wake};
    BUG_ON(failed(service_open(&o, &s)));
    double cpu = bench_cpu_ns();
    int64_t began = clock_mono_ns(), worst = 0;
    for (unsigned i = 0; i < EVENTS / BATCH; i++) {
        unsigned n;
        int64_t at = clock_mono_ns();
        BUG_ON(failed(service_take(s, buf_str(&batches[i]), &from, told, NULL, &n)));
        service_commit(s);
        worst = MAX(worst, clock_mono_ns() - at);
        service_tick(s);
    }
    while (service_tick(s)) {
    }
    double wall_s = (double)(clock_mono_ns() - began) / 1e9, cpu_s = (bench_cpu_ns() - cpu) / 1e9;
    printf("%-44s %12.0f /s   %0.0f per CPU-s, worst commit %0.1f ms\n",
           "durable, hashed, indexed, watched events", EVENTS / wall_s, EVENTS / cpu_s,
           (double)worst / 1e6);
    printf("%-44s %12s\n", "  beside it: Tessera POSIX, published",
           "26000-32000 /s with 256 a batch; 10000 on 7 cores with dedup");

    struct ask q = {.question = ASK_WHO, .of = S("kv/data/team-7/secret-7"), .limit = 100};
    struct ask_source src = service_source(s);
    struct buf out;
    buf_init(&out, 64 << 20);
    began = clock_mono_ns();
    BUG_ON(failed(ask_answer(&src, &q, &out)));
    printf("%-44s %12.1f ms\n", "ask who, 833 requests of 100,000 events",
           (double)(clock_mono_ns() - began) / 1e6);
    buf_release(&out);

    /* What verify does for each entry, without the signature, which a bench has no key for. */
    struct tlog_reader r;
    tlog_reader_init(&r, tlog_folder(service_log(s)),
                     tlog_integrated(service_log(s)) / TILE_WIDTH * TILE_WIDTH);
    struct merkle_range tree = {.size = 0};
    cpu = bench_cpu_ns();
    for (uint64_t i = 0; i < r.size; i++) {
        struct str entry;
        struct hash h;
        BUG_ON(failed(tlog_read_entry(&r, i, &entry)));
        merkle_leaf(entry, &h);
        merkle_append(&tree, &h);
    }
    printf("%-44s %12.0f /CPU-s\n", "entries read back and hashed",
           (double)r.size / (bench_cpu_ns() - cpu) * 1e9);
    tlog_reader_release(&r);
    service_close(s);
}

int main(int argc, char **argv)
{
    struct secret key;
    char cmd[256];
    snprintf(dir, sizeof(dir), "%s/sextant-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (mkdtemp(dir) == NULL || failed(secret_random(&key, 32))) {
        return 1;
    }
    log_setup("bench", LOG_ERROR, LOG_TEXT);
    make_events();
    printf("event as sent: %zu bytes\n", one_line.n);
    struct bench_case cases[] = {
        {.name = "check, complete, canonical form, fingerprint",
         .run = accept,
         .ctx = &key,
         .n = 20000},
        {.name = "leaf hash and tree", .run = leaves, .n = 50000},
    };
    bench_all(cases, ARRAY_LEN(cases));
    syncs_alone();
    whole_service();
    secret_release(&key);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd) == 0 ? 0 : 1;
}
