#include "uids.h"

#include <stdlib.h>

enum { UID_SLOTS = UIDS_KEPT * 2 };

static uint64_t *uid_slot(const struct uids *u, uint64_t key)
{
    size_t i = key % UID_SLOTS;
    while (u->table[i] != 0 && u->table[i] != key) {
        i = (i + 1) % UID_SLOTS;
    }
    return &u->table[i];
}

/* Linear probing needs the entries behind a hole moved up, or they are not found again. */
void uids_remove(struct uids *u, uint64_t key)
{
    key = key != 0 ? key : 1; /* 0 marks a free slot */
    size_t i = (size_t)(uid_slot(u, key) - u->table);
    if (u->table[i] != key) {
        return;
    }
    u->table[i] = 0;
    for (size_t j = (i + 1) % UID_SLOTS; u->table[j] != 0; j = (j + 1) % UID_SLOTS) {
        uint64_t moved = u->table[j];
        u->table[j] = 0;
        *uid_slot(u, moved) = moved;
    }
}

bool uids_add(struct uids *u, uint64_t key)
{
    key = key != 0 ? key : 1;
    uint64_t *slot = uid_slot(u, key);
    if (*slot == key) {
        return false;
    }
    uint64_t *oldest = &u->ring[u->n++ % UIDS_KEPT];
    *slot = key;
    if (*oldest != 0) {
        uids_remove(u, *oldest);
    }
    *oldest = key;
    return true;
}

void uids_undo(struct uids *u, uint64_t key)
{
    u->n--;
    uids_remove(u, key);
    u->ring[u->n % UIDS_KEPT] = 0;
}

void uids_init(struct uids *u)
{
    *u = (struct uids){calloc(UIDS_KEPT, sizeof(uint64_t)), calloc(UID_SLOTS, sizeof(uint64_t)), 0};
    BUG_ON(u->ring == NULL || u->table == NULL);
}

void uids_release(struct uids *u)
{
    free(u->ring);
    free(u->table);
}
