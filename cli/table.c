#include "cli/table.h"

#include <unistd.h>

static const char *color_of(enum unit_state state, bool color)
{
    if (!color) {
        return "";
    }
    switch (state) {
    case UNIT_READY:
        return "\033[32m";
    case UNIT_BACKOFF:
    case UNIT_STOPPED:
        return "\033[31m";
    case UNIT_STARTING:
        break;
    }
    return "\033[33m";
}

static void print_size(FILE *to, uint64_t kb)
{
    if (kb == 0) {
        fprintf(to, " %9s", "-");
    } else {
        fprintf(to, " %6.1f MB", (double)kb / 1024);
    }
}

void table_print_units(FILE *to, const struct unit_status *units, size_t n)
{
    bool color = isatty(fileno(to)) != 0;
    uint64_t rss = 0, pss = 0;
    fprintf(to, "%-12s %7s %6s %-24s %9s %9s  %s\n", "DAEMON", "PID", "UID", "ADDRESS", "PSS",
            "RSS", "HEALTH");
    for (size_t i = 0; i < n; i++) {
        const struct unit_status *u = &units[i];
        rss += u->rss_kb;
        pss += u->pss_kb;
        fprintf(to, "%-12s %7d %6u %-24s", u->name, (int)u->pid, (unsigned)u->uid, u->address);
        print_size(to, u->pss_kb);
        print_size(to, u->rss_kb);
        fprintf(to, "  %s%s%s", color_of(u->state, color), unit_state_name(u->state),
                color ? "\033[0m" : "");
        if (u->ready_ms >= 0) {
            fprintf(to, " in %lld ms", (long long)u->ready_ms);
        }
        fprintf(to, u->restarts > 0 ? ", %u restarts\n" : "\n", u->restarts);
    }
    fprintf(to, "%-52s", "together");
    print_size(to, pss);
    print_size(to, rss);
    fprintf(to, "\n");
}
