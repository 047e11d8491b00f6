// foreign_threads.c - judges threads by what /proc/self/task says of them.
#include "core/foreign_threads.h"
#include "cpython/gil.h"
#include "base/internal_threads.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

// ---- threads that Python knows

struct question {
    unsigned long tid;
    bool is_known;
};

static int
compare(unsigned long Py_UNUSED(ident), PyThreadState *ts, void *arg)
{
    struct question *question = arg;
    question->is_known |= ts->native_thread_id == question->tid;
    return 0;
}

static bool
is_pythons(unsigned long tid)
{
    struct question question = {.tid = tid};
    tl_gil_each_thread(compare, &question);
    return question.is_known;
}

// ---- what a thread does

static FILE *
open_file(unsigned long tid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%lu/%s", tid, name);
    return fopen(path, "re");
}

// Whether the thread blocks all signals. The library's own threads and libuv's
// do; those of C libraries rarely do.
static bool
blocks_signals(unsigned long tid)
{
    FILE *file = open_file(tid, "status");
    char line[128];
    unsigned long long mask = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "SigBlk:", 7) == 0) {
            mask = strtoull(line + 7, NULL, 16);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    // Signals 1 to 31, except SIGKILL and SIGSTOP.
    return (mask & 0x7fffffff) == 0x7ffbfeff;
}

// Whether the thread waits for another thread: in a futex without a timeout, as in an
// idle pool; or in any futex, if it blocks all signals. Also true if it has ended,
// or its file cannot be read.
static bool
waits_for_others(unsigned long tid)
{
    FILE *file = open_file(tid, "syscall");
    char text[256] = "";
    if (file != NULL) {
        (void)!fgets(text, sizeof text, file);
        fclose(file);
    }
    long number;
    unsigned long long args[4];
    if (sscanf(text, "%ld %llx %llx %llx %llx", &number, &args[0], &args[1], &args[2],
               &args[3]) != 5 ||
        number != SYS_futex) {
        return text[0] == '\0'; // it has ended, or the file cannot be read
    }
    return args[3] == 0 || blocks_signals(tid);
}

bool
tl_foreign_threads_may_run(void)
{
    DIR *dir = opendir("/proc/self/task");
    bool found = false;
    const struct dirent *entry;
    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        unsigned long tid = strtoul(entry->d_name, NULL, 10);
        found = tid != 0 && !is_pythons(tid) && !tl_internal_threads_is(tid) &&
                !waits_for_others(tid);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return found;
}

int
tl_foreign_threads_warn(void)
{
    return PyErr_WarnEx(
        PyExc_RuntimeWarning,
        "all tasklets of all threads wait, but threads that Python does "
        "not know may still wake one: waiting for them. If none will, this "
        "is a deadlock",
        1);
}
