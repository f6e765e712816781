/* providers.aws.sign_req: a request signed by AWS Signature Version 4. */
#include "authz/rego/builtin/builtin.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/x509/digest.h"

static struct str hex_digest(struct arena *a, struct str s)
{
    uint8_t sum[DIGEST_MAX];
    size_t n = digest(DIGEST_SHA256, s, sum);
    return hex_encode(a, str_n(sum, n));
}

/* The members of `want` that are missing from, or are no strings in, the object. */
static struct val faulty(struct arena *a, struct val o, const char *const *want, bool missing)
{
    struct vlist l = {.a = a};
    for (; *want != NULL; want++) {
        struct val v = val_get_str(o, *want);
        if (missing ? val_undef(v) : !val_undef(v) && !val_is(v, V_STRING)) {
            vlist_add(&l, val_str(a, str_of(*want)));
        }
    }
    return vlist_set(&l);
}

static bool check_members(struct bcall *b, int pos, const char *const *want)
{
    struct val o = b->args[pos - 1], bad = faulty(b->a, o, want, true);
    const char *required = pos == 1 ? "required request" : "required AWS config";
    if (val_len(bad) > 0) {
        (void)b_operand(b, pos, "missing %s parameters(s): %.*s", required,
                        STR_FMT(val_rego_text(b->a, bad)));
        return false;
    }
    bad = faulty(b->a, o, want, false);
    if (val_len(bad) > 0) {
        (void)b_operand(b, pos, "invalid values for %s parameters(s): %.*s", required,
                        STR_FMT(val_rego_text(b->a, bad)));
        return false;
    }
    return true;
}

struct request {
    struct str method, host, path, query, body;
    struct val headers; /* lower case names to values */
    struct val given;   /* those of the caller, which are signed as they came */
};

static void split_url(struct str url, struct request *r)
{
    size_t scheme = str_find(url, S("://"));
    struct str rest = scheme == STR_NPOS ? url : str_sub(url, scheme + 3, url.n);
    size_t hash = str_find_char(rest, '#');
    rest = str_sub(rest, 0, hash);
    size_t mark = str_find_char(rest, '?');
    r->query = mark == STR_NPOS ? S("") : str_sub(rest, mark + 1, rest.n);
    rest = str_sub(rest, 0, mark);
    size_t slash = str_find_char(rest, '/');
    r->path = slash == STR_NPOS ? S("") : str_sub(rest, slash, rest.n);
    r->host = str_sub(rest, 0, slash);
}

static struct str lower(struct arena *a, struct str s)
{
    struct vstr *r = val_str_room(a, s.n);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        r->p[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    return val_text(val_str_done(r));
}

static void read_body(struct bcall *b, struct request *r)
{
    struct val body = val_get_str(b->args[0], "body"), raw = val_get_str(b->args[0], "raw_body");
    r->body = S("");
    if (val_is(raw, V_STRING)) {
        r->body = val_text(raw);
    } else if (!val_undef(body)) {
        struct buf out;
        buf_init(&out, 64 << 20);
        val_to_json(&out, body, true);
        r->body = arena_str(b->a, buf_str(&out));
        buf_release(&out);
    }
}

static void add_header(struct bcall *b, struct request *r, const char *name, struct str value)
{
    r->headers = val_with(b->a, r->headers, val_str(b->a, str_of(name)), val_str(b->a, value));
}

static bool read_headers(struct bcall *b, struct request *r)
{
    struct val given = val_get_str(b->args[0], "headers");
    r->headers = val_empty_object();
    if (!val_undef(given) && !val_is(given, V_OBJECT)) {
        (void)b_operand(b, 1, "must be object but got %s", val_type_name(given));
        return false;
    }
    for (uint32_t i = 0; !val_undef(given) && i < val_len(given); i++) {
        struct val k = val_nth_key(b->a, given, i), v = val_nth(given, i);
        if (val_is(k, V_STRING)) {
            struct str name = lower(b->a, val_text(k));
            r->headers = val_with(b->a, r->headers, val_str(b->a, name),
                                  val_is(v, V_STRING) ? v : val_str(b->a, val_rego_text(b->a, v)));
        }
    }
    r->given = r->headers;
    return true;
}

/* The canonical request, and the names of its signed headers. */
static struct str canonical(struct bcall *b, const struct request *r, struct str sum,
                            struct str *names)
{
    struct buf out, list;
    struct val signing = val_merge(b->a, r->headers, r->given, NULL);
    buf_init(&out, 1 << 24);
    buf_init(&list, 1 << 20);
    buf_printf(&out, "%.*s\n%.*s\n%.*s\n", STR_FMT(r->method), STR_FMT(r->path), STR_FMT(r->query));
    for (uint32_t i = 0; i < val_len(signing); i++) {
        struct str k = val_text(val_nth_key(b->a, signing, i)), v = val_text(val_nth(signing, i));
        buf_printf(&out, "%.*s:%.*s\n", STR_FMT(k), STR_FMT(v));
        buf_printf(&list, "%s%.*s", i > 0 ? ";" : "", STR_FMT(k));
    }
    *names = arena_str(b->a, buf_str(&list));
    buf_printf(&out, "\n%.*s\n%.*s", STR_FMT(*names), STR_FMT(sum));
    struct str s = arena_str(b->a, buf_str(&out));
    buf_release(&out);
    buf_release(&list);
    return s;
}

static struct str text_of(struct val o, const char *name)
{
    struct val v = val_get_str(o, name);
    return val_is(v, V_STRING) ? val_text(v) : STR_EMPTY;
}

static struct str signature(struct bcall *b, struct str date, struct str to_sign)
{
    struct val c = b->args[1];
    uint8_t key[2][DIGEST_MAX];
    const struct str steps[] = {date, text_of(c, "aws_region"), text_of(c, "aws_service"),
                                S("aws4_request"), to_sign};
    struct str secret =
        arena_printf(b->a, "AWS4%.*s", STR_FMT(text_of(c, "aws_secret_access_key")));
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        size_t n = digest_hmac(DIGEST_SHA256, secret, steps[i], key[i % 2]);
        secret = str_n(key[i % 2], n);
    }
    return hex_encode(b->a, secret);
}

static struct str authorization(struct bcall *b, const struct request *r, struct str sum,
                                struct str stamp)
{
    struct val c = b->args[1];
    struct str names, date = str_sub(stamp, 0, 8);
    struct str scope =
        arena_printf(b->a, "%.*s/%.*s/%.*s/aws4_request", STR_FMT(date),
                     STR_FMT(text_of(c, "aws_region")), STR_FMT(text_of(c, "aws_service")));
    struct str text = canonical(b, r, sum, &names);
    struct str to_sign = arena_printf(b->a, "AWS4-HMAC-SHA256\n%.*s\n%.*s\n%.*s", STR_FMT(stamp),
                                      STR_FMT(scope), STR_FMT(hex_digest(b->a, text)));
    return arena_printf(b->a,
                        "AWS4-HMAC-SHA256 Credential=%.*s/%.*s,SignedHeaders=%.*s,Signature=%.*s",
                        STR_FMT(text_of(c, "aws_access_key")), STR_FMT(scope), STR_FMT(names),
                        STR_FMT(signature(b, date, to_sign)));
}

static struct str stamp_of(struct arena *a, int64_t ns)
{
    struct buf out;
    buf_init(&out, 64);
    clock_put_rfc3339(&out, ns, 0);
    char *p = arena_alloc(a, 32);
    size_t n = 0;
    for (size_t i = 0; i < out.n; i++) {
        if (out.p[i] != '-' && out.p[i] != ':') {
            p[n++] = out.p[i];
        }
    }
    buf_release(&out);
    return str_n(p, n);
}

static bool operands(struct bcall *b, int64_t *ns, bool *unsigned_payload)
{
    static const char *const request[] = {"method", "url", NULL};
    static const char *const config[] = {"aws_access_key", "aws_region", "aws_secret_access_key",
                                         "aws_service", NULL};
    if (!b_is(b, 1, V_OBJECT) || !b_is(b, 2, V_OBJECT) || !b_is(b, 3, V_NUMBER)) {
        return false;
    }
    if (!check_members(b, 1, request) || !check_members(b, 2, config)) {
        return false;
    }
    struct val off = val_get_str(b->args[1], "disable_payload_signing");
    if (!val_undef(off) && !val_is(off, V_BOOL)) {
        (void)b_operand(b, 2, "invalid value for 'disable_payload_signing' in AWS config");
        return false;
    }
    *unsigned_payload = val_is_true(off);
    if (!val_to_i64(b->args[2], ns) || *ns < 0) {
        (void)b_operand(b, 3, "could not convert time_ns value into a unix timestamp");
        return false;
    }
    return true;
}

static enum b_status b_sign(struct bcall *b)
{
    struct request r = {0};
    int64_t ns = 0;
    bool unsigned_payload = false;
    if (!operands(b, &ns, &unsigned_payload) || !read_headers(b, &r)) {
        return B_ERROR;
    }
    r.method = text_of(b->args[0], "method"); /* as given: upstream signs what the caller wrote */
    split_url(text_of(b->args[0], "url"), &r);
    read_body(b, &r);
    struct str stamp = stamp_of(b->a, ns), token = text_of(b->args[1], "aws_session_token");
    struct str sum = unsigned_payload ? S("UNSIGNED-PAYLOAD") : hex_digest(b->a, r.body);
    struct str service = text_of(b->args[1], "aws_service");
    add_header(b, &r, "host", r.host);
    if (str_is(service, "s3") || str_is(service, "glacier")) {
        add_header(b, &r, "x-amz-content-sha256", sum);
    }
    add_header(b, &r, "x-amz-date", stamp);
    if (token.n > 0) {
        add_header(b, &r, "x-amz-security-token", token);
    }
    struct str auth = authorization(b, &r, sum, stamp);
    add_header(b, &r, "Authorization", auth);
    return b_out(b, val_with(b->a, b->args[0], val_str(b->a, S("headers")), r.headers));
}

const struct builtin builtins_aws[] = {
    {"providers.aws.sign_req", 3, b_sign, 0},
    {0},
};
