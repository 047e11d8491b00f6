// Alarms go off when they should, once, and never after they were cancelled, whatever
// several threads set and cancel at the same time.
#include "base/clock.h"
#include "base/timekeeper.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { MS = 1000000, OWNERS = 4, ROUNDS = 300 };

// Stands for the GIL: a thread that sets or cancels an alarm holds it.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool shut; // enter() refuses
static atomic_int ended;

struct owner {
    struct tl_timekeeper alarm;
    _Atomic uint64_t moved;
    // Guarded by lock:
    long fired;
    int64_t due, late; // when it was to go off, and how late it was at most
    bool off;          // it must not go off
    int again;         // how often it is to go off once more
};

static bool
enter(void)
{
    if (atomic_load(&shut)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    return true;
}

static void
leave(void)
{
    pthread_mutex_unlock(&lock);
}

static void
end(void)
{
    atomic_fetch_add(&ended, 1);
}

static const struct tl_timekeeper_host host = {enter, leave, end};

static uint64_t
moves(struct tl_timekeeper *alarm)
{
    return atomic_load(&((struct owner *)alarm)->moved);
}

static int64_t
fire(struct tl_timekeeper *alarm, int64_t now)
{
    struct owner *me = (struct owner *)alarm;
    assert(!me->off);
    assert(now >= me->due);
    if (now - me->due > me->late) {
        me->late = now - me->due;
    }
    me->fired++;
    if (me->again > 0) {
        me->again--;
        me->due = now + MS;
        return me->due;
    }
    me->off = true;
    return INT64_MAX;
}

static struct owner *
init(struct owner *owner)
{
    *owner = (struct owner){.off = true, .alarm = {.moves = moves, .fire = fire}};
    return owner;
}

static void
set(struct owner *owner, int64_t deadline, int64_t still)
{
    pthread_mutex_lock(&lock);
    int64_t now = tl_clock_now();
    owner->off = false;
    owner->due = still > 0 && now + still < deadline ? now + still : deadline;
    int error = tl_timekeeper_set(&owner->alarm, &host, deadline, still,
                                  atomic_load(&owner->moved));
    assert(error == 0);
    pthread_mutex_unlock(&lock);
}

static void
cancel(struct owner *owner)
{
    pthread_mutex_lock(&lock);
    tl_timekeeper_cancel(&owner->alarm);
    owner->off = true;
    pthread_mutex_unlock(&lock);
}

static long
fired(struct owner *owner)
{
    pthread_mutex_lock(&lock);
    long result = owner->fired;
    pthread_mutex_unlock(&lock);
    return result;
}

static void
rest(int64_t ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    nanosleep(&time, NULL);
}

static void
wait_for(struct owner *owner, long times)
{
    int64_t limit = tl_clock_now() + INT64_C(20000000000);
    while (fired(owner) < times) {
        assert(tl_clock_now() < limit);
        rest(100000);
    }
}

static void
test_a_deadline_passes_once(void)
{
    struct owner a;
    set(init(&a), tl_clock_now() + 3 * MS, 0);
    wait_for(&a, 1);
    rest(5 * MS);
    assert(fired(&a) == 1);
    assert(a.alarm.next == NULL && a.alarm.prev == NULL);
}

static void
test_a_deadline_in_the_past_passes_at_once(void)
{
    struct owner a;
    set(init(&a), tl_clock_now() - MS, 0);
    wait_for(&a, 1);
}

static void
test_the_earliest_comes_first(void)
{
    struct owner a, b;
    init(&a), init(&b);
    set(&a, tl_clock_now() + INT64_C(3600000000000), 0);
    set(&b, tl_clock_now() + 2 * MS, 0);
    wait_for(&b, 1);
    assert(fired(&a) == 0);
    set(&a, tl_clock_now() + 2 * MS, 0); // earlier than it was
    wait_for(&a, 1);
}

static void
test_a_cancelled_one_does_not_go_off(void)
{
    struct owner a;
    init(&a);
    for (int i = 0; i < 100; i++) {
        set(&a, tl_clock_now() + i * 10000, 0);
        rest(i % 7 * 50000);
        cancel(&a); // fire() asserts that it is not called after this
    }
    rest(5 * MS);
    cancel(&a); // twice does no harm
}

static void
test_a_later_setting_replaces_an_earlier_one(void)
{
    struct owner a;
    set(init(&a), tl_clock_now() + MS, 0);
    set(&a, tl_clock_now() + 20 * MS, 0);
    wait_for(&a, 1);
    rest(5 * MS);
    assert(fired(&a) == 1);
}

static void
test_it_goes_off_again_when_fire_says_so(void)
{
    struct owner a;
    init(&a)->again = 3;
    set(&a, tl_clock_now() + MS, 0);
    wait_for(&a, 4);
    rest(5 * MS);
    assert(fired(&a) == 4);
}

static void
test_who_moves_is_left_alone_and_who_stays_still_is_not(void)
{
    struct owner a;
    set(init(&a), INT64_MAX, 400 * MS);
    for (int i = 0; i < 500; i++) {
        atomic_fetch_add(&a.moved, 1);
        rest(MS);
        if (i % 50 == 0) {
            set(&a, INT64_MAX, 400 * MS); // even if this machine stood still
        }
    }
    assert(fired(&a) == 0);
    wait_for(&a, 1);
    assert(a.alarm.still_end - a.alarm.still <= tl_clock_now());
}

static void
test_a_deadline_comes_even_if_the_owner_moves(void)
{
    struct owner a;
    set(init(&a), tl_clock_now() + 10 * MS, INT64_C(3600000000000));
    int64_t limit = tl_clock_now() + INT64_C(20000000000);
    while (fired(&a) == 0) {
        atomic_fetch_add(&a.moved, 1);
        assert(tl_clock_now() < limit);
    }
}

static void *
set_and_cancel(void *arg)
{
    struct owner *me = arg;
    long expected = 0;
    for (int i = 0; i < ROUNDS; i++) {
        switch (i % 4) {
        case 0:
            set(me, tl_clock_now() + i % 5 * 100000, 0);
            wait_for(me, ++expected);
            break;
        case 1:
            set(me, INT64_MAX, 300000);
            wait_for(me, ++expected);
            break;
        case 2:
            set(me, tl_clock_now() + 50000, 40000);
            cancel(me);
            expected = fired(me); // it may just have made it
            break;
        default:
            set(me, tl_clock_now() + INT64_C(3600000000000), 0);
            atomic_fetch_add(&me->moved, 1);
            cancel(me);
        }
    }
    assert(fired(me) == expected);
    return NULL;
}

static void
test_several_threads_have_alarms_of_their_own(void)
{
    static struct owner owners[OWNERS];
    pthread_t threads[OWNERS];
    for (int i = 0; i < OWNERS; i++) {
        int rc = pthread_create(&threads[i], NULL, set_and_cancel, init(&owners[i]));
        assert(rc == 0);
    }
    for (int i = 0; i < OWNERS; i++) {
        pthread_join(threads[i], NULL);
        assert(owners[i].alarm.next == NULL);
    }
}

// The last one: the thread ends for good.
static void
test_after_the_end_nothing_goes_off(void)
{
    struct owner a;
    set(init(&a), tl_clock_now() + 5 * MS, 0);
    atomic_store(&shut, true);
    tl_timekeeper_stop();
    assert(atomic_load(&ended) == 1);
    rest(10 * MS);
    assert(a.fired == 0);
    pthread_mutex_lock(&lock);
    int error = tl_timekeeper_set(&a.alarm, &host, tl_clock_now(), 0, 0);
    assert(error != 0);
    tl_timekeeper_cancel(&a.alarm);
    pthread_mutex_unlock(&lock);
    tl_timekeeper_stop(); // twice does no harm
}

int
main(void)
{
    test_a_deadline_passes_once();
    test_a_deadline_in_the_past_passes_at_once();
    test_the_earliest_comes_first();
    test_a_cancelled_one_does_not_go_off();
    test_a_later_setting_replaces_an_earlier_one();
    test_it_goes_off_again_when_fire_says_so();
    test_who_moves_is_left_alone_and_who_stays_still_is_not();
    test_a_deadline_comes_even_if_the_owner_moves();
    test_several_threads_have_alarms_of_their_own();
    test_after_the_end_nothing_goes_off();
    printf("alarm: %d rounds in %d threads\n", ROUNDS, OWNERS);
    return 0;
}
