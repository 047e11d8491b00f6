// live_counts.c - the counts.
#include "object/live_counts.h"

_Atomic long tl_live[TL_LIVE_KINDS];
