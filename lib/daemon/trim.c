/*
 * Memory that only the start needed is given back: pages of code and constants of the program and its
 * libraries, which come again from the page cache when they are needed, and free pieces of the heap. Only
 * segments that are never written are touched, so nothing that was relocated is lost.
 */
#include "daemon_priv.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

static int drop_segments(struct dl_phdr_info *info, size_t size, void *ctx)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) {
            continue;
        }
        uintptr_t from = ((uintptr_t)info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        uintptr_t to = (uintptr_t)info->dlpi_addr + segment->p_vaddr + segment->p_memsz;
        madvise((void *)from, to - from, MADV_DONTNEED); /* advice: a refusal costs nothing */
    }
    return 0;
}

void daemon_trim(void)
{
    malloc_trim(0);
    dl_iterate_phdr(drop_segments, NULL);
}
