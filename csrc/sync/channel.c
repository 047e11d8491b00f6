// channel.c - sending and receiving: a fast path for the usual case, a slow one for the
// rest.
//
// send_or_receive() does what needs no callback, buffer, trap or other thread.
// Everything else goes through operate(), which may run Python code between its steps
// and therefore looks again for a partner before it waits.
#include "core/errors.h"
#include "core/stress_points.h"
#include "core/thread.h"
#include "sync/channel_buffer.h"

// The direction of an operation: the sign of its waiters in ch->waiting.
enum { SEND = 1, RECEIVE = -1 };

// An operation on the slow path, on the stack of the tasklet that performs it.
struct operation {
    ChannelObject *ch;
    struct tl_sched *s;
    PyObject *value; // borrowed; NULL for a receive
    int dir;
    const struct tl_wait_kind *kind; // for its wait; NULL: it must not wait
    tl_deadline deadline;
};

// ---- the queue

void
tl_channel_count_outside(TaskletObject *t, int source, int n)
{
    struct tl_sched *s = t->home;
    if (source == TL_FROM_WORKERS) {
        s->awaited += n;
        s->worker_waits += n;
    } else if (source == TL_FROM_THREADS || source == TL_FROM_HANDLERS) {
        s->maybe_external += n;
    }
}

static void
sender_joined(struct tl_wait *wait)
{
    tl_task_of_wait(wait)->sending = SEND;
    ((ChannelObject *)wait->on)->waiting++;
    tl_channel_check((ChannelObject *)wait->on);
}

static void
sender_left(struct tl_wait *wait)
{
    tl_task_of_wait(wait)->sending = 0;
    ((ChannelObject *)wait->on)->waiting--;
    tl_channel_check((ChannelObject *)wait->on);
}

static void
receiver_joined(struct tl_wait *wait)
{
    TaskletObject *t = tl_task_of_wait(wait);
    ChannelObject *ch = (ChannelObject *)wait->on;
    t->sending = RECEIVE;
    ch->waiting--;
    if (TL_UNLIKELY(ch->source != TL_FROM_TASKLETS)) {
        tl_channel_count_outside(t, ch->source, 1);
    }
    tl_channel_check(ch);
}

static void
receiver_left(struct tl_wait *wait)
{
    TaskletObject *t = tl_task_of_wait(wait);
    ChannelObject *ch = (ChannelObject *)wait->on;
    t->sending = 0;
    ch->waiting++;
    if (TL_UNLIKELY(ch->source != TL_FROM_TASKLETS)) {
        tl_channel_count_outside(t, ch->source, -1);
    }
    tl_channel_check(ch);
}

static const struct tl_wait_kind send_wait = {
    .verb = "send to", .joined = sender_joined, .left = sender_left};
static bool
receiver_is_exempt(const struct tl_wait *wait)
{
    return ((const ChannelObject *)wait->on)->source == TL_FROM_HANDLERS;
}

static const struct tl_wait_kind receive_wait = {.verb = "receive from",
                                                 .joined = receiver_joined,
                                                 .left = receiver_left,
                                                 .is_exempt = receiver_is_exempt};
// In __next__: close(wake=True) ends the iteration.
static const struct tl_wait_kind next_wait = {
    .verb = "receive from", .joined = receiver_joined, .left = receiver_left};

// ---- partners in select()

// The first case of a select() in the opposite direction, or NULL.
static struct tl_case *
case_for(ChannelObject *ch, int dir)
{
    struct tl_link *list = dir == SEND ? &ch->receivers : &ch->senders;
    return tl_link_is_single(list) ? NULL
                                   : TL_CONTAINER(list->next, struct tl_case, link);
}

// End the select() of one's tasklet with this case, and value (NULL: None) as its
// result. Returns the tasklet's old tempval, which the caller must drop.
static PyObject *
finish_select(struct tl_case *one, PyObject *value)
{
    TaskletObject *t = one->of->who;
    one->of->chosen = one - one->of->cases;
    PyObject *old = tl_task_swap(t, Py_XNewRef(value));
    t->handed = one->value == NULL ? (PyObject *)one->channel : NULL;
    tl_task_end_wait(t);
    tl_sched_ready(t);
    return old;
}

static PyObject *
pair_with_case(const struct operation *op, struct tl_case *one)
{
    PyObject *taken = one->value != NULL ? Py_NewRef(one->value) : NULL;
    Py_XDECREF(finish_select(one, op->value));
    if (op->s->ndrop > 0) {
        tl_sched_drop_now(op->s);
    }
    if (taken == NULL) {
        Py_RETURN_NONE;
    }
    return tl_bomb_check(op->s->state, taken) ? tl_bomb_raise(taken) : taken;
}

// The first tasklet that waits in the opposite direction, or NULL.
static TaskletObject *
partner_of(const struct operation *op)
{
    return op->ch->waiting * op->dir < 0 ? tl_task_of(op->ch->queue.next) : NULL;
}

// ---- stored values

static bool
has_room(const ChannelObject *ch)
{
    return ch->maxsize <= 0 || ch->count < ch->maxsize;
}

// Whether the operation needs the buffer and no partner.
static bool
uses_buffer(const struct operation *op)
{
    const ChannelObject *ch = op->ch;
    return ch->buffered &&
           (op->dir == RECEIVE ? ch->count > 0
                               : ch->is_queue && ch->waiting >= 0 && has_room(ch) &&
                                     tl_link_is_single(&ch->receivers));
}

// ---- errors

static PyObject *
raise_closed(const struct operation *op)
{
    struct tl_state *state = op->s->state;
    PyErr_SetString(op->ch->classic ? PyExc_ValueError : state->channel_closed,
                    "Send/receive operation on a closed channel");
    return NULL;
}

static PyObject *
raise_block_trap(const struct operation *op)
{
    struct tl_state *state = op->s->state;
    PyErr_SetString(op->ch->classic ? PyExc_RuntimeError : state->block_trap_error,
                    "this tasklet does not like to be blocked.");
    return NULL;
}

// ---- the channel callback

static int
tell_callback(const struct operation *op, bool will_block)
{
    struct tl_sched *s = op->s;
    PyObject *callback = Py_NewRef(s->state->channel_callback);
    PyObject *args[] = {(PyObject *)op->ch, (PyObject *)s->current,
                        PyLong_FromLong(op->dir > 0), PyLong_FromLong(will_block)};
    PyObject *result = NULL;
    if (args[2] != NULL && args[3] != NULL) {
        s->in_channel_callback = true;
        s->no_switch++;
        result = PyObject_Vectorcall(callback, args, 4, NULL);
        s->no_switch--;
        s->in_channel_callback = false;
    }
    Py_XDECREF(result);
    Py_XDECREF(args[2]);
    Py_XDECREF(args[3]);
    Py_DECREF(callback);
    return result == NULL ? -1 : 0;
}

// Call the callback before the operation, unless the partner belongs to another thread:
// then it is called afterwards.
static int
tell_before(const struct operation *op)
{
    TaskletObject *partner = partner_of(op), *me = op->s->current;
    if (partner != NULL && partner->home != op->s) {
        return 0;
    }
    bool runs = me->place == TL_RUNNABLE; // not in a signal handler during its own wait
    if (runs) {
        Py_XSETREF(me->tempval, Py_XNewRef(op->value));
    }
    int result = tell_callback(op, partner == NULL && !uses_buffer(op));
    if (runs) {
        Py_CLEAR(me->tempval);
    }
    return result;
}

// ---- the operation

// Give the partner value, take it out of the queue and make it runnable. The caller
// goes on, and gets the partner's tempval.
static PyObject *
resume_partner_later(struct tl_sched *s, TaskletObject *partner, PyObject *value)
{
    PyObject *taken = tl_task_swap(partner, Py_XNewRef(value));
    partner->handed = value != NULL ? partner->wait.on : NULL;
    tl_task_end_wait(partner);
    tl_sched_ready(partner);
    if (TL_UNLIKELY(s->ndrop > 0)) {
        tl_sched_drop_now(s);
    }
    if (taken == NULL) {
        Py_RETURN_NONE;
    }
    return TL_UNLIKELY(tl_bomb_check(s->state, taken)) ? tl_bomb_raise(taken) : taken;
}

// Swap the two values, and take the partner out of the queue. handed says where the
// value goes back to if the receiver is killed before it runs.
static inline void
exchange(struct tl_sched *s, TaskletObject *partner, PyObject *value)
{
    PyObject *taken = tl_task_swap(partner, Py_XNewRef(value));
    tl_sched_drop_later(s, tl_task_swap(s->current, taken));
    if (value != NULL || taken != NULL) {
        (value != NULL ? partner : s->current)->handed = partner->wait.on;
    }
    tl_task_end_wait(partner);
}

TL_COLD static PyObject *
meet_other_thread(const struct operation *op, TaskletObject *partner)
{
    struct tl_sched *s = op->s;
    if (partner->home->dead) {
        PyErr_SetString(PyExc_RuntimeError, "tasklet has no thread");
        return NULL;
    }
    PyObject *result = resume_partner_later(s, partner, op->value);
    if (s->state->channel_callback != NULL && !s->in_channel_callback) {
        PyObject *exc = PyErr_GetRaisedException();
        if (tell_callback(op, false) < 0) {
            tl_errors_unraisable(s->state, (PyObject *)op->ch); // too late to refuse
        }
        PyErr_SetRaisedException(exc);
    }
    return result;
}

// Perform the operation with a waiting partner. Returns NULL without an exception set
// if Python code has run, and the partner may be gone.
static PyObject *
pair_with(const struct operation *op, TaskletObject *partner)
{
    struct tl_sched *s = op->s;
    ChannelObject *ch = op->ch;
    if (TL_UNLIKELY(partner->home != s)) {
        return meet_other_thread(op, partner);
    }
    bool held = tl_sched_is_held(s);
    bool all = ch->schedule_all && !held;
    bool prefer = ch->preference == -op->dir && !held;
    if (!all && !prefer) {
        return resume_partner_later(s, partner, op->value);
    }
    TaskletObject *next = tl_task_next(s->current);
    if (prefer && !all) {
        next = partner;
    } else if (next == s->current) {
        next = partner;
    }
    if (TL_UNLIKELY(tl_sched_prepare(s, next) != 0)) {
        return NULL; // an error, or a stack was made: look again
    }
    exchange(s, partner, op->value);
    if (all) {
        tl_ring_append(s, partner);
    } else {
        tl_ring_behind_head(s, partner);
        s->hands_over = s->limit == 0;
    }
    return tl_sched_rotate(s);
}

static PyObject *
use_buffer(const struct operation *op)
{
    ChannelObject *ch = op->ch;
    if (op->dir == SEND) {
        if (ch->closing) {
            return raise_closed(op);
        }
        int result = tl_items_push(ch, op->value);
        tl_channel_check(ch);
        return result < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *value = tl_items_pop(ch);
    if (!ch->is_queue || !has_room(ch)) {
        // More values than maxsize, some of which came back: no slot is free for a
        // sender.
    } else if (ch->waiting > 0) {
        // The first sender's value takes the free slot.
        TaskletObject *sender = tl_task_of(ch->queue.next);
        PyObject *stored = tl_task_swap(sender, NULL);
        (void)tl_items_push(ch, stored != NULL ? stored : Py_None); // a slot is free
        tl_sched_drop_later(op->s, stored);
        tl_task_end_wait(sender);
        tl_sched_ready(sender);
    } else if (!tl_link_is_single(&ch->senders)) {
        struct tl_case *one = case_for(ch, RECEIVE);
        (void)tl_items_push(ch, one->value); // a slot is free
        tl_sched_drop_later(op->s, finish_select(one, NULL));
    }
    tl_channel_check(ch);
    if (op->s->ndrop > 0) {
        tl_sched_drop_now(op->s);
    }
    return tl_bomb_check(op->s->state, value) ? tl_bomb_raise(value) : value;
}

static bool
receive_has_come(const struct tl_leave *how)
{
    return tl_channel_is_ready((ChannelObject *)how->on, false);
}

static bool
send_has_come(const struct tl_leave *how)
{
    return tl_channel_is_ready((ChannelObject *)how->on, true);
}

// Try once. If Python code has run, and the operation can be done now, sets *came and
// returns a dummy: the caller must try again.
static PyObject *
try_or_wait(const struct operation *op, bool *came)
{
    ChannelObject *ch = op->ch;
    struct tl_sched *s = op->s;
    if (ch->buffered && uses_buffer(op)) {
        return use_buffer(op);
    }
    for (;;) {
        TaskletObject *partner = partner_of(op);
        if (partner == NULL) {
            break;
        }
        PyObject *result = pair_with(op, partner);
        if (result != NULL || PyErr_Occurred() || tl_sched_check_thrown(s) < 0) {
            return result;
        }
    }
    struct tl_case *one = case_for(ch, op->dir);
    if (one != NULL) {
        return pair_with_case(op, one);
    }
    if (op->kind == NULL && !ch->closing) {
        return NULL;
    }
    if (op->kind != NULL && s->current->block_trap) {
        return raise_block_trap(op);
    }
    if (ch->closing) {
        return raise_closed(op);
    }
    int source = op->dir == RECEIVE ? ch->source : TL_FROM_TASKLETS;
    struct tl_leave how = {.kind = op->kind,
                           .on = (PyObject *)ch,
                           .queue = &ch->queue,
                           .value = op->value,
                           .deadline = op->deadline,
                           .comes = source == TL_FROM_WORKERS,
                           .maybe_external = source == TL_FROM_THREADS,
                           .exempt = source == TL_FROM_HANDLERS,
                           .last_check =
                               op->dir == SEND ? send_has_come : receive_has_come,
                           .came = came,
                           .classic = ch->classic};
    return tl_sched_leave(s, &how);
}

static PyObject *
operate(const struct operation *op)
{
    struct tl_sched *s = op->s;
    if (TL_UNLIKELY(s->in_channel_callback)) {
        PyErr_SetString(PyExc_RuntimeError, "Recursive channel call due to callbacks!");
        return NULL;
    }
    if (TL_UNLIKELY(tl_sched_check_thrown(s) < 0)) {
        return NULL;
    }
    if (TL_UNLIKELY(s->state->channel_callback != NULL)) {
        if (tell_before(op) < 0 || tl_sched_check_thrown(s) < 0) {
            return NULL;
        }
    }
    PyObject *result;
    bool came;
    do {
        came = false;
        result = try_or_wait(op, &came);
        if (came) {
            Py_DECREF(result);
        }
    } while (came);
    return result;
}

// The slow path: callbacks, traps, other threads, an empty ring.
TL_COLD static PyObject *
operate_slowly(ChannelObject *ch, int dir, PyObject *value,
               const struct tl_wait_kind *kind, tl_deadline deadline)
{
    struct operation op = {.ch = ch,
                           .s = tl_sched_for((PyObject *)ch),
                           .value = value,
                           .dir = dir,
                           .kind = kind,
                           .deadline = deadline};
    return op.s == NULL ? NULL : operate(&op);
}

// Switch to a partner of this thread, which the channel prefers. It has been waiting,
// so it has a stack.
static inline PyObject *
switch_to_partner(struct tl_sched *s, TaskletObject *partner, PyObject *value)
{
    exchange(s, partner, value);
    tl_ring_behind_head(s, partner);
    s->hands_over = s->limit == 0;
    return tl_sched_rotate(s);
}

// Send or receive. If a partner of this thread waits, exchange values with it; the
// preference says who runs first. Without a partner, wait. Everything unusual (a
// callback, a buffer, select(), other threads, traps, deadlines) goes the slow way.
static inline PyObject *
send_or_receive(ChannelObject *ch, int dir, PyObject *value,
                const struct tl_wait_kind *kind, tl_deadline deadline)
{
    struct tl_sched *s = tl_sched_mine;
    if (TL_LIKELY(s != NULL && s->state->channel_callback == NULL &&
                  !(ch->buffered || ch->selected) && !tl_takes_detour())) {
        if (ch->waiting * dir < 0) {
            TaskletObject *partner = tl_task_of(ch->queue.next);
            if (partner->home == s && !ch->schedule_all && !s->current->thrown &&
                (s->no_switch | *s->collecting) == 0) {
                if (ch->preference != -dir) {
                    return resume_partner_later(s, partner, value);
                }
                if (s->trap == 0) {
                    return switch_to_partner(s, partner, value);
                }
            }
        } else if (tl_sched_is_plain(s) && kind != NULL &&
                   !(ch->closing | s->current->block_trap) &&
                   deadline == TL_DEADLINE_NEVER) {
            return tl_sched_wait(s, kind, (PyObject *)ch, &ch->queue, value);
        }
    }
    return operate_slowly(ch, dir, value, kind, deadline);
}

PyObject *
tl_channel_send(ChannelObject *ch, PyObject *value, tl_deadline deadline)
{
    return send_or_receive(ch, SEND, value, &send_wait, deadline);
}

PyObject *
tl_channel_receive(ChannelObject *ch, tl_deadline deadline)
{
    return send_or_receive(ch, RECEIVE, NULL, &receive_wait, deadline);
}

PyObject *
tl_channel_next(ChannelObject *ch)
{
    if (ch->closing && tl_channel_balance(ch) <= 0) {
        return NULL;
    }
    return send_or_receive(ch, RECEIVE, NULL, &next_wait, TL_DEADLINE_NEVER);
}

int
tl_channel_try_send(ChannelObject *ch, PyObject *value)
{
    PyObject *result = send_or_receive(ch, SEND, value, NULL, TL_DEADLINE_NEVER);
    Py_XDECREF(result);
    return result != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

PyObject *
tl_channel_try_receive(ChannelObject *ch)
{
    return send_or_receive(ch, RECEIVE, NULL, NULL, TL_DEADLINE_NEVER);
}

// ---- values that are not sent by a tasklet

static void
drop(PyObject *object)
{
    if (tl_sched_mine != NULL) {
        tl_sched_drop_later(tl_sched_mine, object);
    } else {
        Py_XDECREF(object);
    }
}

// Hand value (stolen) to the first waiting receiver, if there is one.
static bool
hand_over(ChannelObject *ch, PyObject *value)
{
    TaskletObject *t = ch->waiting < 0 ? tl_task_of(ch->queue.next) : NULL;
    struct tl_case *one = case_for(ch, SEND);
    if (t != NULL && !t->home->dead) {
        drop(tl_task_swap(t, value));
        t->handed = (PyObject *)ch;
        tl_task_end_wait(t);
        tl_sched_ready(t);
    } else if (one != NULL) {
        drop(finish_select(one, value));
        drop(value);
    } else {
        return false;
    }
    return true;
}

void
tl_channel_take_back(PyObject *object, PyObject *value)
{
    ChannelObject *ch = (ChannelObject *)object;
    if (ch->classic) {
        drop(value); // Stackless loses it, and its balance shows that
    } else if (hand_over(ch, value)) {
        return;
    } else if (tl_items_reserve(ch) < 0) {
        if (tl_sched_mine != NULL) {
            PyErr_Clear();
            tl_sched_report_lost(tl_sched_mine);
        } else {
            PyErr_WriteUnraisable(object);
        }
        drop(value);
    } else {
        tl_items_put_back(ch, value);
        tl_channel_check(ch);
    }
}

void
tl_channel_put(ChannelObject *ch, PyObject *value)
{
    if (!hand_over(ch, Py_NewRef(value))) {
        (void)tl_items_push(ch, value); // a slot was reserved
        Py_DECREF(value);
        tl_channel_check(ch);
    }
}

void
tl_channel_deliver(ChannelObject *ch, PyObject *value)
{
    struct tl_state *state = tl_state_of_object((PyObject *)ch);
    tl_channel_put(ch, value);
    if (TL_LIKELY(state->channel_callback == NULL)) {
        return;
    }
    struct operation op = {
        .ch = ch, .s = tl_sched_get(state), .value = value, .dir = SEND};
    if (op.s == NULL || (!op.s->in_channel_callback && tell_callback(&op, false) < 0)) {
        tl_errors_unraisable(state, (PyObject *)ch);
    }
}

// ---- closing

int
tl_channel_close(ChannelObject *ch, bool wake)
{
    struct tl_state *state = tl_state_of_object((PyObject *)ch);
    PyObject *closed = NULL, *stop = NULL, *text = NULL;
    if (wake) {
        text = PyUnicode_FromString("Send/receive operation on a closed channel");
        if (text == NULL) {
            return -1;
        }
        closed = tl_bomb_new(state, Py_NewRef(state->channel_closed), text, NULL);
        stop = tl_bomb_new(state, Py_NewRef(PyExc_StopIteration), NULL, NULL);
        if (closed == NULL || stop == NULL) {
            Py_XDECREF(closed);
            Py_XDECREF(stop);
            return -1;
        }
    }
    ch->closing = true;
    // Dropping a receiver's tempval may run Python code, which may add receivers: wake
    // at most as many as there are now.
    for (Py_ssize_t left = ch->waiting; wake && left < 0 && ch->waiting < 0; left++) {
        TaskletObject *t = tl_task_of(ch->queue.next);
        PyObject *bomb = t->wait.kind == &next_wait ? stop : closed;
        PyObject *old = tl_task_swap(t, Py_NewRef(bomb));
        tl_task_end_wait(t);
        tl_sched_ready(t);
        Py_XDECREF(old);
    }
    for (Py_ssize_t left = ch->selected; wake && left > 0; left--) {
        struct tl_case *one = case_for(ch, SEND);
        if (one == NULL) {
            break;
        }
        TaskletObject *t = one->of->who;
        PyObject *old = finish_select(one, closed);
        t->handed = NULL; // the error does not go back to the channel
        Py_XDECREF(old);
    }
    Py_XDECREF(closed);
    Py_XDECREF(stop);
    return 0;
}

void
tl_case_unlink(struct tl_case *one)
{
    tl_link_remove(&one->link);
    one->channel->selected--;
    one->of->linked--;
    tl_selection_check(one->of);
    tl_channel_check(one->channel);
}

static void
clear_cases(struct tl_link *list)
{
    while (!tl_link_is_single(list)) {
        struct tl_case *one = TL_CONTAINER(list->next, struct tl_case, link);
        TaskletObject *t = one->of->who;
        if (one->of->linked > 1) {
            tl_case_unlink(one);
        } else {
            tl_task_end_wait(t);
        }
        Py_DECREF(t); // if it waits in no other channel, its finalizer kills it
    }
}

void
tl_channel_clear(ChannelObject *ch)
{
    while (!tl_link_is_single(&ch->queue)) {
        TaskletObject *t = tl_task_of(ch->queue.next);
        tl_task_end_wait(t);
        Py_DECREF(t); // its finalizer kills it
    }
    clear_cases(&ch->receivers);
    clear_cases(&ch->senders);
    while (ch->count > 0) {
        Py_DECREF(tl_items_pop(ch));
    }
    tl_channel_check(ch); // an operation under way may rely on the capacity
}
