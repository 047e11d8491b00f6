// sleep.c - a tasklet waits for a time.
#include "core/sleep.h"

static PyObject *
end_sleep(struct tl_wait *Py_UNUSED(wait))
{
    return NULL;
}

static const struct tl_wait_kind sleep_wait = {.verb = "sleeps",
                                               .on_timeout = end_sleep};

PyObject *
tl_sleep(struct tl_sched *s, tl_deadline deadline)
{
    struct tl_leave how = {
        .kind = &sleep_wait, .queue = &s->sleepers, .deadline = deadline};
    return tl_sched_leave(s, &how);
}
