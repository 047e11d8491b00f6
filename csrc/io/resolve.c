// resolve.c - getaddrinfo() on internal threads, for tasklets.
//
// The threads are those of base/lookup.h, which explains why they are not libuv's. Each
// look-up is a request of the thread's loop, which reports it when it is over.
#include "io/resolve.h"
#include "base/lookup.h"
#include "base/preflight.h"

// The maximum length of a host name in DNS, in bytes. A longer name has no address.
enum { MAX_NAME = 255 };

struct tl_resolve {
    struct tl_uv_request request;
    struct tl_lookup lookup;
    struct addrinfo *next; // the next answer for tl_resolve_next()
};

static void
resolve_free(struct tl_uv_request *request)
{
    struct tl_resolve *resolve = TL_CONTAINER(request, struct tl_resolve, request);
    tl_lookup_fini(&resolve->lookup);
    PyMem_RawFree(resolve);
}

static void
resolved(struct tl_lookup *lookup)
{
    tl_uv_loop_announce(&TL_CONTAINER(lookup, struct tl_resolve, lookup)->request);
}

static void
cancel_lookup(struct tl_uv_request *request)
{
    tl_lookup_cancel(&TL_CONTAINER(request, struct tl_resolve, request)->lookup);
}

// Whether host cannot be a name. Bytes that are not ASCII must be refused here: some
// systems take them for UTF-8 and look up a different name.
static bool
is_impossible(const char *host)
{
    size_t n = 0;
    for (; host[n] != '\0' && n <= MAX_NAME; n++) {
        if (host[n] & 0x80) {
            return true;
        }
    }
    return n == 0 || n > MAX_NAME;
}

// The status of questions that need no look-up: one of EAI_..., or 0.
static int
quick_status(const char *host, const char *port, const struct tl_resolve_hints *hints)
{
#ifdef AI_IDN
    // The names are in ASCII already.
    if (hints->flags & (AI_IDN | AI_CANONIDN)) {
        return EAI_BADFLAGS;
    }
#endif
    (void)hints;
    if ((host == NULL && port == NULL) || (host != NULL && is_impossible(host))) {
        return EAI_NONAME;
    }
    return 0;
}

static struct tl_resolve *
resolve_new(const char *host, const char *port, const struct tl_resolve_hints *hints)
{
    struct tl_resolve *resolve =
        tl_uv_request_new(sizeof *resolve, &tl_uv_request_address, resolve_free);
    if (resolve == NULL) {
        return NULL;
    }
    struct addrinfo wanted = {.ai_family = hints->family,
                              .ai_socktype = hints->type,
                              .ai_protocol = hints->proto,
                              .ai_flags = hints->flags};
    resolve->request.cancel = cancel_lookup;
    resolve->lookup.over = resolved;
    if (tl_lookup_init(&resolve->lookup, host, port, &wanted) != 0) {
        tl_uv_request_unref(&resolve->request);
        PyErr_NoMemory();
        return NULL;
    }
    return resolve;
}

// The maximum number of look-ups at a time: half the number of libuv's threads, which
// is libuv's own limit.
static int
max_lookups(void)
{
    return (tl_preflight_pool_size() + 1) / 2;
}

struct tl_resolve *
tl_resolve_do(struct tl_sched *s, const char *host, const char *port,
              const struct tl_resolve_hints *hints, tl_deadline deadline)
{
    struct tl_uv_loop *loop = tl_uv_request_prepare(s, deadline);
    struct tl_resolve *resolve = loop == NULL ? NULL : resolve_new(host, port, hints);
    if (resolve == NULL) {
        return NULL;
    }
    resolve->lookup.status = quick_status(host, port, hints);
    if (resolve->lookup.status != 0) {
        return resolve;
    }
    tl_uv_loop_begun(loop, &resolve->request); // first: the thread may be done at once
    int error = tl_lookup_submit(&resolve->lookup, max_lookups());
    if (error != 0) {
        resolve->lookup.status = EAI_SYSTEM;
        resolve->lookup.error = error;
        tl_uv_loop_over(&resolve->request);
        return resolve;
    }
    if (tl_uv_request_wait(s, &resolve->request, deadline) < 0) {
        tl_uv_request_unref(&resolve->request);
        return NULL;
    }
    resolve->next = resolve->lookup.answers;
    return resolve;
}

void
tl_resolve_free(struct tl_resolve *resolve)
{
    tl_uv_request_unref(&resolve->request);
}

int
tl_resolve_status(struct tl_resolve *resolve, int *error)
{
    *error = resolve->lookup.error;
    return resolve->lookup.status;
}

bool
tl_resolve_next(struct tl_resolve *resolve, struct tl_resolve_answer *answer)
{
    const struct addrinfo *i = resolve->next;
    if (i == NULL) {
        return false;
    }
    *answer = (struct tl_resolve_answer){.family = i->ai_family,
                                         .type = i->ai_socktype,
                                         .proto = i->ai_protocol,
                                         .name = i->ai_canonname,
                                         .address = i->ai_addr,
                                         .length = i->ai_addrlen};
    resolve->next = i->ai_next;
    return true;
}
