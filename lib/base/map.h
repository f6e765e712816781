/*
 * map: string keys to pointers, in insertion order, for tables that strangers may fill.
 *
 * Open addressing under a keyed hash. Keys are copied; values belong to the caller. Iteration order
 * is insertion order with deleted entries skipped:
 *
 *     for (size_t i = 0; (e = map_at(&m, &i)) != NULL; ) use(e->key, e->value);
 */
#ifndef SEXTANT_MAP_H
#define SEXTANT_MAP_H

#include "str.h"

struct map_entry {
    struct str key;
    void *value; /* NULL marks a deleted entry; so a stored value is never NULL */
    uint64_t hash;
};

struct map {
    struct map_entry *entries; /* insertion order */
    uint32_t *slots;           /* entry index + 1; 0 is free */
    size_t n_entries, cap_entries, n_slots;
    size_t live;
};

void map_init(struct map *m);
void map_release(struct map *m);

void *map_get(const struct map *m, struct str key);        /* NULL when absent */
void *map_set(struct map *m, struct str key, void *value); /* returns the value it replaced */
void *map_del(struct map *m, struct str key); /* returns the value it removed, or NULL */
struct map_entry *map_at(const struct map *m, size_t *cursor); /* next live entry, or NULL */

static inline size_t map_len(const struct map *m)
{
    return m->live;
}

#endif
