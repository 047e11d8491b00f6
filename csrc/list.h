// list.h - an intrusive, circular, doubly linked list.
#ifndef TL_LIST_H
#define TL_LIST_H

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

// Put link just before place, which makes it the last of the list headed by place.
static inline void
tl_link_insert_before(struct tl_link *link, struct tl_link *place)
{
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
}

static inline void
tl_link_remove(struct tl_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    tl_link_init(link);
}

#endif // TL_LIST_H
