// check.h - assertions of the invariants that are numbered beside the structures.
//
// Every structure with numbered invariants has a checker, tl_<noun>_check(), that is
// called after each change that other code can see. In a release build (NDEBUG) it is
// empty.
//
// At each change a checker looks only at the changed element, its neighbours, and a
// count against an empty list. It walks over the whole structure once in as many
// changes as the walk has steps, see tl_check_is_due(), so that programs do not become
// quadratic.
//
// Checkers only read, do not allocate and do not call into Python. Each is called with
// the lock that guards its structure, which is the GIL unless another one is named.
#ifndef TL_CHECK_H
#define TL_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#ifdef NDEBUG

// Declare a checker: TL_CHECKER(tl_timer_heap_check, struct tl_timer_heap *heap);
#define TL_CHECKER(name, ...)            \
    static inline void name(__VA_ARGS__) \
    {                                    \
    }                                    \
    _Static_assert(true, "takes the semicolon")

#define TL_CHECK(number, noun, object, condition) ((void)0)

#else

#include <stdio.h>
#include <stdlib.h>

#define TL_CHECKER(name, ...) void name(__VA_ARGS__)

// Thread: any.  Locks: any.
__attribute__((noreturn, cold)) static inline void
tl_check_failed(const char *number, const char *noun, const void *object,
                const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s of %s at %p violated: %s\n", file, line, number, noun,
            object, condition);
    fflush(stderr);
    abort();
}

// Assert an invariant of object by its number: TL_CHECK("I1", "tl_timer_heap", heap,
// ...);
#define TL_CHECK(number, noun, object, condition) \
    ((condition)                                  \
         ? (void)0                                \
         : tl_check_failed(number, noun, object, #condition, __FILE__, __LINE__))

// Whether it is time to walk over a structure of length elements: once in that many
// changes, so that each change costs about one step. *changes counts them.
static inline bool
tl_check_is_due(size_t *changes, size_t length)
{
    bool is_due = ++*changes > length;
    *changes = is_due ? 0 : *changes;
    return is_due;
}

#endif // NDEBUG

#endif // TL_CHECK_H
