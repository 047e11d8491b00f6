// types.h - the type specs and function tables from which module.c builds the module.
#ifndef TL_TYPES_H
#define TL_TYPES_H

#include "object/module_state.h"

// Of each type: its spec, and what finishes it, which returns 0, or -1 with an
// exception set.
#define TL_TYPE(noun, name, kind, step, remedy) \
    extern PyType_Spec tl_##noun##_spec;        \
    int tl_##step##_ready(PyTypeObject *type);
#define TL_SUBTYPE(noun, name, base, step) TL_TYPE(noun, name, NONE, step, NULL)
#include "object/types.def"

// Create the types, in the order of the table, and add them to mod. Returns 0, or -1
// with an exception set.
int tl_types_add(PyObject *mod, struct tl_state *state);

// Part of the module's traverse.
int tl_types_visit(struct tl_state *state, visitproc visit, void *arg);

// Methods and functions. The classic ones behave as in Stackless Python, and have the
// prefix stackless_ in the module; those of the scheduler have the prefix scheduler_.
extern PyMethodDef tl_functions[], tl_settings[], tl_timer_functions[];
extern PyMethodDef tl_timeout_functions[], tl_scheduled_call_functions[];
extern PyMethodDef tl_select_functions[], tl_file_functions[], tl_resolve_functions[];
extern PyMethodDef tl_statistics_functions[], tl_waiting_functions[];
extern PyMethodDef tl_worker_functions[], tl_setting_functions[], tl_kill_functions[];
extern PyMethodDef tl_survey_functions[], tl_net_functions[], tl_watch_functions[];
extern PyMethodDef tl_socket_functions[];
extern PyMethodDef tl_outcome_methods[];                         // of tasklet
extern PyMethodDef tl_stream_methods[], tl_stream_tls_methods[]; // of Stream
extern PyMethodDef tl_classic_functions[], tl_classic_settings[];
extern PyMethodDef tl_scheduler_functions[];

#endif // TL_TYPES_H
