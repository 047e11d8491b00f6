// scope_check.c - whether the blocks of a tasklet are as scope.h says.
#include "core/scope.h"
#include "core/timer.h"

#ifndef NDEBUG
// The number of nested blocks that a check looks at. A program that recurses without
// end nests many more, and a check of all at each change would take too long.
enum { MAX_CHECKED = 32 };

void
tl_scope_check_all(const TaskletObject *t)
{
    unsigned shields = 0;
    int coming = 0, depth = 0;
    const struct tl_scope *i = t->scopes;
    for (; i != NULL && depth < MAX_CHECKED; i = i->outer, depth++) {
        TL_CHECK("I1", "tl_scope", i, i->who == t && i->state != TL_SCOPE_IDLE);
        TL_CHECK("I2", "tl_scope", i,
                 !tl_timer_is_set(&i->timer) ||
                     (i->state == TL_SCOPE_ACTIVE &&
                      tl_timer_heap_has(&t->home->timers, &i->timer)));
        coming += i->state == TL_SCOPE_COMING;
        shields += i->kind == TL_SCOPE_SHIELD && i->state == TL_SCOPE_ACTIVE;
    }
    TL_CHECK("I3", "tl_scope of the tasklet", t,
             coming <= (t->tempval == t->home->state->interrupted));
    TL_CHECK("I4", "tl_scope of the tasklet", t,
             i == NULL ? t->shields == shields : t->shields >= shields);
}

void
tl_scope_check(const struct tl_scope *scope)
{
    TL_CHECK("I1", "tl_scope", scope,
             (scope->who == NULL) == (scope->state == TL_SCOPE_IDLE));
    if (scope->who == NULL) {
        TL_CHECK("I2", "tl_scope", scope, !tl_timer_is_set(&scope->timer));
        return;
    }
    const struct tl_scope *i = scope->who->scopes;
    for (int depth = 0; i != scope && depth < MAX_CHECKED; depth++) {
        TL_CHECK("I1", "tl_scope", scope, i != NULL);
        i = i->outer;
    }
    tl_scope_check_all(scope->who);
}
#endif
