#include "telemetry.h"

#include "lib/base/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

static struct metric *first, **last = &first;
static int statm_fd = -1;
static int64_t start_s;

/* Upper bounds of the histogram's buckets; the last one is +Inf. */
static const int64_t bounds_ns[METRIC_BUCKETS - 1] = {50000,     100000,     250000,     500000,
                                                      1000000,   2500000,    5000000,    10000000,
                                                      100000000, 1000000000, 10000000000};

void metrics_init(void)
{
    start_s = clock_wall_s();
    if (statm_fd < 0) {
        statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    }
}

void metric_register(struct metric *m)
{
    if (!m->registered) {
        m->registered = true;
        *last = m;
        last = &m->next;
    }
}

void metric_add(struct metric *m, uint64_t n)
{
    metric_register(m);
    m->count += n;
}

void metric_set(struct metric *m, int64_t v)
{
    metric_register(m);
    m->value = v;
}

void metric_observe(struct metric *m, int64_t ns)
{
    size_t i = 0;
    metric_register(m);
    while (i < ARRAY_LEN(bounds_ns) && ns > bounds_ns[i]) {
        i++;
    }
    m->bucket[i]++;
    m->count++;
    m->value += ns;
}

static void put_seconds(struct buf *out, int64_t ns)
{
    buf_printf(out, "%" PRId64 ".%09" PRId64, ns / NS_PER_S, ns % NS_PER_S);
}

/* Label values are escaped as the text format asks: backslash, quote, line feed. */
static void put_label_value(struct buf *out, const char *v)
{
    for (; *v != '\0'; v++) {
        if (*v == '\\' || *v == '"') {
            buf_putc(out, '\\');
        }
        if (*v == '\n') {
            buf_puts(out, S("\\n"));
        } else {
            buf_putc(out, *v);
        }
    }
}

static void put_label(struct buf *out, const struct metric *m, const char *before)
{
    if (m->label != NULL) {
        buf_printf(out, "%s%s=\"", before, m->label);
        put_label_value(out, m->label_value);
        buf_putc(out, '"');
    }
}

static void put_name(struct buf *out, const struct metric *m, const char *suffix)
{
    buf_printf(out, "%s%s", m->name, suffix);
    if (m->label != NULL) {
        put_label(out, m, "{");
        buf_putc(out, '}');
    }
    buf_putc(out, ' ');
}

static void put_histogram(struct buf *out, const struct metric *m)
{
    uint64_t below = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        below += m->bucket[i];
        buf_printf(out, "%s_bucket{le=\"", m->name);
        if (i < ARRAY_LEN(bounds_ns)) {
            put_seconds(out, bounds_ns[i]);
        } else {
            buf_puts(out, S("+Inf"));
        }
        buf_putc(out, '"');
        put_label(out, m, ",");
        buf_printf(out, "} %" PRIu64 "\n", below);
    }
    put_name(out, m, "_sum");
    put_seconds(out, m->value);
    buf_putc(out, '\n');
    put_name(out, m, "_count");
    buf_printf(out, "%" PRIu64 "\n", m->count);
}

static void put_metric(struct buf *out, const struct metric *m)
{
    if (m->kind == METRIC_KIND_HISTOGRAM) {
        put_histogram(out, m);
        return;
    }
    put_name(out, m, "");
    if (m->kind == METRIC_KIND_COUNTER) {
        buf_printf(out, "%" PRIu64 "\n", m->count);
    } else {
        buf_printf(out, "%" PRId64 "\n", m->value);
    }
}

static bool is_first_of_name(const struct metric *m)
{
    for (const struct metric *o = first; o != m; o = o->next) {
        if (strcmp(o->name, m->name) == 0) {
            return false;
        }
    }
    return true;
}

static void put_family(struct buf *out, const struct metric *head)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", head->name, head->help, head->name,
               kinds[head->kind]);
    for (const struct metric *m = head; m != NULL; m = m->next) {
        if (strcmp(m->name, head->name) == 0) {
            put_metric(out, m);
        }
    }
}

/* Second number of statm: resident pages. The descriptor was opened before the sandbox. */
static uint64_t resident_bytes(void)
{
    char text[128];
    ssize_t n = statm_fd < 0 ? -1 : pread(statm_fd, text, sizeof(text), 0);
    uint64_t pages = 0;
    if (n <= 0) {
        return 0;
    }
    struct str rest = str_n(text, (size_t)n);
    str_split(&rest, ' ');
    if (failed(str_to_u64(str_split(&rest, ' '), &pages))) {
        return 0;
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_process(struct buf *out)
{
    struct rusage use = {0};
    getrusage(RUSAGE_SELF, &use);
    int64_t cpu_us = (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * INT64_C(1000000) +
                     use.ru_utime.tv_usec + use.ru_stime.tv_usec;
    buf_puts(out, S("# HELP process_cpu_seconds_total User and system time.\n"
                    "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total "));
    put_seconds(out, cpu_us * 1000);
    buf_printf(out,
               "\n# HELP process_resident_memory_bytes Resident memory.\n"
               "# TYPE process_resident_memory_bytes gauge\n"
               "process_resident_memory_bytes %" PRIu64 "\n"
               "# HELP process_start_time_seconds Start of the process.\n"
               "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %" PRId64 "\n",
               resident_bytes(), start_s);
}

void metrics_write(struct buf *out)
{
    for (const struct metric *m = first; m != NULL; m = m->next) {
        if (is_first_of_name(m)) {
            put_family(out, m);
        }
    }
    put_process(out);
}
