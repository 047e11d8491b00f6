"""Functions that never give way, in every shape that Python code has.

Each takes a Leash and goes round until it is let off; then it returns how often it went
round, counted by itself, in local variables where it can. So a runaway that was stopped
and resumed anywhere has gone wrong unless that is what the Leash has counted.
"""

import functools

from greenlet import greenlet


class Leash:
    def __init__(self):
        self.rounds = 0
        self.going = True

    def round(self):
        self.rounds += 1
        return self.going


def loop(leash):
    count = 0
    going = True
    while going:
        count += 1
        going = leash.round()
    return count


class Thing:
    def __init__(self, leash, loops=True):
        self.leash = leash
        if loops:
            self.count = loop_inline(leash)

    def method(self):
        return loop_inline(self.leash)

    @property
    def value(self):
        return loop_inline(self.leash)

    def __getitem__(self, key):
        return loop_inline(key)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False

    def __iter__(self):
        return self

    def __next__(self):
        if not self.leash.round():
            raise StopIteration
        return 1


def loop_inline(leash):
    """Like loop(), without a call in it."""
    count = 0
    while leash.going:
        count += 1
        leash.rounds += 1
    return count


def method(leash):
    return Thing(leash, loops=False).method()


def property_(leash):
    return Thing(leash, loops=False).value


def init(leash):
    return Thing(leash).count


def subscript(leash):
    return Thing(leash, loops=False)[leash]


def next_method(leash):
    return sum(Thing(leash, loops=False)) + 1


def generate(leash):
    count = 0
    while leash.round():
        count += 1
        yield count
    yield count + 1


def generator(leash):
    last = None
    for count in generate(leash):
        last = count
    return last


def generator_inside(leash):
    """Loop in the generator, not in who asks it."""

    def generate():
        yield loop_inline(leash)

    return next(generate())


def generator_in_c(leash):
    return max(generate(leash))


def generator_delegated(leash):
    def outer():
        yield from generate(leash)

    last = None
    for count in outer():
        last = count
    return last


def forever(leash):
    while leash.going:
        yield None


def list_comprehension(leash):
    return sum([1 for _ in forever(leash) if leash.round() or True])


def set_comprehension(leash):
    return len({leash.rounds for _ in forever(leash) if leash.round() or True})


def generator_expression(leash):
    return sum(1 for _ in forever(leash) if leash.round() or True)


def sort_key(leash):
    return sorted([0], key=lambda _: -loop_inline(leash))[0] or leash.rounds


def sort_comparison(leash):
    class Item:
        def __lt__(self, other):
            counts.append(loop_inline(leash))
            return False

    counts = []
    sorted([Item(), Item()])
    return counts[0]


def reduce_callback(leash):
    return functools.reduce(lambda a, _: a + loop_inline(leash), [0, 0])


@functools.lru_cache(maxsize=1)
def cached(leash):
    return loop_inline(leash)


def cached_function(leash):
    try:
        return cached(leash)
    finally:
        cached.cache_clear()


def partial_function(leash):
    return functools.partial(loop_inline, leash)()


def with_block(leash):
    with Thing(leash, loops=False):
        count = 0
        while leash.going:
            count += 1
            leash.rounds += 1
        return count


def except_block(leash):
    try:
        raise KeyError
    except KeyError as error:
        count = 0
        while leash.going:
            count += 1
            leash.rounds += 1
            if error is None:
                return None
        return count


def raising(leash):
    count = 0
    while leash.going:
        try:
            count += 1
            leash.rounds += 1
            raise KeyError(count)
        except KeyError as error:
            if error.args != (count,):
                return None
    return count


def finally_block(leash):
    count = 0
    try:
        count += 0
    finally:
        while leash.going:
            count += 1
            leash.rounds += 1
    return count


def for_map(leash):
    count = 0
    for _ in map(Leash.round, iter(lambda: leash, None)):
        count += 1
        if not leash.going:
            break
    return count


def for_count(leash):
    count = 0
    for going in iter(leash.round, False):
        count += going
    return count + 1


def one_line(leash):
    names = {"leash": leash}
    exec("while leash.going: leash.rounds += 1", names)
    return leash.rounds


def one_line_counted(leash):
    count = 0
    while leash.going: leash.rounds += 1; count += 1  # noqa: E701, E702  # fmt: skip
    return count


def evaluated(leash):
    names = {"leash": leash, "forever": forever}
    return eval("sum([1 for _ in forever(leash) if leash.round() or True])", names)


async def await_forever(leash):
    count = 0
    while leash.round():
        count += 1
        await Once()
    return count + 1


class Once:
    def __await__(self):
        yield None


def coroutine_sent(leash):
    coroutine = await_forever(leash)
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


def coroutine_inside(leash):
    async def work():
        return loop_inline(leash)

    async def outer():
        return await work()

    try:
        outer().send(None)
    except StopIteration as end:
        return end.value


def async_generator(leash):
    async def generate():
        count = 0
        while leash.round():
            count += 1
            yield count
        yield count + 1

    async def work():
        last = None
        async for count in generate():
            last = count
        return last

    try:
        work().send(None)
    except StopIteration as end:
        return end.value


def recursion(leash):
    def deeper(depth):
        return loop_inline(leash) if depth == 0 else deeper(depth - 1)

    return deeper(50)


def calls(leash):
    def nothing():
        leash.rounds += 1

    count = 0
    while leash.going:
        nothing()
        count += 1
    return count


def closure(leash):
    count = 0

    def work():
        nonlocal count
        while leash.going:
            count += 1
            leash.rounds += 1

    work()
    return count


def class_body(leash):
    class Body:
        count = 0
        while leash.going:
            count += 1
            leash.rounds += 1

    return Body.count


def star_arguments(leash):
    return (lambda *args: len(args) + 1)(*iter(leash.round, False))


def own_greenlet(leash):
    return greenlet(loop_inline).switch(leash)


def nested_greenlets(leash):
    return greenlet(lambda: greenlet(loop).switch(leash)).switch()


def matching(leash):
    count = 0
    while True:
        match leash.going:
            case True:
                count += 1
                leash.rounds += 1
            case _:
                return count


# What is stopped with ignore_nesting=False, too: no C code calls Python in them, but
# for what resumes a generator.
FLAT = [
    loop, method, generator, generator_delegated, generator_inside, generator_in_c,
    generator_expression, list_comprehension, set_comprehension, with_block,
    except_block, raising, finally_block, one_line_counted, recursion, calls, closure,
    matching, coroutine_sent, coroutine_inside, async_generator, for_map, for_count,
]  # fmt: skip

# What is not, as these are called by C code.
NESTED = [
    next_method, sort_key, sort_comparison, reduce_callback, cached_function,
    partial_function, one_line, evaluated, class_body,
    star_arguments,
]  # fmt: skip

# What may be or not: some versions call these without C code between, once it is known
# what they are.
EITHER = [property_, init, subscript]

OTHER_STACK = [own_greenlet, nested_greenlets]

RUNAWAYS = {
    runaway.__name__.strip("_"): runaway
    for runaway in FLAT + NESTED + EITHER + OTHER_STACK
}
