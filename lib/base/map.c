#include "map.h"

#include <stdlib.h>

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_release(struct map *m)
{
    for (size_t i = 0; i < m->n_entries; i++) {
        free((void *)(uintptr_t)m->entries[i].key.p);
    }
    free(m->entries);
    free(m->slots);
    map_init(m);
}

/* The slot that holds `key`, or the free slot where it would go. */
static size_t find_slot(const struct map *m, struct str key, uint64_t hash)
{
    size_t mask = m->n_slots - 1;
    size_t i = (size_t)hash & mask;
    for (;; i = (i + 1) & mask) {
        uint32_t at = m->slots[i];
        if (at == 0) {
            return i;
        }
        const struct map_entry *e = &m->entries[at - 1];
        if (e->hash == hash && str_eq(e->key, key)) {
            return i;
        }
    }
}

void *map_get(const struct map *m, struct str key)
{
    if (m->live == 0) {
        return NULL;
    }
    uint32_t at = m->slots[find_slot(m, key, str_hash(key))];
    return at != 0 ? m->entries[at - 1].value : NULL;
}

static void *must_alloc(void *p)
{
    if (p == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    return p;
}

/* Drops deleted entries and builds slots for twice what is left. */
static void rebuild(struct map *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_entries; i++) {
        if (m->entries[i].value == NULL) {
            free((void *)(uintptr_t)m->entries[i].key.p);
        } else {
            m->entries[kept++] = m->entries[i];
        }
    }
    m->n_entries = kept;
    m->cap_entries = MAX((size_t)8, kept * 2);
    m->entries = must_alloc(realloc(m->entries, m->cap_entries * sizeof(*m->entries)));
    size_t slots = 16;
    while (slots < m->cap_entries * 2) {
        slots *= 2;
    }
    BUG_ON(m->cap_entries >= UINT32_MAX);
    free(m->slots);
    m->slots = must_alloc(calloc(slots, sizeof(*m->slots)));
    m->n_slots = slots;
    for (size_t i = 0; i < kept; i++) {
        m->slots[find_slot(m, m->entries[i].key, m->entries[i].hash)] = (uint32_t)i + 1;
    }
}

void *map_set(struct map *m, struct str key, void *value)
{
    BUG_ON(value == NULL);
    if (m->n_entries == m->cap_entries) {
        rebuild(m);
    }
    uint64_t hash = str_hash(key);
    size_t slot = find_slot(m, key, hash);
    if (m->slots[slot] != 0) {
        struct map_entry *e = &m->entries[m->slots[slot] - 1];
        void *old = e->value;
        m->live += old == NULL;
        e->value = value;
        return old;
    }
    char *copy = must_alloc(malloc(key.n + 1));
    if (key.n > 0) {
        memcpy(copy, key.p, key.n);
    }
    copy[key.n] = '\0';
    m->entries[m->n_entries++] = (struct map_entry){{copy, key.n}, value, hash};
    m->slots[slot] = (uint32_t)m->n_entries;
    m->live++;
    return NULL;
}

void *map_del(struct map *m, struct str key)
{
    if (m->live == 0) {
        return NULL;
    }
    uint32_t at = m->slots[find_slot(m, key, str_hash(key))];
    if (at == 0) {
        return NULL;
    }
    void *old = m->entries[at - 1].value;
    m->entries[at - 1].value = NULL;
    m->live -= old != NULL;
    return old;
}

struct map_entry *map_at(const struct map *m, size_t *cursor)
{
    while (*cursor < m->n_entries) {
        struct map_entry *e = &m->entries[(*cursor)++];
        if (e->value != NULL) {
            return e;
        }
    }
    return NULL;
}
