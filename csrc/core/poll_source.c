// poll_source.c - the sources of a thread, one after the other.
#include "core/poll_source.h"

void
tl_poll_source_add(struct tl_sched *s, struct tl_poll_source *source)
{
    int i = 0;
    while (s->sources[i] != NULL) {
        i++;
        assert(i < TL_PARK_SOURCES);
    }
    s->sources[i] = source;
    tl_park_set_source(&s->park, i, source->fd);
}

static int
place_of(const struct tl_sched *s, const struct tl_poll_source *source)
{
    int i = 0;
    while (s->sources[i] != source) {
        i++;
        assert(i < TL_PARK_SOURCES);
    }
    return i;
}

void
tl_poll_source_remove(struct tl_sched *s, struct tl_poll_source *source)
{
    int i = place_of(s, source);
    s->sources[i] = NULL;
    tl_park_set_source(&s->park, i, -1);
}

void
tl_poll_source_set_fd(struct tl_sched *s, struct tl_poll_source *source, int fd)
{
    source->fd = fd;
    tl_park_set_source(&s->park, place_of(s, source), fd);
}

void
tl_poll_source_look(struct tl_sched *s)
{
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        if (s->sources[i] != NULL) {
            s->sources[i]->kind->look(s, s->sources[i]);
        }
    }
}

bool
tl_poll_source_is_busy(const struct tl_sched *s)
{
    bool is_busy = false;
    for (int i = 0; i < TL_PARK_SOURCES && !is_busy; i++) {
        is_busy = s->sources[i] != NULL && s->sources[i]->kind->is_busy(s->sources[i]);
    }
    return is_busy;
}

void
tl_poll_source_check(struct tl_sched *s, int64_t now)
{
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        if (s->sources[i] != NULL && s->sources[i]->kind->check != NULL) {
            s->sources[i]->kind->check(s->sources[i], now);
        }
    }
}

tl_deadline
tl_poll_source_next_check(const struct tl_sched *s)
{
    tl_deadline next = TL_DEADLINE_NEVER;
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        if (s->sources[i] != NULL && s->sources[i]->kind->check != NULL) {
            tl_deadline at = s->sources[i]->kind->next_check(s->sources[i]);
            next = at < next ? at : next;
        }
    }
    return next;
}

void
tl_poll_source_set_ending(struct tl_sched *s, bool is_ending)
{
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        if (s->sources[i] != NULL && s->sources[i]->kind->set_ending != NULL) {
            s->sources[i]->kind->set_ending(s->sources[i], is_ending);
        }
    }
}

void
tl_poll_source_thread_ends(struct tl_sched *s)
{
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        if (s->sources[i] != NULL && s->sources[i]->kind->thread_ends != NULL) {
            s->sources[i]->kind->thread_ends(s, s->sources[i]);
        }
    }
}

void
tl_poll_source_fini(struct tl_sched *s)
{
    for (int i = 0; i < TL_PARK_SOURCES; i++) {
        if (s->sources[i] != NULL) {
            s->sources[i]->kind->fini(s, s->sources[i]);
        }
    }
}
