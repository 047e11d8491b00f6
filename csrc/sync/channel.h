// channel.h - a sender and a receiver meet in a channel, and a value passes from one to
// the other.
//
// Without a buffer, a value passes only when both are there: the first to arrive waits
// in queue, the second exchanges the values (tempval) and makes the first runnable.
// Which of them runs next is the channel's preference. A QueueChannel stores up to
// maxsize values. A tasklet in select() waits in several channels at once, by one case
// in each.
#ifndef TL_CHANNEL_H
#define TL_CHANNEL_H

#include "core/sched.h"

// One operation that a select() offers: in one channel, to send or to receive.
struct tl_selection;
struct tl_case {
    struct tl_link link; // in channel->receivers or senders
    struct tl_selection *of;
    struct ChannelObject *channel;
    PyObject *value; // borrowed: to be sent; NULL: receive
};

// A tasklet that waits in select().
//
// Invariants
// I1: the tasklet waits in queue, and has one reference for each case that is linked.
// I2: linked counts these cases; each is in the list of its channel.
struct tl_selection {
    TaskletObject *who;   // the waiting tasklet
    struct tl_link queue; // contains who alone
    Py_ssize_t count, linked;
    unsigned char source; // enum tl_source: the maximum of the channels to receive from
    Py_ssize_t chosen;    // result: the index of the case that was done
    struct tl_case cases[];
};

// Who sends into a channel. Other than TASKLETS only for internal channels that stand
// for futures, events and calls on workers; it decides whether a wait to receive can be
// a deadlock. In order: with several sources, the maximum counts.
enum tl_source {
    TL_FROM_TASKLETS,
    TL_FROM_THREADS,  // a future: a thread without tasklets may complete it
    TL_FROM_HANDLERS, // an event: such a thread, or a signal handler, may set it
    TL_FROM_WORKERS   // a call on a worker, which is sure to end
};

// Invariants
// I1: all waiters in queue wait in one direction; waiting counts them, senders
//     positive, receivers negative.
// I2: items is a circular buffer of room slots, count of them in use, from first on.
//     Except in a QueueChannel they are values that came back from killed receivers,
//     and buffered is set iff there are any.
// I3: in a QueueChannel receivers wait only while count is 0, except for receivers of
//     threads that are gone; senders wait only while count is maxsize or, with values
//     that came back from killed receivers, more.
// I4: selected counts the cases in receivers and senders.
// I5: source does not change while a receiver waits.
typedef struct ChannelObject {
    PyObject_HEAD
    struct tl_link queue;     // tasklets that wait to send or to receive
    struct tl_link receivers; // cases of select() that receive
    struct tl_link senders;   // cases of select() that send
    Py_ssize_t selected;
    PyObject *weakrefs;
    Py_ssize_t waiting;
    signed char preference; // runs at once: -1 the receiver, 1 the sender, 0 neither
    bool schedule_all;      // a switch to the next in the ring after each exchange
    bool closing;           // no operation may wait; the buffer can still be received
    bool buffered;          // an operation has to look at items
    bool is_queue;          // a QueueChannel, where sends store values
    bool classic;           // errors are those of Stackless
    unsigned char source;   // enum tl_source
    PyObject *name;         // a str, for repr(); NULL: none
    PyObject **items;
    Py_ssize_t first, count, room;
    Py_ssize_t maxsize; // capacity of a QueueChannel; <= 0: no limit
#ifndef NDEBUG
    size_t changes; // since the queue and the cases were last walked over
#endif
} ChannelObject;

// Locks: the GIL.
TL_CHECKER(tl_channel_check, ChannelObject *ch);
TL_CHECKER(tl_selection_check, const struct tl_selection *sel);

// Send or receive, waiting until deadline. Return a new reference, or NULL with an
// exception set; a send returns what its receiver left in tempval, normally None.
// Switch: may.
PyObject *tl_channel_send(ChannelObject *ch, PyObject *value, tl_deadline deadline);
PyObject *tl_channel_receive(ChannelObject *ch, tl_deadline deadline);

// As tl_channel_receive() without a deadline, but NULL without an exception if the
// channel is closed and empty.
// Switch: may.
PyObject *tl_channel_next(ChannelObject *ch);

// t begins (n = 1) or ends (n = -1) a wait for something that source completes: count
// it in t's scheduler, for deadlock detection and run(wait=True).
void tl_channel_count_outside(TaskletObject *t, int source, int n);

// Take a case out of its channel's list.
void tl_case_unlink(struct tl_case *one);

// Send or receive without waiting. try_send returns 1 if delivered, 0 if not, or -1
// with an exception set; try_receive returns NULL without an exception if there is no
// value.
// Switch: may.
int tl_channel_try_send(ChannelObject *ch, PyObject *value);
PyObject *tl_channel_try_receive(ChannelObject *ch);

// Whether an operation would not wait now: it can be done, or raises.
static inline bool
tl_channel_is_ready(const ChannelObject *ch, bool sends)
{
    if (sends) {
        bool room = ch->maxsize <= 0 || ch->count < ch->maxsize;
        return (ch->waiting < 0) | ch->closing |
               (ch->is_queue && ch->waiting == 0 && room) |
               (ch->selected > 0 && !tl_link_is_single(&ch->receivers));
    }
    return (ch->waiting > 0) | (ch->count > 0) | ch->closing |
           (ch->selected > 0 && !tl_link_is_single(&ch->senders));
}

// Hand value to the first waiting receiver of a QueueChannel, or store it in a slot
// that was reserved. Does not call into Python.
// Thread: any.
void tl_channel_put(ChannelObject *ch, PyObject *value);

// The same, and then call the channel callback, whose error goes to sys.unraisablehook.
// May run Python code.
// Thread: any.
void tl_channel_deliver(ChannelObject *ch, PyObject *value);

// Stackless's balance: waiting senders and stored values positive, receivers negative.
static inline Py_ssize_t
tl_channel_balance(const ChannelObject *ch)
{
    return ch->waiting + ch->count;
}

// Close the channel: no operation may wait any more. With wake, waiting receivers get
// ChannelClosed, or the end of their iteration. Returns 0, or -1 with MemoryError set
// and no receiver woken. May run Python code.
int tl_channel_close(ChannelObject *ch, bool wake);

// A receiver of ch was handed value (stolen) and killed before it ran: give value to
// the next receiver, or put it at the head of the buffer. Does not call into Python.
void tl_channel_take_back(PyObject *ch, PyObject *value);

// The channel goes away, or the collector clears it: end all waits and drop all values.
// The memory of the buffer stays. May run Python code.
void tl_channel_clear(ChannelObject *ch);

#endif // TL_CHANNEL_H
