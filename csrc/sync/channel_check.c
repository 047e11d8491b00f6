// channel_check.c - the checkers of the invariants in channel.h.
#include "sync/channel.h"

#ifndef NDEBUG

static bool
is_waiter(const ChannelObject *ch, struct tl_link *link)
{
    const TaskletObject *t = tl_task_of(link);
    return t->wait.on == (const PyObject *)ch &&
           t->sending == (ch->waiting > 0 ? 1 : -1);
}

static void
check_queue(ChannelObject *ch)
{
    TL_CHECK("I1", "channel", ch, tl_link_is_single(&ch->queue) == (ch->waiting == 0));
    TL_CHECK("I1", "channel", ch,
             ch->waiting == 0 ||
                 (is_waiter(ch, ch->queue.next) && is_waiter(ch, ch->queue.prev)));
    bool has_cases =
        !tl_link_is_single(&ch->receivers) || !tl_link_is_single(&ch->senders);
    TL_CHECK("I4", "channel", ch, has_cases == (ch->selected > 0));
}

static void
check_items(const ChannelObject *ch)
{
    TL_CHECK("I2", "channel", ch, ch->count >= 0 && ch->count <= ch->room);
    TL_CHECK("I2", "channel", ch, ch->first >= 0 && ch->first <= ch->room);
    TL_CHECK("I2", "channel", ch, ch->room == 0 || ch->first < ch->room);
    TL_CHECK("I2", "channel", ch, ch->is_queue || ch->buffered == (ch->count > 0));
    if (ch->is_queue && ch->waiting > 0) {
        TL_CHECK("I3", "channel", ch, ch->maxsize > 0 && ch->count >= ch->maxsize);
    }
    if (ch->is_queue && ch->waiting < 0) {
        TL_CHECK("I3", "channel", ch,
                 ch->count == 0 || tl_task_of(ch->queue.next)->home->dead);
    }
}

static Py_ssize_t
count_cases(const ChannelObject *ch, const struct tl_link *list)
{
    Py_ssize_t count = 0;
    for (struct tl_link *i = list->next; i != list; i = i->next) {
        const struct tl_case *one = TL_CONTAINER(i, struct tl_case, link);
        TL_CHECK("I4", "channel", ch, one->channel == ch);
        TL_CHECK("I4", "channel", ch, (one->value != NULL) == (list == &ch->senders));
        count++;
    }
    return count;
}

void
tl_channel_check(ChannelObject *ch)
{
    Py_ssize_t waiting = ch->waiting < 0 ? -ch->waiting : ch->waiting, count = 0;
    check_queue(ch);
    check_items(ch);
    if (!tl_check_is_due(&ch->changes, (size_t)(waiting + ch->selected))) {
        return;
    }
    for (struct tl_link *i = ch->queue.next; i != &ch->queue; i = i->next) {
        TL_CHECK("I1", "channel", ch, is_waiter(ch, i));
        count++;
    }
    TL_CHECK("I1", "channel", ch, waiting == count);
    count = count_cases(ch, &ch->receivers) + count_cases(ch, &ch->senders);
    TL_CHECK("I4", "channel", ch, ch->selected == count);
}

void
tl_selection_check(const struct tl_selection *sel)
{
    Py_ssize_t linked = 0;
    for (Py_ssize_t i = 0; i < sel->count; i++) {
        const struct tl_case *one = &sel->cases[i];
        const ChannelObject *ch = one->channel;
        linked += !tl_link_is_single(&one->link);
        TL_CHECK("I2", "tl_selection", sel,
                 tl_link_is_single(&one->link) ||
                     tl_link_may_be_in(&one->link,
                                       one->value ? &ch->senders : &ch->receivers));
    }
    TL_CHECK("I2", "tl_selection", sel, sel->linked == linked);
    TL_CHECK("I1", "tl_selection", sel, linked == 0 || Py_REFCNT(sel->who) >= linked);
}

#endif // NDEBUG
