#include "incident.h"

#include "lib/base/clock.h"

#include <stdarg.h>

const char *const step_names[STEPS] = {"identify", "revoke",   "rotate", "list",
                                       "tighten",  "redeploy", "review"};
const char *const step_titles[STEPS] = {
    "Identify tokens, leases, SVIDs and grants",
    "Revoke them",
    "Rotate dynamic credentials",
    "List every action of the identity",
    "Tighten policy and disable the role",
    "Redeploy with a new identity",
    "Review what network and mesh policy limited",
};

int64_t incident_ms(const struct incident *i)
{
    return (clock_mono_ns() - i->began_ns) / NS_PER_MS;
}

void step_begin(struct incident *i, enum step_id id)
{
    struct step *s = &i->steps[id];
    if (s->details == NULL) {
        s->details = json_new_object(i->a);
        s->residual = json_new_array(i->a);
        s->began_ms = incident_ms(i);
    }
}

void step_end(struct incident *i, enum step_id id, bool good)
{
    struct step *s = &i->steps[id];
    s->ended_ms = incident_ms(i);
    s->state = !good ? STEP_FAILED : s->residual->n > 0 ? STEP_PARTIAL : STEP_DONE;
    for (size_t p = 0; p < s->n_probes; p++) {
        if (!s->probes[p].gone) {
            s->state = STEP_FAILED;
        }
    }
    if (i->dry_run) {
        s->state = STEP_PLANNED;
    }
}

void step_note(struct incident *i, enum step_id id, const char *key, struct json *value)
{
    step_begin(i, id);
    json_set(i->a, i->steps[id].details, str_of(key), value);
}

void step_note_str(struct incident *i, enum step_id id, const char *key, struct str value)
{
    step_note(i, id, key, json_new_string(i->a, arena_str(i->a, value)));
}

void step_residual(struct incident *i, enum step_id id, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    step_begin(i, id);
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    json_push(i->a, i->steps[id].residual, json_new_string(i->a, arena_str(i->a, str_of(text))));
}

void step_probe(struct incident *i, enum step_id id, bool gone, struct str what, struct str detail)
{
    struct step *s = &i->steps[id];
    step_begin(i, id);
    if (s->n_probes < PROBES_MAX) {
        s->probes[s->n_probes++] =
            (struct probe){arena_str(i->a, what), arena_str(i->a, detail), gone};
    }
}

struct str join_url(struct incident *i, struct str base, const char *fmt, ...)
{
    char path[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof(path), fmt, args);
    va_end(args);
    return arena_printf(i->a, "%.*s%s", STR_FMT(base), path);
}

bool incident_contained(const struct incident *i)
{
    for (int s = 0; s < STEPS; s++) {
        bool cuts = s == STEP_IDENTIFY || s == STEP_REVOKE || s == STEP_TIGHTEN;
        if (i->steps[s].state == STEP_FAILED && cuts) {
            return false;
        }
    }
    return true;
}
