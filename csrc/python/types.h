// types.h - the type specs and function tables from which module.c builds the module.
#ifndef TL_TYPES_H
#define TL_TYPES_H

#include "object/module_state.h"

extern PyType_Spec tl_tasklet_spec;
extern PyType_Spec tl_channel_spec, tl_queue_channel_spec, tl_classic_channel_spec;
extern PyType_Spec tl_bomb_spec, tl_atomic_spec, tl_timeout_spec,
    tl_scheduled_call_spec;
extern PyType_Spec tl_case_spec, tl_local_spec, tl_job_spec, tl_worker_pool_spec;
extern PyType_Spec tl_lock_spec, tl_rlock_spec, tl_condition_spec, tl_event_spec;
extern PyType_Spec tl_semaphore_spec, tl_bounded_semaphore_spec, tl_nl_condition_spec;
extern PyType_Spec tl_barrier_spec, tl_shield_spec, tl_group_spec;
extern PyType_Spec tl_released_spec;
extern PyType_Spec tl_arrivals_spec, tl_completions_spec;
extern PyType_Spec tl_closer_spec, tl_setting_spec;
extern PyType_Spec tl_stream_spec, tl_listener_spec;

// Methods and functions. The classic ones behave as in Stackless Python, and have the
// prefix stackless_ in the module; those of the scheduler have the prefix scheduler_.
extern PyMethodDef tl_functions[], tl_settings[], tl_timer_functions[];
extern PyMethodDef tl_timeout_functions[], tl_scheduled_call_functions[];
extern PyMethodDef tl_select_functions[], tl_file_functions[], tl_resolve_functions[];
extern PyMethodDef tl_statistics_functions[], tl_waiting_functions[];
extern PyMethodDef tl_worker_functions[], tl_setting_functions[], tl_kill_functions[];
extern PyMethodDef tl_survey_functions[], tl_net_functions[], tl_socket_functions[];
extern PyMethodDef tl_outcome_methods[]; // of tasklet
extern PyMethodDef tl_stream_methods[];  // of Stream
extern PyMethodDef tl_classic_functions[], tl_classic_settings[];
extern PyMethodDef tl_scheduler_functions[];

PyObject *tl_tasklet_vectorcall(PyObject *cls, PyObject *const *args, size_t nargsf,
                                PyObject *kwnames);

// Finish the type of atomic(), and find out whether it works on this interpreter.
int tl_atomic_ready(PyTypeObject *type);

void tl_timeout_ready(PyTypeObject *type);

#endif // TL_TYPES_H
