// list.h - an intrusive, circular, doubly linked list.
#ifndef TL_LIST_H
#define TL_LIST_H

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>

// Invariants
// I1: a link that is in no list points at itself.
// I2: for every link in a list, link->next->prev == link->prev->next == link.
struct tl_link {
    struct tl_link *prev, *next;
};

#define TL_CONTAINER(ptr, type, member) \
    ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void
tl_link_init(struct tl_link *link)
{
    link->prev = link;
    link->next = link;
}

static inline bool
tl_link_is_single(const struct tl_link *link)
{
    return link->next == link;
}

#ifndef NDEBUG
// Locks: those of the list.
static inline void
tl_link_check(const struct tl_link *link)
{
    TL_CHECK("I1", "tl_link", link, (link->next == link) == (link->prev == link));
    TL_CHECK("I2", "tl_link", link,
             link->next->prev == link && link->prev->next == link);
}

// Whether link may be in the list headed by head: false if a few steps in both
// directions return to link without passing head.
static inline bool
tl_link_may_be_in(const struct tl_link *link, const struct tl_link *head)
{
    enum { STEPS = 8 };
    const struct tl_link *next = link->next, *prev = link->prev;
    for (int i = 0; i < STEPS && next != head && prev != head; i++) {
        if (next == link || prev == link) {
            return false;
        }
        next = next->next;
        prev = prev->prev;
    }
    return true;
}
#else
TL_CHECKER(tl_link_check, const struct tl_link *link);
#endif

// Insert link just before place. If place is a list's head, link becomes the last
// element.
static inline void
tl_link_insert_before(struct tl_link *link, struct tl_link *place)
{
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
    tl_link_check(link);
}

// Remove link from its list, if it is in one.
static inline void
tl_link_remove(struct tl_link *link)
{
    tl_link_check(link);
    link->prev->next = link->next;
    link->next->prev = link->prev;
    tl_link_init(link);
}

#endif // TL_LIST_H
