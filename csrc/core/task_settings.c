// task_settings.c - what a tasklet has set for itself, and its end.
#include "core/task_settings.h"
#include "core/interrupt.h"
#include "core/local.h"
#include "core/scope.h"
#include "cpython/governor.h"
#include "cpython/trace_hooks.h"

void
tl_task_set_atomic(TaskletObject *t, bool flag)
{
    struct tl_sched *s = t->home;
    t->atomic = flag;
    if (s->dead || s->current != t) {
        return; // the switch to t does the rest
    }
    if (s != tl_sched_mine) {
        tl_governor_mark(&s->guard, flag);
    } else if (flag) {
        tl_governor_enter(&s->guard);
    } else {
        tl_governor_leave(&s->guard);
    }
}

TL_COLD void
tl_task_drop_hooks(struct tl_sched *s, TaskletObject *t)
{
    struct tl_trace_hooks *hooks = t->hooks;
    t->hooks = NULL;
    tl_trace_hooks_swap(s->ts, hooks);
    tl_trace_hooks_free(hooks);
}

TL_COLD void
tl_task_clear_settings(struct tl_sched *s, TaskletObject *t)
{
    tl_local_forget(&t->locals);
    if (t->hooks != NULL) {
        tl_task_drop_hooks(s, t);
    }
    if (t->atomic) {
        tl_task_set_atomic(t, false);
    }
    tl_scope_end(t, NULL);
    tl_sched_drop_later(s, tl_interrupt_clear(t));
}
