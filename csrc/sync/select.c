// select.c - select(): wait for the first of several channel operations.
//
// The tasklet waits in the queue of its selection, which contains nothing else, and has
// a case in each channel. The partner that chooses a case ends the wait; all other
// cases are unlinked with it.
#include "sync/select.h"
#include "core/errors.h"

// ---- the wait

static struct tl_selection *
selection_of(const struct tl_wait *wait)
{
    return TL_CONTAINER(wait->queue, struct tl_selection, queue);
}

static void
selection_joined(struct tl_wait *wait)
{
    struct tl_selection *sel = selection_of(wait);
    sel->who = tl_task_of_wait(wait);
    for (Py_ssize_t i = 0; i < sel->count; i++) {
        struct tl_case *one = &sel->cases[i];
        ChannelObject *ch = one->channel;
        tl_link_insert_before(&one->link, one->value ? &ch->senders : &ch->receivers);
        ch->selected++;
        if (i > 0) {
            Py_INCREF(sel->who); // the queue's own reference counts for the first
        }
    }
    sel->linked = sel->count;
    tl_channel_count_outside(sel->who, sel->source, 1);
    tl_selection_check(sel);
}

static void
selection_left(struct tl_wait *wait)
{
    struct tl_selection *sel = selection_of(wait);
    tl_channel_count_outside(sel->who, sel->source, -1);
    for (Py_ssize_t i = 0; i < sel->count; i++) {
        if (!tl_link_is_single(&sel->cases[i].link)) {
            tl_case_unlink(&sel->cases[i]);
            if (sel->linked > 0) {
                Py_DECREF(sel->who); // the last one goes with the queue's
            }
        }
    }
}

static bool
selection_is_exempt(const struct tl_wait *wait)
{
    return selection_of(wait)->source == TL_FROM_HANDLERS;
}

static const struct tl_wait_kind selection_wait = {
    .verb = "waits for the first of several channels",
    .joined = selection_joined,
    .left = selection_left,
    .is_exempt = selection_is_exempt};

// The index at which the search begins: at random, so that no channel starves another.
static Py_ssize_t
pick(struct tl_sched *s, Py_ssize_t count)
{
    s->chance = s->chance * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (Py_ssize_t)(((s->chance >> 32) * (uint64_t)count) >> 32);
}

// Do an operation that can be done now. Returns its index, or TL_SELECT_...
static Py_ssize_t
do_now(struct tl_sched *s, CaseObject *const *cases, Py_ssize_t count, PyObject **value)
{
    Py_ssize_t i = pick(s, count);
    for (Py_ssize_t left = count; left > 0; left--, i = i + 1 < count ? i + 1 : 0) {
        CaseObject *one = cases[i];
        if (!tl_channel_is_ready(one->channel, one->value != NULL)) {
            continue;
        }
        if (one->value == NULL) {
            *value = tl_channel_try_receive(one->channel);
        } else if (tl_channel_try_send(one->channel, one->value) > 0) {
            *value = Py_NewRef(Py_None);
        }
        if (*value != NULL) {
            return i;
        }
        if (PyErr_Occurred()) {
            return TL_SELECT_FAILED;
        }
    }
    return TL_SELECT_NONE;
}

static struct tl_selection *
selection_new(CaseObject *const *cases, Py_ssize_t count)
{
    struct tl_selection *sel =
        PyMem_Malloc(sizeof *sel + (size_t)count * sizeof sel->cases[0]);
    if (sel == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    *sel = (struct tl_selection){.count = count};
    tl_link_init(&sel->queue);
    for (Py_ssize_t i = 0; i < count; i++) {
        ChannelObject *ch = cases[i]->channel;
        sel->cases[i] =
            (struct tl_case){.of = sel, .channel = ch, .value = cases[i]->value};
        if (cases[i]->value == NULL && ch->source > sel->source) {
            sel->source = ch->source;
        }
        tl_link_init(&sel->cases[i].link);
    }
    return sel;
}

static bool
any_is_ready(const struct tl_leave *how)
{
    const struct tl_selection *sel =
        TL_CONTAINER(how->queue, struct tl_selection, queue);
    for (Py_ssize_t i = 0; i < sel->count; i++) {
        if (tl_channel_is_ready(sel->cases[i].channel, sel->cases[i].value != NULL)) {
            return true;
        }
    }
    return false;
}

Py_ssize_t
tl_select(struct tl_sched *s, CaseObject *const *cases, Py_ssize_t count,
          tl_deadline deadline, bool no_wait, PyObject **value)
{
    for (;;) {
        *value = NULL;
        Py_ssize_t done = count > 0 ? do_now(s, cases, count, value) : TL_SELECT_NONE;
        if (done != TL_SELECT_NONE || no_wait) {
            return done;
        }
        if (tl_errors_block_trap(s)) {
            return TL_SELECT_FAILED;
        }
        struct tl_selection *sel = selection_new(cases, count);
        if (sel == NULL) {
            return TL_SELECT_FAILED;
        }
        bool came = false;
        struct tl_leave how = {.kind = &selection_wait,
                               .queue = &sel->queue,
                               .deadline = deadline,
                               .comes = sel->source == TL_FROM_WORKERS,
                               .maybe_external = sel->source == TL_FROM_THREADS,
                               .exempt = sel->source == TL_FROM_HANDLERS,
                               .last_check = any_is_ready,
                               .came = &came};
        *value = tl_sched_leave(s, &how);
        done = *value != NULL ? sel->chosen : TL_SELECT_FAILED;
        PyMem_Free(sel);
        if (!came) {
            return done;
        }
        Py_DECREF(*value); // Python code has run, and a channel is ready: look again
    }
}
