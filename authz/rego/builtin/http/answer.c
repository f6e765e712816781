/* Answers of http.send: as values, and for how long they are good (RFC 9111, as far as OPA goes). */
#include "authz/rego/builtin/http/http.h"

#include "authz/rego/value/value_yaml.h"

#include "lib/base/clock.h"

void outside_answer_copy(struct arena *a, const struct outside_answer *from,
                         struct outside_answer *to)
{
    struct outside_header *h = arena_array(a, struct outside_header, from->n_headers + 1);
    for (size_t i = 0; i < from->n_headers; i++) {
        h[i].name = arena_str(a, from->headers[i].name);
        h[i].value = arena_str(a, from->headers[i].value);
    }
    *to = (struct outside_answer){.error = arena_str(a, from->error),
                                  .timed_out = from->timed_out,
                                  .status = from->status,
                                  .reason = arena_str(a, from->reason),
                                  .headers = h,
                                  .n_headers = from->n_headers,
                                  .body = arena_str(a, from->body)};
}

void outside_addresses_copy(struct arena *a, const struct outside_addresses *from,
                            struct outside_addresses *to)
{
    struct str *texts = arena_array(a, struct str, from->n + 1);
    for (size_t i = 0; i < from->n; i++) {
        texts[i] = arena_str(a, from->texts[i]);
    }
    *to = (struct outside_addresses){
        .error = arena_str(a, from->error), .texts = texts, .n = from->n};
}

struct str send_header(const struct outside_answer *w, const char *lower_name)
{
    for (size_t i = 0; i < w->n_headers; i++) {
        if (str_is(w->headers[i].name, lower_name)) {
            return w->headers[i].value;
        }
    }
    return STR_EMPTY;
}

bool send_status_cacheable(int status)
{
    static const int good[] = {200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (good[i] == status) {
            return true;
        }
    }
    return false;
}

static bool is_json(struct str type)
{
    struct str media = str_trim(str_split(&type, ';'));
    return str_starts_nocase(media, S("application/")) &&
           (str_eq_nocase(media, S("application/json")) ||
            (media.n > 5 && str_eq_nocase(str_sub(media, media.n - 5, media.n), S("+json"))));
}

static bool is_yaml(struct str type)
{
    return str_find(type, S("application/yaml")) != STR_NPOS ||
           str_find(type, S("application/x-yaml")) != STR_NPOS;
}

/* A body that does not decode is null, whatever its type promised. */
static struct val body_value(struct arena *a, const struct send_options *o,
                             const struct outside_answer *w)
{
    struct str type = send_header(w, "content-type");
    struct val v;
    if (o->force_json || is_json(type)) {
        return failed(val_from_json(a, w->body, &v)) ? VAL_NULL : v;
    }
    if (o->force_yaml || is_yaml(type)) {
        return failed(val_from_yaml(a, w->body, &v)) ? VAL_NULL : v;
    }
    return VAL_NULL;
}

static struct val headers_value(struct arena *a, const struct outside_answer *w)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < w->n_headers; i++) {
        struct vlist values = {.a = a};
        bool first = true;
        for (size_t k = 0; k < w->n_headers; k++) {
            if (str_eq(w->headers[k].name, w->headers[i].name)) {
                first = first && (k >= i);
                vlist_add(&values, val_str(a, w->headers[k].value));
            }
        }
        if (first) {
            vlist_add2(&l, val_str(a, w->headers[i].name), vlist_array(&values));
        }
    }
    return vlist_object(&l);
}

struct val send_answer_value(struct arena *a, const struct send_options *o,
                             const struct outside_answer *w)
{
    struct vlist l = {.a = a};
    struct str status = arena_printf(a, "%d %.*s", w->status, STR_FMT(w->reason));
    vlist_put(&l, "status", val_str(a, status));
    vlist_put(&l, "status_code", val_int(a, w->status));
    vlist_put(&l, "body", body_value(a, o, w));
    vlist_put(&l, "raw_body", val_str(a, w->body));
    vlist_put(&l, "headers", headers_value(a, w));
    return vlist_object(&l);
}

/* ---- freshness ---- */

/* Thu, 01 Jan 1970 00:00:00 GMT (RFC 9110 section 5.6.7, the preferred form). */
static bool parse_date(struct str s, int64_t *ns)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t day, year, hour, minute, second;
    if (s.n != 29 || !str_ends(s, S(" GMT")) || s.p[3] != ',') {
        return false;
    }
    const struct {
        size_t at, n;
        uint64_t *out;
    } fields[] = {{5, 2, &day}, {12, 4, &year}, {17, 2, &hour}, {20, 2, &minute}, {23, 2, &second}};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        uint64_t v = 0;
        for (size_t k = 0; k < fields[i].n; k++) {
            char c = s.p[fields[i].at + k];
            if (c < '0' || c > '9') {
                return false;
            }
            v = v * 10 + (uint64_t)(c - '0');
        }
        *fields[i].out = v;
    }
    size_t month = str_find(str_of(months), str_sub(s, 8, 11));
    if (month == STR_NPOS || month % 3 != 0 || day < 1 || day > 31 || year < 1970 || year > 2200) {
        return false;
    }
    int64_t days = days_from_civil((int64_t)year, (unsigned)(month / 3 + 1), (unsigned)day);
    *ns = (days * 86400 + (int64_t)(hour * 3600 + minute * 60 + second)) * NS_PER_S;
    return true;
}

/* The value of a directive of Cache-Control; false when it is not there. */
static bool directive(const struct outside_answer *w, const char *name, struct str *value)
{
    struct str rest = send_header(w, "cache-control");
    bool found = false;
    while (rest.p != NULL && rest.n > 0) {
        struct str part = str_trim(str_split(&rest, ','));
        size_t eq = str_find_char(part, '=');
        if (str_is(str_trim(str_sub(part, 0, eq)), name)) {
            *value = eq == STR_NPOS ? STR_EMPTY : str_sub(part, eq + 1, part.n);
            found = true;
        }
    }
    return found;
}

bool send_may_store(const struct outside_answer *w)
{
    struct str unused;
    return !directive(w, "no-store", &unused);
}

bool send_expiry(const struct outside_answer *w, int64_t *expires_ns)
{
    struct str age;
    uint64_t seconds;
    int64_t date;
    if (!directive(w, "max-age", &age)) {
        if (!parse_date(send_header(w, "expires"), expires_ns)) {
            *expires_ns = 0;
        }
        return true;
    }
    if (!parse_date(send_header(w, "date"), &date)) {
        return false;
    }
    struct err e = str_to_u64(age, &seconds);
    if (e.code == ERR_RANGE) {
        seconds = INT32_MAX;
    } else if (failed(e)) {
        return false;
    }
    *expires_ns = date + (int64_t)MIN(seconds, (uint64_t)INT32_MAX) * NS_PER_S;
    return true;
}
