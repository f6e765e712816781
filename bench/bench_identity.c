/* deps: base json x509 jose store http grpc loop identity_dep */
/*
 * Identity: what an X.509-SVID costs in process, and, given a running daemon's socket and pid, what the
 * Workload API costs the daemon a call.
 *
 *     bench_identity
 *     bench_identity SOCKET PID
 */
#include "bench/bench.h"
#include "identity/ca.h"
#include "lib/base/clock.h"
#include "lib/grpc/grpc.h"
#include "lib/grpc/proto/workload.pb-c.h"
#include "lib/loop/loop.h"

#include <string.h>
#include <unistd.h>

/* ---- in process ---- */

static struct ca ca;
static struct buf csr;
static struct key *plain;

static void make_authority(void)
{
    struct buf name, der;
    buf_init(&name, 256);
    buf_init(&der, X509_CERT_MAX);
    buf_init(&csr, X509_CSR_MAX);
    BUG_ON(failed(key_generate(KEY_P256, &ca.now.key)) || failed(key_generate(KEY_P256, &plain)));
    x509_name_put(&name, &(struct x509_name){.common_name = S("bench")});
    struct x509_spec spec = {.subject = buf_str(&name),
                             .issuer = buf_str(&name),
                             .not_after_s = clock_wall_s() + 86400,
                             .spki = key_spki(ca.now.key),
                             .is_ca = true,
                             .path_len = 0,
                             .alg = SIG_ES256};
    BUG_ON(failed(x509_issue(&spec, ca.now.key, &der)) ||
           failed(x509_cert_parse(buf_str(&der), &ca.now.cert)));
    ca.jwt = jwks_new();
    struct str uri = S("spiffe://bench.test/ns/shop/sa/cart");
    BUG_ON(failed(x509_csr_make(plain, STR_EMPTY, &uri, 1, NULL, 0, &csr)));
}

static void issue(struct key *key)
{
    struct svid *s;
    struct svid_request r = {.spiffe_id = S("spiffe://bench.test/ns/shop/sa/cart"),
                             .ttl_s = 3600,
                             .now_s = clock_wall_s(),
                             .key = key};
    BUG_ON(failed(ca_issue(&ca, &r, &s)));
    svid_unref(s);
}

static void with_key(void *ctx, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        issue(NULL);
    }
}

static void with_request(void *ctx, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct x509_csr c;
        BUG_ON(failed(x509_csr_parse(buf_str(&csr), &c)));
        issue(c.key);
        x509_csr_release(&c);
    }
}

static void sign_alone(void *ctx, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct buf sig;
        buf_init(&sig, SIGNATURE_MAX);
        BUG_ON(failed(key_sign(plain, SIG_ES256, S("message"), &sig)));
        buf_release(&sig);
    }
}

static void key_alone(void *ctx, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct key *k;
        BUG_ON(failed(key_generate(KEY_P256, &k)));
        key_unref(k);
    }
}

static void in_process(void)
{
    make_authority();
    struct bench_case cases[] = {
        {"P-256 signature alone", sign_alone, NULL, 4000},
        {"P-256 key generation alone", key_alone, NULL, 2000},
        {"X.509-SVID, key made here", with_key, NULL, 1500},
        {"X.509-SVID from a request, checked", with_request, NULL, 1500},
    };
    bench_all(cases, ARRAY_LEN(cases));
    printf("\nSPIRE 1.15.3 (its own figures on such a machine, per CPU-s of the server): mint "
           "1830, in batches of 500 3570\n");
    printf("ratio to SPIRE's batches: with key %.1f, from request %.1f\n",
           1e9 / bench_median(&cases[2]) / 3570, 1e9 / bench_median(&cases[3]) / 3570);
}

/* ---- over the Workload API ---- */

/* Cancelled streams are limited a second and connection, as a defence: fewer of those. */
enum { CONCURRENT = 16, CALLS = 4000, STREAMS = 400 };

struct load {
    struct loop *loop;
    struct grpc_client *client;
    bool jwt, fresh; /* tokens; with an audience of its own each */
    unsigned calls, started, ended, failed;
};

struct call {
    struct load *load;
    struct grpc_stream *stream;
    bool got;
};

static void start_call(struct load *l);

static void call_done(struct call *c)
{
    struct load *l = c->load;
    l->ended++;
    free(c);
    if (l->ended == l->calls) {
        loop_stop(l->loop);
    } else if (l->started < l->calls) {
        start_call(l);
    }
}

static void cancel_later(void *ctx)
{
    struct call *c = ctx;
    grpc_stream_cancel(c->stream);
    call_done(c);
}

static void on_message(void *ctx, const ProtobufCMessage *m)
{
    struct call *c = ctx;
    if (!c->got && !c->load->jwt) {
        c->got = true;
        loop_defer(c->load->loop, cancel_later, c); /* a stream: one message is enough */
    }
}

static void on_end(void *ctx, int status, struct str message)
{
    struct call *c = ctx;
    if (c->got) {
        return;
    }
    c->load->failed += status != 0;
    if (status != 0 && c->load->failed == 1) {
        fprintf(stderr, "first failure: %d %.*s\n", status, STR_FMT(message));
    }
    call_done(c);
}

static void start_call(struct load *l)
{
    static const struct http_header metadata = {STR_INIT("workload.spiffe.io"), STR_INIT("true")};
    struct call *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    c->load = l;
    char audience[32];
    snprintf(audience, sizeof(audience), "a%u", l->fresh ? l->started : 0);
    char *audiences[] = {audience};
    X509SVIDRequest x = X509_SVIDREQUEST__INIT;
    JWTSVIDRequest j = JWTSVIDREQUEST__INIT;
    j.n_audience = 1;
    j.audience = audiences;
    struct grpc_out o = {
        .path = l->jwt ? "/SpiffeWorkloadAPI/FetchJWTSVID" : "/SpiffeWorkloadAPI/FetchX509SVID",
        .request = l->jwt ? &j.base : &x.base,
        .metadata = &metadata,
        .n_metadata = 1,
        .reply = l->jwt ? &jwtsvidresponse__descriptor : &x509_svidresponse__descriptor,
        .on_message = on_message,
        .on_end = on_end,
        .ctx = c};
    l->started++;
    c->stream = grpc_client_call(l->client, &o);
}

/* schedstat: nanoseconds on the CPU. */
static double process_cpu_ns(const char *pid)
{
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
    FILE *f = fopen(path, "r");
    if (f != NULL) {
        if (fscanf(f, "%llu", &ns) != 1) {
            ns = 0;
        }
        fclose(f);
    }
    return (double)ns;
}

static void over_socket(const char *socket, const char *pid)
{
    static const struct {
        const char *name;
        bool jwt, fresh;
    } kinds[] = {{"FetchX509SVID, SVID in memory", false, false},
                 {"FetchJWTSVID, same audience", true, false},
                 {"FetchJWTSVID, new audience each (signed by crypto)", true, true}};
    char address[512];
    snprintf(address, sizeof(address), "unix:%s", socket);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct load l = {
            .jwt = kinds[i].jwt, .fresh = kinds[i].fresh, .calls = kinds[i].jwt ? CALLS : STREAMS};
        BUG_ON(failed(loop_new(&l.loop)) ||
               failed(grpc_client_new(l.loop, str_of(address), NULL, &l.client)));
        double cpu = process_cpu_ns(pid), wall = (double)clock_mono_ns();
        for (unsigned k = 0; k < CONCURRENT; k++) {
            start_call(&l);
        }
        loop_run(l.loop);
        cpu = process_cpu_ns(pid) - cpu;
        wall = (double)clock_mono_ns() - wall;
        printf("%-50s %8.1f us CPU a call, %8.0f a CPU-s, %8.0f a second, %u failed\n",
               kinds[i].name, cpu / l.calls / 1e3, 1e9 * l.calls / cpu, 1e9 * l.calls / wall,
               l.failed);
        grpc_client_free(l.client);
        loop_free(l.loop);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        over_socket(argv[1], argv[2]);
    } else {
        in_process();
    }
    return 0;
}
