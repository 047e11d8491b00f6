// budget.h - a tasklet that overruns a hard budget is stopped in the middle of a slice.
// run_frame.h has the table of budgets.
#ifndef TL_BUDGET_H
#define TL_BUDGET_H

#include "core/sched.h"

// tl_run_frame_init(); and from then on an event of tl_ticks stops tasklets.
void tl_budget_init(struct tl_sched *s);

// What kept a hard budget from stopping the current tasklet may be over: stop it now if
// one is used up. Returns 0 when it goes on, or -1 with an exception set.
// Switch: may.
int tl_budget_released(struct tl_sched *s);

#endif // TL_BUDGET_H
