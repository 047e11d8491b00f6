// A thread is known from its note on, and not in the child of a fork.
#include "base/internal_threads.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GENERATIONS = 20 };

static unsigned long
own_id(void)
{
    return (unsigned long)syscall(SYS_gettid);
}

static void *
note(void *arg)
{
    unsigned long *id = arg;
    *id = own_id();
    assert(!tl_internal_threads_is(*id));
    tl_internal_threads_note();
    assert(tl_internal_threads_is(*id));
    return NULL;
}

// Each child notes a thread, so that the entries would run out if none became free.
static int
go_on(int generation)
{
    pthread_t thread;
    unsigned long id;
    assert(pthread_create(&thread, NULL, note, &id) == 0);
    pthread_join(thread, NULL);
    assert(tl_internal_threads_is(id) && !tl_internal_threads_is(own_id()));
    if (generation == GENERATIONS) {
        return 0;
    }
    pid_t child = fork();
    if (child == 0) {
        assert(!tl_internal_threads_is(id));
        _exit(go_on(generation + 1));
    }
    int status;
    assert(waitpid(child, &status, 0) == child);
    return status == 0 ? 0 : 1;
}

int
main(void)
{
    assert(go_on(1) == 0);
    printf("ours: %d generations\n", GENERATIONS);
    return 0;
}
