// coverage.c - the line counts of a process that ends with _exit(), for `make
// coverage`.
//
// gcov writes them when a process ends with exit(), as tests that fork, and the
// processes of tests/helpers/parallel.py, do not. Linked into the extension, this file
// hands gcov's function over. Compiled with -DPRELOADED and preloaded, it is the
// _exit() that calls it.
//
// Nothing is written by a process that a signal ends or that runs another program.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void writer(void);

#ifdef PRELOADED

static writer *write_counts;
static pid_t counted; // the process whose counts they are

void
coverage_set_writer(writer *function)
{
    write_counts = function;
    counted = getpid();
}

// The child of a vfork(), which only runs a program, has the memory of its parent: to
// gcov the parent's counts would be written then.
void
_exit(int status)
{
    if (write_counts != NULL && getpid() == counted) {
        write_counts();
    }
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

#else

void __gcov_dump(void); // gcov's own: visible in the library that it counts alone
void __gcov_reset(void);

static void
hand_over(void)
{
    void (*set_writer)(writer *) =
        (void (*)(writer *))dlsym(RTLD_DEFAULT, "coverage_set_writer");
    if (set_writer != NULL) {
        set_writer(__gcov_dump);
    }
}

static void
after_fork(void)
{
    __gcov_reset(); // the parent writes its own
    hand_over();
}

__attribute__((constructor)) static void
begin(void)
{
    hand_over();
    pthread_atfork(NULL, NULL, after_fork);
}

#endif
