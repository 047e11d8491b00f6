#include "loop.h"

#include <uv.h>

const char *
tl_loop_version(void)
{
    return uv_version_string();
}
