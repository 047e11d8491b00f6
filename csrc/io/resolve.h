// resolve.h - getaddrinfo() on internal threads, for tasklets.
#ifndef TL_RESOLVE_H
#define TL_RESOLVE_H

#include "io/uv_request.h"

struct tl_resolve;

// As in struct addrinfo.
struct tl_resolve_hints {
    int family, type, proto, flags;
};

// One of the answers.
struct tl_resolve_answer {
    int family, type, proto;
    const char *name; // canonical, or NULL
    const void *address;
    size_t length; // of address
};

// Look up host and port, either of which may be NULL, and wait for the answers until
// deadline. Returns what the caller must free by tl_resolve_free(), or NULL with an
// exception set.
// Switch: yes.
struct tl_resolve *tl_resolve_do(struct tl_sched *s, const char *host, const char *port,
                                 const struct tl_resolve_hints *hints,
                                 tl_deadline deadline);

void tl_resolve_free(struct tl_resolve *resolve);

// The status: 0 or one of EAI_...; with EAI_SYSTEM *error is the errno.
int tl_resolve_status(struct tl_resolve *resolve, int *error);

// Fill in the next answer. Returns false at the end.
bool tl_resolve_next(struct tl_resolve *resolve, struct tl_resolve_answer *answer);

#endif // TL_RESOLVE_H
