// module_state.c - the definition of the module. PyInit__core() completes it: objects
// find the module's state through its address, and need not know what the module
// offers.
#include "object/module_state.h"

struct PyModuleDef tl_module_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "tasklets._core",
    .m_doc = "C core of the tasklets package.",
    .m_size = sizeof(struct tl_state),
};
