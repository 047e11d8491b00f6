// rounds.h - the rounds of run(rounds=n): which tasklets have a turn left, and when a
// round is over.
//
// A tasklet has a turn left in a round if it was runnable when the round began and has
// not been entered since, or if it was chosen to run next: by its run(), by a channel's
// preference, by a kill. While rounds are counted the ring keeps these tasklets right
// after the current one, before others that have had their turn or became runnable
// since. So the round is over at the first switch to a tasklet without a turn. A switch
// does not pay for that: turns are counted only when as many tasklets have been entered
// as had a turn when the round began.
#ifndef TL_ROUNDS_H
#define TL_ROUNDS_H

#include "core/run_frame.h"

// A round of frame begins: every tasklet in the ring has a turn.
void tl_rounds_begin(struct tl_sched *s, struct tl_run_frame *frame);

// round_look of frame is reached, and `to` is next. Returns whether the last round is
// over. If another round is, the next one begins.
bool tl_rounds_are_over(struct tl_sched *s, struct tl_run_frame *frame,
                        const TaskletObject *to);

#endif // TL_ROUNDS_H
