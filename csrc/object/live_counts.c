// live_counts.c - the counts.
#include "object/live_counts.h"

_Atomic long tl_live[TL_LIVE_KINDS];

const char *const tl_live_names[TL_LIVE_KINDS] = {
#define TL_COUNT(kind, name) name,
#include "object/types.def"
};
