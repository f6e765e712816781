/* The operand of http.send, checked and turned into a request. */
#include "authz/rego/builtin/http/http.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/x509/verify.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TIMEOUT_DEFAULT_S = 5,
    PEM_FILE_MAX = 1 << 20,
    RETRIES_MAX = 1000,
    HEADERS_MAX = 100,
    BODY_MAX = 64 << 20,
};

bool send_refused(struct arena *a, struct send_error *e, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    *e = (struct send_error){.kind = SEND_PLAIN, .text = arena_str(a, str_of(text))};
    return false;
}

bool send_refused_bare(struct arena *a, struct send_error *e, struct str text)
{
    *e = (struct send_error){.kind = SEND_BARE, .text = arena_str(a, text)};
    return false;
}

static const char *const known_keys[] = {"method",
                                         "url",
                                         "body",
                                         "enable_redirect",
                                         "force_json_decode",
                                         "force_yaml_decode",
                                         "headers",
                                         "raw_body",
                                         "tls_use_system_certs",
                                         "tls_ca_cert",
                                         "tls_ca_cert_file",
                                         "tls_ca_cert_env_variable",
                                         "tls_client_cert",
                                         "tls_client_cert_file",
                                         "tls_client_cert_env_variable",
                                         "tls_client_key",
                                         "tls_client_key_file",
                                         "tls_client_key_env_variable",
                                         "tls_insecure_skip_verify",
                                         "tls_server_name",
                                         "timeout",
                                         "cache",
                                         "force_cache",
                                         "force_cache_duration_seconds",
                                         "raise_error",
                                         "caching_mode",
                                         "max_retry_attempts",
                                         "cache_ignored_headers"};

static bool is_known(struct val key)
{
    for (size_t i = 0; i < ARRAY_LEN(known_keys); i++) {
        if (val_is(key, V_STRING) && str_is(val_text(key), known_keys[i])) {
            return true;
        }
    }
    return false;
}

bool send_check_keys(struct arena *a, struct val operand, struct send_error *e)
{
    struct vlist bad = {.a = a}, missing = {.a = a};
    static const char *const needed[] = {"method", "url"};
    for (uint32_t i = 0; i < val_len(operand); i++) {
        struct val k = val_nth_key(a, operand, i);
        if (!is_known(k)) {
            vlist_add(&bad, k);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (val_undef(val_get_str(operand, needed[i]))) {
            vlist_add(&missing, val_str(a, str_of(needed[i])));
        }
    }
    if (bad.n + missing.n == 0) {
        return true;
    }
    const char *what =
        bad.n > 0 ? "invalid request parameters(s)" : "missing required request parameters(s)";
    struct str set = val_rego_text(a, vlist_set(bad.n > 0 ? &bad : &missing));
    *e = (struct send_error){.kind = SEND_OPERAND,
                             .text = arena_printf(a, "%s: %.*s", what, STR_FMT(set))};
    return false;
}

bool send_key(struct arena *a, struct val operand, struct val *key, struct send_error *e)
{
    struct val ignored = val_get_str(operand, "cache_ignored_headers");
    struct val headers = val_get_str(operand, "headers");
    struct val name = val_str(a, S("cache_ignored_headers"));
    *key = val_with(a, operand, name, VAL_NULL);
    if (val_undef(ignored) || !val_is(headers, V_OBJECT)) {
        return true;
    }
    bool strings = val_is(ignored, V_ARRAY);
    for (uint32_t i = 0; strings && i < val_len(ignored); i++) {
        strings = val_is(val_nth(ignored, i), V_STRING);
    }
    if (!strings) {
        return send_refused_bare(a, e, S("cache_ignored_headers must be an array of strings"));
    }
    struct vlist kept = {.a = a};
    struct val drop = val_set(a, val_arr(ignored)->v, val_len(ignored));
    for (uint32_t i = 0; i < val_len(headers); i++) {
        struct val k = val_nth_key(a, headers, i);
        if (!val_has(drop, k)) {
            vlist_add2(&kept, k, val_nth(headers, i));
        }
    }
    *key = val_with(a, *key, val_str(a, S("headers")), vlist_object(&kept));
    return true;
}

/* ---- options ---- */

static bool read_bool(struct arena *a, struct val operand, const char *name, bool *out,
                      struct send_error *e)
{
    struct val v = val_get_str(operand, name);
    if (!val_undef(v) && !val_is(v, V_BOOL)) {
        return send_refused(a, e, "invalid value for \"%s\" field", name);
    }
    *out = !val_undef(v) && val_is_true(v);
    return true;
}

/* Anything but the two modes keeps answers from being kept, and is no error. */
static bool is_mode(struct val v)
{
    return val_undef(v) || (val_is(v, V_STRING) && (str_is(val_text(v), "serialized") ||
                                                    str_is(val_text(v), "deserialized")));
}

/* In quotes, as Go's %q prints plain text. */
static struct str quoted(struct arena *a, struct str s)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    val_json_string(&b, str_sub(s, 0, 500), false);
    struct str q = arena_str(a, buf_str(&b));
    buf_release(&b);
    return q;
}

static bool read_duration(struct arena *a, struct val operand, struct send_options *o,
                          struct send_error *e)
{
    struct val v = val_get_str(operand, "force_cache_duration_seconds");
    int64_t n;
    if (val_undef(v)) {
        return send_refused(a, e,
                            "'force_cache' set but 'force_cache_duration_seconds' parameter is "
                            "missing");
    }
    struct str text = quoted(a, val_rego_text(a, v));
    bool whole = val_is(v, V_NUMBER) && num_written_as_int(val_number(v));
    if (!whole) {
        return send_refused(a, e, "strconv.ParseInt: parsing %.*s: invalid syntax", STR_FMT(text));
    }
    if (!val_to_i64(v, &n) || n > INT32_MAX || n < INT32_MIN) {
        return send_refused(a, e, "strconv.ParseInt: parsing %.*s: value out of range",
                            STR_FMT(text));
    }
    o->force_duration = (int32_t)n;
    return true;
}

bool send_read_options(struct arena *a, struct val operand, struct send_options *o,
                       struct send_error *e)
{
    bool cache, force;
    if (!read_bool(a, operand, "cache", &cache, e) ||
        !read_bool(a, operand, "force_cache", &force, e)) {
        return false;
    }
    o->bad_mode = !is_mode(val_get_str(operand, "caching_mode"));
    o->between = cache || force;
    if (force && !read_duration(a, operand, o, e)) {
        return false;
    }
    o->force_duration = MAX(o->force_duration, 0);
    return read_bool(a, operand, "force_json_decode", &o->force_json, e) &&
           read_bool(a, operand, "force_yaml_decode", &o->force_yaml, e);
}

/* ---- the request ---- */

struct reading {
    struct arena *a;
    const struct outside *outside;
    struct val operand;
    struct outside_request *r;
    struct send_error *e;
};

static struct str unquoted(struct str s)
{
    while (s.n > 0 && s.p[0] == '"') {
        s = str_sub(s, 1, s.n);
    }
    while (s.n > 0 && s.p[s.n - 1] == '"') {
        s.n--;
    }
    return s;
}

static bool text_of(struct reading *x, const char *name, struct str *out)
{
    struct val v = val_get_str(x->operand, name);
    *out = STR_EMPTY;
    if (val_undef(v)) {
        return true;
    }
    if (!val_is(v, V_STRING)) {
        return send_refused(x->a, x->e, "\"%s\" must be a string", name);
    }
    *out = unquoted(val_text(v));
    return true;
}

/* true and false, and the numbers 1 and 0. */
static bool flag_of(struct reading *x, const char *name, bool *out)
{
    struct val v = val_get_str(x->operand, name);
    int64_t n = -1;
    *out = false;
    if (val_undef(v)) {
        return true;
    }
    if (val_is(v, V_BOOL) || (val_is(v, V_NUMBER) && val_to_i64(v, &n) && (n == 0 || n == 1))) {
        *out = val_is_true(v) || n == 1;
        return true;
    }
    return send_refused(x->a, x->e, "strconv.ParseBool: parsing %.*s: invalid syntax",
                        STR_FMT(quoted(x->a, val_rego_text(x->a, v))));
}

static bool read_timeout(struct reading *x)
{
    struct val v = val_get_str(x->operand, "timeout");
    int64_t n = 0;
    uint64_t digits;
    x->r->timeout_ns = TIMEOUT_DEFAULT_S * NS_PER_S;
    if (val_undef(v)) {
        return true;
    }
    struct str shown = str_sub(val_rego_text(x->a, v), 0, 200);
    if (val_is(v, V_NUMBER)) {
        if (!num_written_as_int(val_number(v)) || !val_to_i64(v, &n)) {
            return send_refused(x->a, x->e, "invalid timeout number value %.*s, must be int64",
                                STR_FMT(shown));
        }
    } else if (!val_is(v, V_STRING)) {
        *x->e = (struct send_error){
            .kind = SEND_OPERAND,
            .text = arena_printf(x->a, "'timeout' must be one of {string, number} but got %s",
                                 val_type_name(v))};
        return false;
    } else if (!failed(str_to_u64(val_text(v), &digits)) && digits <= INT64_MAX) {
        n = (int64_t)digits;
    } else if (failed(duration_parse(val_text(v), &n))) {
        return send_refused(x->a, x->e, "invalid timeout value %.*s: time: invalid duration %.*s",
                            STR_FMT(shown), STR_FMT(shown));
    }
    x->r->timeout_ns = MAX(n, INT64_C(0));
    return true;
}

static bool read_retries(struct reading *x)
{
    struct val v = val_get_str(x->operand, "max_retry_attempts");
    int64_t n = 0;
    if (val_undef(v)) {
        return true;
    }
    if (!val_is(v, V_NUMBER) || !val_to_i64(v, &n) || n < 0) {
        struct str shown = str_sub(val_rego_text(x->a, v), 0, 200);
        return send_refused_bare(x->a, x->e,
                                 arena_printf(x->a,
                                              "invalid value %.*s for field \"max_retry_attempts\"",
                                              STR_FMT(shown)));
    }
    x->r->retries = (unsigned)MIN(n, (int64_t)RETRIES_MAX);
    return true;
}

static bool read_body(struct reading *x)
{
    struct val body = val_get_str(x->operand, "body"), raw = val_get_str(x->operand, "raw_body");
    struct str text;
    struct buf b;
    if (!text_of(x, "raw_body", &text)) {
        return false;
    }
    if (!val_undef(raw)) {
        x->r->body = text;
        x->r->has_body = true;
        return true;
    }
    if (val_undef(body)) {
        return true;
    }
    buf_init(&b, BODY_MAX);
    val_to_json(&b, body, true);
    bool ok = buf_ok(&b);
    x->r->body = ok ? arena_str(x->a, buf_str(&b)) : STR_EMPTY;
    x->r->has_body = true;
    buf_release(&b);
    return ok || send_refused(x->a, x->e, "a body of over %d bytes", BODY_MAX);
}

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++) {
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
    }
    return str_n(p, s.n);
}

static bool read_headers(struct reading *x)
{
    struct val v = val_get_str(x->operand, "headers");
    if (val_undef(v)) {
        return true;
    }
    if (!val_is(v, V_OBJECT)) {
        return send_refused(x->a, x->e, "invalid type for headers key");
    }
    if (val_len(v) > HEADERS_MAX) {
        return send_refused(x->a, x->e, "over %d headers", HEADERS_MAX);
    }
    struct outside_header *h = arena_array(x->a, struct outside_header, val_len(v) + 1);
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(x->a, v, i), value = val_nth(v, i);
        if (!val_is(k, V_STRING) || !val_is(value, V_STRING)) {
            struct str shown = quoted(x->a, val_rego_text(x->a, value));
            return send_refused(x->a, x->e, "invalid type for headers value %.*s", STR_FMT(shown));
        }
        h[i] = (struct outside_header){lower(x->a, val_text(k)), val_text(value)};
        if (str_is(h[i].name, "host") && x->r->tls.server_name.n == 0) {
            x->r->tls.server_name = h[i].value;
            x->r->tls.given = true;
        }
    }
    x->r->headers = h;
    x->r->n_headers = val_len(v);
    return true;
}

/* ---- TLS ---- */

static bool read_file(struct reading *x, struct str name, struct str *out)
{
    char *path = arena_cstr(x->a, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return send_refused(x->a, x->e, "open %s: no such file or directory", path);
    }
    struct buf b;
    ssize_t n = 1;
    buf_init(&b, PEM_FILE_MAX);
    while (n > 0 && buf_ok(&b)) {
        char *room = buf_reserve(&b, 4096);
        n = room != NULL ? read(fd, room, 4096) : 0;
        buf_commit(&b, n > 0 ? (size_t)n : 0);
    }
    close(fd);
    bool ok = n >= 0 && buf_ok(&b);
    *out = ok ? arena_str(x->a, buf_str(&b)) : STR_EMPTY;
    buf_release(&b);
    return ok || send_refused(x->a, x->e, "cannot read %s", path);
}

static struct str from_environment(struct reading *x, struct str name)
{
    const char *v = getenv(arena_cstr(x->a, name));
    return v != NULL ? arena_str(x->a, str_of(v)) : STR_EMPTY;
}

/* Where a PEM text came from: itself, a file, or a variable. The last one given counts. */
struct pem {
    struct str text, file, variable; /* the names of the latter two */
};

static bool pem_option(struct reading *x, const char *name, struct pem *p)
{
    char key[64];
    if (!text_of(x, name, &p->text)) {
        return false;
    }
    snprintf(key, sizeof key, "%s_file", name);
    if (!text_of(x, key, &p->file)) {
        return false;
    }
    snprintf(key, sizeof key, "%s_env_variable", name);
    if (!text_of(x, key, &p->variable)) {
        return false;
    }
    if (p->file.n > 0 && !read_file(x, p->file, &p->text)) {
        return false;
    }
    if (p->variable.n > 0) {
        p->text = from_environment(x, p->variable);
    }
    return true;
}

/* A line break may be written as a backslash and an n. */
static struct str real_lines(struct arena *a, struct str s)
{
    char *p = arena_alloc_raw(a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool written = s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == 'n';
        p[n++] = written ? '\n' : s.p[i];
        i += written;
    }
    return str_n(p, n);
}

static bool read_anchors(struct reading *x)
{
    struct pem p;
    if (!pem_option(x, "tls_ca_cert", &p)) {
        return false;
    }
    if (p.text.n + p.variable.n == 0) {
        return true;
    }
    struct x509_anchors *anchors;
    struct str pem = real_lines(x->a, p.text);
    bool ok = !failed(x509_anchors_new(&anchors));
    ok = ok && !failed(x509_anchors_add_pem(anchors, pem));
    x509_anchors_unref(anchors);
    x->r->tls.ca_pem = pem;
    if (!ok && p.variable.n > 0) {
        return send_refused(
            x->a, x->e,
            "could not add CA certificates from envvar %.*s: could not append certificates",
            STR_FMT(quoted(x->a, p.variable)));
    }
    if (!ok && p.file.n > 0) {
        return send_refused(x->a, x->e, "could not append CA certificates from %.*s",
                            STR_FMT(quoted(x->a, p.file)));
    }
    return ok || send_refused(x->a, x->e, "could not append certificates");
}

/* What is wrong with a certificate and its key; NULL: nothing. */
static const char *pair_problem(struct str cert, struct str key)
{
    struct x509_chain chain;
    struct key *k;
    const char *wrong = NULL;
    if (failed(x509_chain_from_pem(cert, &chain))) {
        return "tls: failed to find any PEM data in certificate input";
    }
    if (failed(key_from_pem(key, &k))) {
        wrong = "tls: failed to find any PEM data in key input";
    } else {
        wrong = str_eq(chain.certs[0]->spki, key_spki(k))
                    ? NULL
                    : "tls: private key does not match public key";
        key_unref(k);
    }
    x509_chain_release(&chain);
    return wrong;
}

static bool read_identity(struct reading *x)
{
    struct pem cert, key;
    if (!pem_option(x, "tls_client_cert", &cert) || !pem_option(x, "tls_client_key", &key)) {
        return false;
    }
    if (cert.text.n == 0 || key.text.n == 0) {
        return true;
    }
    const char *wrong = pair_problem(cert.text, key.text);
    if (wrong != NULL && cert.variable.n > 0) {
        return send_refused(
            x->a, x->e, "cannot extract public/private key pair from envvars %.*s, %.*s: %s",
            STR_FMT(quoted(x->a, cert.variable)), STR_FMT(quoted(x->a, key.variable)), wrong);
    }
    x->r->tls.cert_pem = cert.text;
    x->r->tls.key_pem = key.text;
    return wrong == NULL || send_refused(x->a, x->e, "%s", wrong);
}

static bool read_tls(struct reading *x)
{
    struct outside_tls *t = &x->r->tls;
    if (!flag_of(x, "tls_use_system_certs", &t->system_certs) ||
        !flag_of(x, "tls_insecure_skip_verify", &t->insecure) ||
        !text_of(x, "tls_server_name", &t->server_name) || !read_anchors(x) || !read_identity(x)) {
        return false;
    }
    t->given = t->system_certs || t->insecure || t->server_name.n > 0 || t->ca_pem.n > 0 ||
               t->cert_pem.n > 0;
    return true;
}

/* ---- the URL ---- */

static struct str host_of(struct str url)
{
    size_t at = str_find(url, S("://"));
    struct str rest = at == STR_NPOS ? STR_EMPTY : str_sub(url, at + 3, url.n);
    for (size_t i = 0; i < rest.n; i++) {
        if (strchr("/?#", rest.p[i]) != NULL) {
            rest = str_sub(rest, 0, i);
            break;
        }
    }
    at = str_rfind_char(rest, '@');
    rest = at == STR_NPOS ? rest : str_sub(rest, at + 1, rest.n);
    if (rest.n > 0 && rest.p[0] == '[') {
        return str_sub(rest, 1, str_find_char(rest, ']'));
    }
    return str_sub(rest, 0, str_find_char(rest, ':'));
}

/* unix://localhost/path?socket=%2Frun%2Fx.sock, as the transport writes it. */
static void unix_url(struct reading *x, struct str url)
{
    struct str rest = str_sub(url, 7, url.n), socket = STR_EMPTY;
    size_t slash = str_find_char(rest, '/'), mark = str_find_char(rest, '?');
    struct str query = mark == STR_NPOS ? STR_EMPTY : str_sub(rest, mark + 1, rest.n);
    struct str path = slash == STR_NPOS || slash > mark ? S("/") : str_sub(rest, slash, mark);
    struct buf others;
    buf_init(&others, url.n + 8);
    while (query.p != NULL && query.n > 0) {
        struct str pair = str_split(&query, '&');
        if (!str_starts(pair, S("socket="))) {
            buf_puts(&others, others.n > 0 ? S("&") : S("?"));
            buf_puts(&others, pair);
        } else if (socket.n == 0 &&
                   failed(percent_decode(x->a, str_sub(pair, 7, pair.n), true, &socket))) {
            socket = STR_EMPTY;
        }
    }
    x->r->url = arena_printf(x->a, "unix:%.*s:%.*s%.*s", STR_FMT(socket), STR_FMT(path),
                             STR_FMT(buf_str(&others)));
    buf_release(&others);
    if (socket.n == 0 || str_find_char(socket, ':') != STR_NPOS) {
        x->r->url = url; /* which nobody can ask */
    }
}

static bool read_url(struct reading *x)
{
    struct str url;
    if (!text_of(x, "url", &url)) {
        return false;
    }
    struct str host = host_of(url);
    if (!outside_allows(x->outside, host)) {
        return send_refused(x->a, x->e, "disallowed host: %.*s", STR_FMT(str_sub(host, 0, 300)));
    }
    if (str_starts(url, S("unix://"))) {
        unix_url(x, url);
    } else {
        x->r->url = url;
    }
    return true;
}

static bool read_method(struct reading *x)
{
    struct str m;
    if (!text_of(x, "method", &m)) {
        return false;
    }
    char *p = arena_cstr(x->a, m);
    for (size_t i = 0; i < m.n; i++) {
        p[i] = p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] - 32) : p[i];
    }
    x->r->method = m.n > 0 ? str_n(p, m.n) : S("GET");
    return true;
}

bool send_read_request(struct arena *a, const struct outside *outside, struct val operand,
                       struct outside_request *r, struct send_error *e)
{
    struct reading x = {.a = a, .outside = outside, .operand = operand, .r = r, .e = e};
    *r = (struct outside_request){.has_body = false};
    return read_method(&x) && read_url(&x) && flag_of(&x, "enable_redirect", &r->redirect) &&
           read_body(&x) && read_tls(&x) && read_headers(&x) && read_timeout(&x) &&
           read_retries(&x);
}

bool outside_allows(const struct outside *o, struct str host)
{
    for (size_t i = 0; o->limited && i < o->n_allow_net; i++) {
        if (str_eq(o->allow_net[i], host)) {
            return true;
        }
    }
    return !o->limited;
}
