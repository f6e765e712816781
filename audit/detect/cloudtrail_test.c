/*
 * The spike detection over recorded CloudTrail events of others: attacks that must be found when they happen, and
 * everything else, which must stay quiet.
 */
#include "audit/detect/detect.h"
#include "audit/tlog/files.h"
#include "lib/base/clock.h"
#include "test/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

static int folder = -1;
static struct arena text_arena;

struct result {
    unsigned spikes, others;
    int64_t first_spike_ms;
    struct str who;
};

static void on_finding(void *ctx, const struct finding *f)
{
    struct result *r = ctx;
    if (strcmp(f->rule, "secret-read-spike") != 0) {
        r->others++;
        return;
    }
    if (r->spikes++ == 0) {
        r->first_spike_ms = f->time_ms;
        r->who = arena_str(&text_arena, f->identity);
    }
}

static struct str first_of(const struct json *request)
{
    static const char *const names[] = {"secretId", "name", NULL};
    for (size_t i = 0; names[i] != NULL; i++) {
        struct str s = json_str(json_get(request, names[i]));
        if (s.n > 0) {
            return s;
        }
    }
    const struct json *list = json_get(request, "names");
    return json_is(list, JSON_ARRAY) && list->n > 0 ? json_str(list->items[0]) : STR_EMPTY;
}

/* CloudTrail's words in ours. */
static void translate(const struct json *v, struct event *e)
{
    struct str name = json_str(json_get(v, "eventName"));
    bool reads = str_is(name, "GetSecretValue") || str_is(name, "GetParameter") ||
                 str_is(name, "GetParameters");
    int64_t ns = 0;
    *e = (struct event){.class_uid = 6003, .activity_id = reads ? 2 : 99, .severity = 1};
    assert_ok(clock_parse_rfc3339(json_str(json_get(v, "eventTime")), &ns));
    e->time_ms = ns / NS_PER_MS;
    e->field[EVENT_USER] = json_str(json_path(v, "userIdentity.arn"));
    e->field[EVENT_ACCESSOR] = json_str(json_path(v, "userIdentity.accessKeyId"));
    e->field[EVENT_SOURCE] = json_str(json_get(v, "sourceIPAddress"));
    e->field[EVENT_ACTIVITY] = name;
    e->field[EVENT_OUTCOME] = json_get(v, "errorCode") != NULL ? S("denied") : S("allowed");
    e->field[EVENT_SECRET] = reads ? first_of(json_get(v, "requestParameters")) : STR_EMPTY;
}

static void feed(struct detector *d, uint64_t *index, const struct json *v)
{
    struct event e;
    translate(v, &e);
    detector_feed(d, (*index)++, &e, e.time_ms);
}

static struct result run_array(const char *path)
{
    static const struct expectations nothing = {NULL, 0};
    struct result r = {0};
    struct detector *d = detector_new(&nothing, on_finding, &r);
    struct arena a;
    struct str text;
    struct json *v;
    uint64_t index = 0;
    arena_init(&a, 64 << 20);
    assert_ok(file_read(&a, folder, path, 32 << 20, &text));
    assert_ok(json_parse(&a, text, NULL, &v));
    for (uint32_t i = 0; i < v->n; i++) {
        feed(d, &index, v->items[i]);
    }
    detector_free(d);
    arena_release(&a);
    return r;
}

/* 35 recorded techniques: the one that reads 20 secrets is told of, the others are not. */
static void stratus(void **state)
{
    int fd = openat(folder, "stratus", O_RDONLY | O_DIRECTORY);
    DIR *dir = fdopendir(fd);
    unsigned files = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[512];
        if (!str_ends(str_of(e->d_name), S(".json"))) {
            continue;
        }
        snprintf(path, sizeof(path), "stratus/%s", e->d_name);
        struct result r = run_array(path);
        bool expected = strstr(e->d_name, "secretsmanager-retrieve-secrets") != NULL;
        if ((r.spikes > 0) != expected) {
            fail_msg("%s: %u findings", e->d_name, r.spikes);
        }
        files++;
    }
    closedir(dir);
    assert_true(files >= 35);
}

/* An hour of a whole account with one attack in it: 40 reads at 11:57 by one user. */
static void invictus(void **state)
{
    static const struct expectations nothing = {NULL, 0};
    struct result r = {0};
    struct detector *d = detector_new(&nothing, on_finding, &r);
    struct arena a, one;
    struct str text;
    uint64_t index = 0;
    int64_t from = 0;
    arena_init(&a, 64 << 20);
    arena_init(&one, 16 << 20);
    assert_ok(file_read(&a, folder, "invictus-stratus-2023.ndjson", 32 << 20, &text));
    while (text.n > 0) {
        struct json *v;
        struct str line = str_split(&text, '\n');
        if (line.n > 0) {
            arena_reset(&one);
            assert_ok(json_parse(&one, line, NULL, &v));
            feed(d, &index, v);
        }
    }
    assert_ok(clock_parse_rfc3339(S("2023-07-10T11:57:00Z"), &from));
    print_message("%llu events: %u spikes, %u others; first by %.*s\n", (unsigned long long)index,
                  r.spikes, r.others, STR_FMT(r.who));
    assert_true(r.spikes >= 1 && r.spikes <= 3);
    assert_true(r.first_spike_ms >= from / NS_PER_MS &&
                r.first_spike_ms < from / NS_PER_MS + 60000);
    assert_true(str_find(r.who, S("bert-jan")) != STR_NPOS);
    detector_free(d);
    arena_release(&one);
    arena_release(&a);
}

int main(void)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    char path[512];
    snprintf(path, sizeof(path), "%s/detections", root != NULL ? root : "../shared/conformance");
    folder = open(path, O_RDONLY | O_DIRECTORY);
    if (folder < 0) {
        printf("skipped: suite detections is not at %s\n", path);
        return 77;
    }
    arena_init(&text_arena, 1 << 20);
    const struct CMUnitTest tests[] = {cmocka_unit_test(stratus), cmocka_unit_test(invictus)};
    int bad = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&text_arena);
    close(folder);
    return bad;
}
