// rounds.h - the rounds of run(rounds=n): which tasklets have a turn left, and when a
// round is over.
//
// A tasklet has a turn left in a round if it was runnable when the round began and has not
// been entered since, or if it was chosen to run next: by its run(), by a channel's
// preference, by a kill. While rounds are counted the ring is kept so that all of these
// come right after the current tasklet, before those that have had their turn and those
// that became runnable since. So the round is over at the first switch to one without a
// turn. No switch pays for that: they are looked at when as many tasklets were entered as
// had a turn when the round began.
#ifndef TL_ROUNDS_H
#define TL_ROUNDS_H

#include "core/run_frame.h"

// A round of watch begins, with all that are in the ring.
void tl_rounds_begin(struct tl_sched *s, struct tl_run_frame *watch);

// round_look of watch is reached, and to is next. Returns whether its last round is over;
// if another one is, the next begins.
bool tl_rounds_are_over(struct tl_sched *s, struct tl_run_frame *watch,
                        const TaskletObject *to);

// t leaves the ring. If it had a turn left, a round may be over earlier.
void tl_rounds_lose_turn(struct tl_sched *s, const TaskletObject *t);

// Move t within the ring, to before place.
void tl_rounds_put_before(struct tl_sched *s, TaskletObject *t, TaskletObject *place);

// How many places at the end of the ring a tasklet without a turn may take: at least one.
Py_ssize_t tl_rounds_places(struct tl_sched *s);

#endif // TL_ROUNDS_H
