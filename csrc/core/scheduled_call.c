// scheduled_call.c - call_soon() and call_later().
#include "core/scheduled_call.h"
#include "core/timer.h"

#ifndef NDEBUG
// Locks: the GIL.
static void
check_call(const ScheduledCallObject *handle)
{
    bool waits = tl_timer_is_set(&handle->timer);
    TL_CHECK("I1", "handle", handle, waits == !tl_link_is_single(&handle->link));
    TL_CHECK("I1", "handle", handle, !waits || Py_REFCNT(handle) > 0);
    TL_CHECK("I2", "handle", handle, !handle->cancelled || handle->who == NULL);
}
#else
TL_CHECKER(check_call, const ScheduledCallObject *handle);
#endif

static void
make_runnable(struct tl_timer *timer)
{
    ScheduledCallObject *handle = TL_CONTAINER(timer, ScheduledCallObject, timer);
    TaskletObject *t = handle->who;
    tl_link_remove(&handle->link);
    check_call(handle);
    if (t->life == TL_NEW && t->place == TL_FLOATING) {
        tl_sched_ready((TaskletObject *)Py_NewRef(t));
    } // else the program has found it through the collector, and changed it
    tl_sched_drop_later(t->home, (PyObject *)handle);
}

int
tl_scheduled_call_start(ScheduledCallObject *handle, int64_t when)
{
    struct tl_sched *s = handle->who->home;
    handle->when = when;
    if (when == 0) {
        tl_sched_ready((TaskletObject *)Py_NewRef(handle->who));
        return 0;
    }
    if (tl_timer_reserve(s) < 0) {
        return -1;
    }
    Py_INCREF(handle);
    tl_link_insert_before(&handle->link, &s->later);
    handle->timer.fire = make_runnable;
    tl_timer_set(s, &handle->timer, when);
    check_call(handle);
    return 0;
}

void
tl_scheduled_call_cancel(ScheduledCallObject *handle)
{
    TaskletObject *t = handle->who;
    bool waits = tl_timer_is_set(&handle->timer);
    if (waits) {
        tl_timer_cancel(t->home, &handle->timer);
        tl_link_remove(&handle->link);
    }
    if (t != NULL && t->life == TL_NEW && t->home->target != t) {
        handle->who = NULL;
        handle->cancelled = true;
        if (t->place == TL_RUNNABLE) {
            tl_ring_remove(t->home, t);
            Py_DECREF(t);
        }
        Py_DECREF(t);
    } // else it is running, has run, or is about to run
    check_call(handle);
    if (waits) {
        Py_DECREF(handle); // the reference of s->later; the caller has another
    }
}

void
tl_scheduled_call_forget_all(struct tl_sched *s)
{
    while (!tl_link_is_single(&s->later)) {
        ScheduledCallObject *handle =
            TL_CONTAINER(s->later.next, ScheduledCallObject, link);
        Py_INCREF(handle);
        tl_scheduled_call_cancel(handle);
        Py_DECREF(handle);
    }
}
