#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <uv.h>

// The longest name that libuv takes: longer than any that can be found.
enum { LONGEST = 255 };

struct tl_resolve {
    struct tl_request request;
    uv_getaddrinfo_t uv;
    int status;            // 0 or libuv's
    struct addrinfo *next; // of those still to be told
};

static void
resolve_free(struct tl_request *request)
{
    struct tl_resolve *resolve = TL_CONTAINER(request, struct tl_resolve, request);
    if (request->state == TL_REQUEST_OVER) {
        uv_freeaddrinfo(resolve->uv.addrinfo);
    }
    PyMem_RawFree(resolve);
}

static void
resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *found)
{
    struct tl_resolve *resolve = TL_CONTAINER(uv, struct tl_resolve, uv);
    resolve->status = status;
    resolve->next = found;
    tl_loop_over(&resolve->request);
}

// Whether the system would find nothing by such a name, where libuv would look for
// another, or say something else.
static bool
is_hopeless(const char *host)
{
    size_t n = 0;
    for (; host[n] != '\0' && n <= LONGEST; n++) {
        if (host[n] & 0x80) {
            return true; // it takes this for UTF-8, and translates it
        }
    }
    return n == 0 || n > LONGEST;
}

// What can be told without asking: 0 or libuv's code.
static int
check(const char *host, const char *port, const struct tl_resolve_hints *hints)
{
#ifdef AI_IDN
    // The names are in ASCII already, and libuv ends the process at an error of these.
    if (hints->flags & (AI_IDN | AI_CANONIDN)) {
        return UV_EAI_BADFLAGS;
    }
#endif
    (void)hints;
    if ((host == NULL && port == NULL) || (host != NULL && is_hopeless(host))) {
        return UV_EAI_NONAME;
    }
    return 0;
}

struct tl_resolve *
tl_resolve_do(struct tl_sched *s, const char *host, const char *port,
              const struct tl_resolve_hints *hints, int64_t deadline)
{
    struct tl_loop *loop = tl_request_prepare(s, deadline);
    struct tl_resolve *resolve =
        loop == NULL
            ? NULL
            : tl_request_new(sizeof *resolve, &tl_request_address, resolve_free);
    if (resolve == NULL) {
        return NULL;
    }
    resolve->request.handle = &resolve->uv;
    resolve->status = check(host, port, hints);
    if (resolve->status != 0) {
        return resolve;
    }
    struct addrinfo wanted = {.ai_family = hints->family,
                              .ai_socktype = hints->type,
                              .ai_protocol = hints->proto,
                              .ai_flags = hints->flags};
    int error =
        uv_getaddrinfo(tl_loop_uv(loop), &resolve->uv, resolved, host, port, &wanted);
    if (error != 0) {
        resolve->status = error;
        return resolve;
    }
    if (tl_request_wait(s, loop, &resolve->request, deadline) < 0) {
        tl_request_unref(&resolve->request);
        return NULL;
    }
    return resolve;
}

void
tl_resolve_free(struct tl_resolve *resolve)
{
    tl_request_unref(&resolve->request);
}

int
tl_resolve_status(struct tl_resolve *resolve, int *error)
{
    // What both have, libuv's first.
    static const struct {
        int uv, system;
    } codes[] = {
#ifdef EAI_ADDRFAMILY
        {UV_EAI_ADDRFAMILY, EAI_ADDRFAMILY},
#endif
#ifdef EAI_NODATA
        {UV_EAI_NODATA, EAI_NODATA},
#endif
#ifdef EAI_OVERFLOW
        {UV_EAI_OVERFLOW, EAI_OVERFLOW},
#endif
        {UV_EAI_AGAIN, EAI_AGAIN},
        {UV_EAI_BADFLAGS, EAI_BADFLAGS},
        {UV_EAI_FAIL, EAI_FAIL},
        {UV_EAI_FAMILY, EAI_FAMILY},
        {UV_EAI_MEMORY, EAI_MEMORY},
        {UV_EAI_NONAME, EAI_NONAME},
        {UV_EAI_SERVICE, EAI_SERVICE},
        {UV_EAI_SOCKTYPE, EAI_SOCKTYPE},
    };
    int status = resolve->status;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].uv == status) {
            return codes[i].system;
        }
    }
    *error = -status;
    return status == 0 ? 0 : EAI_SYSTEM;
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
