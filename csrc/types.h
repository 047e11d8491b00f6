// types.h - the specs that module.c turns into heap types, and the module functions.
#ifndef TL_TYPES_H
#define TL_TYPES_H

#include "state.h"

extern PyType_Spec tl_tasklet_spec;
extern PyType_Spec tl_channel_spec, tl_queue_channel_spec, tl_classic_channel_spec;
extern PyType_Spec tl_bomb_spec, tl_atomic_spec;

extern PyMethodDef tl_functions[];

#endif // TL_TYPES_H
