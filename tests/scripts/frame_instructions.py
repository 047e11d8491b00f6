"""Compare what a tasklet shows the collector with the references that there are.

usage: frame_instructions.py [NAME]     prints "ok" and how many pauses were looked at

A row of BODIES is a function's body. It pauses inside an instruction, or a few: in a
special method, or in the destructor of an object that the instruction drops. At each
pause the collector must not find more references to an object than the object has.
Each row runs cold, and then warm: specialized by the interpreter. With NAME only that
row runs. The row that runs is always in the file MISUSE_CASE.
"""

import collections
import faulthandler
import functools
import gc
import os
import sys
import textwrap
import types
import warnings

import greenlet

import tasklets

WARM_ROUNDS = 60  # every version has specialized an instruction by then
PAUSES_MAX = 200  # of one run: then it does not end

pauses = False


def pause():
    if pauses:
        tasklets.schedule_remove(None)


class Live:
    """An operand that nothing happens to."""

    def __init__(self, *args, **kwargs):
        pass


class Dies:
    """Pauses when it dies."""

    attribute = None

    def __del__(self):
        pause()

    def __add__(self, other):
        return Live()

    def __iter__(self):
        return iter((Live(), Live()))

    def __enter__(self):
        return Live()

    def __exit__(self, *args):
        return True

    def __getitem__(self, key):
        return Live()

    def __setitem__(self, key, value):
        pass

    def __call__(self, *args, **kwargs):
        return Live()

    def method(self, *args, **kwargs):
        return Live()


class DiesBare(Dies):
    """Pauses without a Python function when it dies."""

    @staticmethod
    def bare():
        return tasklets.schedule_remove(None) if pauses else None

    __del__ = bare


def pausing(result):
    def method(self, *args):
        pause()
        return result(*args) if callable(result) else result

    return method


class Meta(type):
    def __instancecheck__(cls, instance):
        pause()
        return True

    def __subclasscheck__(cls, other):
        pause()
        return False

    def __call__(cls, *args, **kwargs):
        pause()
        return super().__call__(*args, **kwargs)

    def __prepare__(name, bases, **kwargs):
        pause()
        return {}

    def __getattr__(cls, name):
        pause()
        return Live()


def paused_names():
    yield "first"
    pause()
    yield "second"


class Ops:
    """Pauses in every special method."""

    __match_args__ = ("some", "other")
    attribute = property(lambda self: pause() or Live(), lambda self, value: pause())

    def __getattr__(self, name):
        pause()
        if name[:2] == "__":
            raise AttributeError(name)
        return Live()

    def __setattr__(self, name, value):
        pause()

    def __delattr__(self, name):
        pause()

    def __init_subclass__(cls, **kwargs):
        pause()

    def __set_name__(self, owner, name):
        pause()

    def __call__(self, *args, **kwargs):
        pause()
        return Live()

    def __iter__(self):
        pause()
        for _ in range(2):
            value = Live()
            pause()
            yield value

    def __next__(self):
        pause()
        raise StopIteration

    def keys(self):
        pause()
        return paused_names()

    def __format__(self, spec):
        pause()
        return "text"

    __getitem__ = __enter__ = pausing(lambda *args: Live())
    __setitem__ = __delitem__ = pausing(None)
    __exit__ = __bool__ = __contains__ = pausing(True)
    __len__ = __index__ = __hash__ = __int__ = pausing(2)
    __str__ = __repr__ = pausing("text")
    __neg__ = __pos__ = __invert__ = pausing(lambda *args: Live())
    __add__ = __radd__ = __iadd__ = __sub__ = __mul__ = __pow__ = __or__ = __add__ = (
        __matmul__
    ) = __rsub__ = __rmul__ = __getitem__
    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __getitem__
    __mod__ = __rmod__ = __and__ = __floordiv__ = __getitem__


class SameName(str):
    """A keyword that is compared by Python code."""

    __slots__ = ()

    def __eq__(self, other):
        pause()
        return str.__eq__(self, other)

    def __hash__(self):
        pause()
        return str.__hash__(self)


class Getattribute:
    def __getattribute__(self, name):
        pause()
        return Live()


class Iterates:
    """An iterator in Python."""

    def __init__(self):
        self.left = 3

    def __iter__(self):
        return self

    def __next__(self):
        pause()
        self.left -= 1
        if not self.left:
            raise StopIteration
        return Live()


class Group(ExceptionGroup):
    def derive(self, excs):
        pause()
        return Group(self.message, excs)


class Finds:
    """An import hook that pauses."""

    def find_spec(self, name, path=None, target=None):
        pause()


def takes(first, second=None, *, named=None):
    return Live()


def drops(*args):
    """Drop the arguments when it returns."""
    value = Live()
    return value


def holds():
    dies = Dies()
    value = Live()
    pause()
    return [value, dies.method()]


BODIES = {
    "STORE_FAST": "x = Dies(); x = Live(); y = x",
    "STORE_FAST bare": "x = DiesBare(); x = Live(); y = x",
    "STORE_FAST twice": "x = y = Dies(); x, y = Live(), Live()",
    "DELETE_FAST": "x = Dies(); y = Live(); del x",
    "STORE_DEREF": "x = Dies()\ndef inner(): return x\nx = Live()",
    "STORE_DEREF taken": "x = Dies()\ndef inner(): return x\nx = box.pop()",
    "STORE_DEREF bare": "x = DiesBare()\ndef inner(): return x\nx = Live()",
    "DELETE_DEREF": "x = Dies()\ndef inner(): return x\ny = Live(); del x",
    "STORE_GLOBAL": "global g; g = Dies(); g = Live()",
    "DELETE_GLOBAL": "global g; g = Dies(); y = Live(); del g",
    "STORE_NAME": "class C:\n x = Dies(); x = Live(); y = x",
    "DELETE_NAME": "class C:\n x = Dies(); y = Live(); del x",
    "STORE_NAME in exec": "exec('x = Dies(); x = Live(); del x', {**globals()})",
    "STORE_ATTR": "o = Live(); o.a = Dies(); o.a = Live()",
    "STORE_ATTR of a module": "m = types.ModuleType('m'); m.a = Dies(); m.a = Live()",
    "STORE_ATTR of a slot": """
        class C: __slots__ = ("a",)
        o = C(); o.a = Dies(); o.a = Live()""",
    "STORE_ATTR with setattr": "o = Ops(); o.a = Live()",
    "STORE_ATTR with a property": "o = Ops(); type(o).attribute.__set__(o, Live())",
    "STORE_ATTR of a dying owner": "Dies().a = Live()",
    "DELETE_ATTR": "o = Live(); o.a = Dies(); del o.a",
    "DELETE_ATTR with delattr": "o = Ops(); del o.a",
    "STORE_SUBSCR list": "o = [Dies()]; o[0] = Live()",
    "STORE_SUBSCR dict": "o = {'a': Dies()}; o['a'] = Live()",
    "STORE_SUBSCR": "o = Ops(); o[Live()] = Live()",
    "STORE_SUBSCR of a dying container": "Dies()[Live()] = Live()",
    "STORE_SUBSCR of a hashed key": "o = {}; o[Ops()] = Live()",
    "STORE_SLICE": "o = [Dies(), Dies()]; o[0:2] = [Live()]",
    "STORE_SLICE of an object": "o = Ops(); o[Live():Live()] = Live()",
    "DELETE_SUBSCR": "o = [Dies(), Live()]; del o[0]; o = Ops(); del o[Live()]",
    "POP_TOP": "Live(); Dies(); takes(Live()); [Live(), Dies()]; DiesBare()",
    "POP_TOP in an expression": "y = [Live(), (Dies(), Live())[1], Live()]",
    "UNARY": "o = Ops(); y = [-o, +o, ~o, not o, Live()]",
    "BINARY_OP": "o = Ops(); y = [o + Live(), Live() + o, o @ Live(), o ** Live()]",
    "BINARY_OP of dying operands": "y = [Dies() + Dies(), Live()]",
    "BINARY_OP in place": "o = Ops(); o += Live(); y = Live(); o = Ops(); y -= o",
    "BINARY_OP of numbers": "y = [3.5 * len(Ops()), 'a' + str(Ops()), 1 + len(Ops())]",
    "BINARY_OP with a format": "y = '%s' % Ops(); z = ['%r %s' % (Ops(), Live())]",
    "BINARY_SUBSCR": "o = Ops(); y = [o[Live()], Live()]",
    "BINARY_SUBSCR of dying containers": "y = [Dies()[Live()], [Live(), Dies()][0]]",
    "BINARY_SUBSCR of a dict": "y = {'a': Live(), 'b': Dies()}['a']",
    "BINARY_SUBSCR of a hashed key": "o = Ops(); y = {o: Live()}[o]",
    "BINARY_SUBSCR of a tuple": "y = (Live(), Dies())[0]",
    "BINARY_SUBSCR with an index": "y = [Live(), Live(), Live()][Ops()]",
    "BINARY_SLICE": "o = Ops(); y = o[Live():Live()]; z = Dies()[1:2]",
    "BINARY_SLICE with indices": "y = [Live()] * 4; z = y[Ops():Ops()]",
    "BUILD_SLICE": "o = Ops(); y = o[Live():Live():Live()]",
    "COMPARE_OP": "o = Ops(); y = [o < Live(), Live() == o, o != Live(), Live()]",
    "COMPARE_OP in a condition": "o = Ops()\nif o == Live(): y = Live()",
    "COMPARE_OP chained": "o = Ops(); y = Live() < o < Live()",
    "CONTAINS_OP": "o = Ops(); y = [Live() in o, o in [Live()], o not in (Live(),)]",
    "CONTAINS_OP of a hashed key": "o = Ops(); y = [o in {1: Live()}, o in {Live()}]",
    "IS_OP": "y = [Dies() is Live(), Live()]",
    "TO_BOOL": "o = Ops()\nif o and Live(): y = Live()\nwhile o or Live(): break",
    "TO_BOOL with len": """
        class Sized:
            def __len__(self): pause(); return 1
        y = Live() if Sized() else None""",
    "LOAD_ATTR": "o = Ops(); y = [o.some, Live()]",
    "LOAD_ATTR of a property": "y = [Ops().attribute, Live()]",
    "LOAD_ATTR with getattribute": "y = [Getattribute().some, Live()]",
    "LOAD_ATTR of a dying owner": "y = [Dies().attribute, Live()]",
    "LOAD_ATTR of a class": "y = [Meta('C', (), {}).some, Live()]",
    "LOAD_ATTR of a module": """
        m = types.ModuleType('m'); m.__getattr__ = Ops()
        y = [m.some, Live()]""",
    "LOAD_ATTR of a descriptor": """
        class Descriptor:
            def __get__(self, owner, cls): pause(); return Live()
        class C: some = Descriptor()
        y = [C().some, C.some, Live()]""",
    "LOAD_ATTR of a method": "y = Dies().method(Live())",
    "LOAD_SUPER_ATTR": """
        class C(Ops):
            def method(self): return [super().attribute, super().__getitem__(1)]
        y = C().method()""",
    "LOAD_GLOBAL": """
        class Names(dict):
            def __missing__(self, name): pause(); return Live()
        exec('y = [some, other]', {}, Names())""",
    "LOAD_NAME": "class C:\n  y = [Live, Live(), Dies()]; y = Live",
    "GET_ITER": "for x in Ops(): y = x",
    "FOR_ITER": "for x in Iterates(): y = [x, Live()]",
    "FOR_ITER of values": "for x in [Live(), Dies(), Live()]: y = x",
    "FOR_ITER of a tuple": "for x in (Live(), Dies(), Live()): y = x",
    "FOR_ITER of a map": "for x in map(lambda v: pause() or v, [Live(), Dies()]): pass",
    "FOR_ITER that ends": "for x in iter([Live(), Dies()].pop, None):\n  break",
    "FOR_ITER of a generator": """
        def generate():
            dies = Dies(); yield Live(); pause(); yield dies
        for x in generate(): y = x""",
    "FOR_ITER left": """
        def generate():
            try: yield Live()
            finally: pause()
        for x in generate(): break""",
    "a comprehension": "x = Live(); y = [[Live(), x] for x in Iterates()]",
    "a comprehension with hashes": """
        y = {Ops() for x in (1, 2)}
        z = {Ops(): Live() for x in (1, 2)}""",
    "a comprehension that calls": "y = [pause() or x for x in (Live(), Live())]",
    "a generator expression": "y = list(pause() or x for x in Iterates())",
    "yield from": """
        def inner(): got = yield Live(); pause(); return Live()
        def outer(): got = yield from inner(); pause(); yield got
        y = list(outer())""",
    "await": """
        @types.coroutine
        def wait(): yield Live()
        async def inner():
            dies = Dies()
            async with Context() as c: await wait()
            pause()
            return [x async for x in values()]
        async def values():
            yield Live(); pause(); await wait(); yield Live()
        class Context:
            async def __aenter__(self): pause(); return Live()
            async def __aexit__(self, *args): await wait()
        made = inner()
        try:
            while True: made.send(None)
        except StopIteration: pass""",
    "generator methods": """
        def generate():
            dies = Dies()
            try:
                while True:
                    try: got = yield Live()
                    except KeyError: pause()
            finally:
                pause()
        made = generate()
        next(made); made.send(Live()); made.throw(KeyError(Live())); pause()
        made.close()""",
    "UNPACK_SEQUENCE": "x, y = Ops(); x, y = Iterates(); x, y = Dies()",
    "UNPACK_SEQUENCE of values": "x, y = (Live(), Dies()); x, y = [Live(), Live()]",
    "UNPACK_EX": "x, *y = Ops(); *y, x = Dies(); x, *y = Iterates()",
    "LIST_EXTEND": "y = [Live(), *Ops(), *Dies()]; z = (Live(), *Iterates())",
    "SET_UPDATE": "y = {Live(), *Ops(), *[Ops(), Ops()]}",
    "DICT_UPDATE": "y = {'a': Live(), **Ops(), **{'b': Live()}}",
    "DICT_MERGE": "y = Live(a=Live(), **Ops()); Live(**{'b': Dies()}, **Ops())",
    "BUILD_MAP": "y = {Ops(): Live(), Ops(): Live()}",
    "BUILD_SET": "y = {Ops(), Live(), Ops()}",
    "BUILD_STRING": "y = [f'{Ops()}{Ops()!r}{Ops():{Live.__name__}}', Live()]",
    "FORMAT of a dying value": "y = [f'{Dies()} {Dies()!r}', Live()]",
    "BEFORE_WITH": "with Ops() as y: z = Live()",
    "WITH that dies": "with Dies() as y: z = Live()",
    "WITH_EXCEPT_START": "with Ops() as y: raise KeyError(Live())",
    "WITH that cannot": """
        class C:
            __enter__ = property(lambda self: pause())
            def __exit__(self, *args): pass
        try:
            with C(): pass
        except TypeError: y = Live()""",
    "RAISE_VARARGS": """
        class Error(KeyError):
            def __init__(self, *args): pause()
        try: raise Error(Live()) from Error(Live())
        except Error as e: y = [e, Live()]
        try: raise Error
        except Error as e: y = [e, Live()]""",
    "POP_EXCEPT": """
        try: raise KeyError(Dies(), Live())
        except KeyError: y = Live()""",
    "RERAISE": """
        try:
            try: raise KeyError(Dies(), Live())
            finally: y = Live()
        except LookupError as e: y = [Live()]""",
    "an error that replaces one": """
        try:
            try: raise KeyError(Dies(), Live())
            except KeyError: raise ValueError(Live())
        except ValueError as e: e.__context__ = None; y = [e, Live()]""",
    "CHECK_EG_MATCH": """
        try: raise Group('g', [KeyError(Live()), ValueError(Dies())])
        except* KeyError as e: y = Live()
        except* ValueError as e: pause()""",
    "isinstance": "y = [isinstance(Live(), Check), issubclass(int, Check), Live()]",
    "IMPORT_NAME": """
        sys.meta_path.insert(0, Finds())
        try:
            y = Live()
            import no_module_of_this_name
        except ImportError as e: pass
        finally: sys.meta_path.pop(0)""",
    "IMPORT_FROM": """
        m = types.ModuleType('some_module'); m.__getattr__ = Ops()
        sys.modules['some_module'] = m
        from some_module import some, other
        del sys.modules['some_module']""",
    "assert": """
        try: assert not Ops(), Ops()
        except AssertionError as e: y = Live()""",
    "MATCH_CLASS": """
        match Ops():
            case Check(): y = Live()
        match Live():
            case Check(): y = Live()
        match Ops():
            case Ops(x, y): z = Live()""",
    "MATCH_MAPPING": """
        match Mapping():
            case {'first': x, **y}: z = Live()""",
    "MATCH_SEQUENCE": """
        match [Dies(), Live(), Live()]:
            case [Live(), *y]: pass
            case [x, *y]: z = Live()""",
    "a match of a value": """
        match Ops():
            case sys.version: y = Live()""",
    "CALL": "y = [takes(Live(), Live()), Live()]; z = takes(Dies(), Live())",
    "CALL of a function that drops": "y = [drops(Live(), Dies(), Live()), Live()]",
    "CALL of a function that holds": "y = [holds(), Live()]",
    "CALL with pauses between": "y = takes(Live(), pause() or Live())",
    "CALL inside a call": "y = [takes(Live(), holds()), takes(holds())]",
    "CALL of a builtin": "y = [id(Dies()), repr(Ops()), len(Ops()), str(Ops())]",
    "CALL of a builtin that drops": "y = hash(Dies()), callable(Dies()), print(end='')",
    "CALL of a builtin with dying arguments": """
        y = [isinstance(Dies(), Dies), getattr(Live(), 'a', Dies())]
        z = [min(Dies(), Dies(), key=id), max(DiesBare(), Live(), key=id), Live()]""",
    "CALL of a builtin that calls": """
        y = [sorted([Live(), Live()], key=lambda v: pause() or 1), Live()]
        z = [max(Live(), Live(), key=lambda v: pause() or 1), Live()]""",
    "CALL of a method": "y = Dies().method(Dies(), Live()); z = Live()",
    "CALL of a bound method": "f = Dies().method; y = f(Dies(), Live()); f = Live()",
    "CALL of append": "[Dies()].append(Live()); [Live()].append(Dies())",
    "CALL of a method that drops": "o = [Dies(), Dies()]; o.clear(); y = o.index",
    "CALL of a method of a type": "y = [[Live(), Ops()].count(Ops()), {}.get(Ops())]",
    "CALL of pop": "y = [Live(), Dies()]; y.pop(); z = [[Live(), Dies()].pop(0)]",
    "CALL of an object": "y = [Ops()(Live()), Dies()(Live(), Dies())]",
    "CALL of a partial": "y = functools.partial(takes, Dies())(Live()); z = Live()",
    "CALL of a class": """
        class C:
            def __init__(self, first, second=None): self.a = first; pause()
        y = [C(Live()), C(Dies(), Live()), Live()]""",
    "CALL of a class with a new": """
        class C:
            def __new__(cls, first): pause(); return super().__new__(cls)
        y = [C(Live()), C(Dies()), Live()]""",
    "CALL of a class that drops": """
        class C:
            def __init__(self, first): dies = Dies()
        y = [C(Live()), C(Dies())]; C(Dies())""",
    "CALL of a class with a metaclass": "y = [Check(Live()), Live()]",
    "CALL of a class with few arguments": """
        class C:
            def __init__(self, first, second): pass
        try: y = [Live(), C(Dies())]
        except TypeError as e: z = Live()""",
    "CALL of type": "y = [type(Dies()), tuple(Ops()), str(Ops()), list(Iterates())]",
    "CALL with too many arguments": """
        try: y = [Live(), takes(Dies(), Live(), Dies(), Live())]
        except TypeError: z = Live()""",
    "CALL with too few arguments": """
        def work(first, second, third): pass
        try: y = [Live(), work(Dies(), Live())]
        except TypeError: z = Live()""",
    "CALL with an unknown keyword": """
        try: y = [Live(), takes(Dies(), Live(), other=Dies())]
        except TypeError: z = Live()""",
    "CALL with a default": """
        def work(first, second=Live(), *rest, third=Live(), **more):
            pause()
            return more
        y = [work(Dies(), Live(), Dies(), Live(), more=Dies()), work(Live())]""",
    "CALL with a star": """
        def work(*rest): return None
        y = [work(Dies(), Live(), Dies()), Live()]""",
    "CALL with stars": """
        def work(**rest): return None
        y = [work(a=Dies(), b=Live(), c=Dies()), Live()]""",
    "CALL of a generator": """
        def work(first): yield first
        y = [work(Dies()), Live()]; work(Dies())""",
    "CALL_KW": "y = takes(Live(), named=Dies()); z = takes(first=Dies(), second=1)",
    "CALL_KW of a builtin": "y = [int('1', base=Ops()), sorted([Live()], key=Ops())]",
    "CALL_KW of a builtin that drops": "y = max([Live()], key=id, default=Dies())",
    "CALL_KW of a class": "y = [Live(a=Dies()), Live(b=Live(), c=Dies()), Live()]",
    "CALL_KW of a method": "y = Dies().method(a=Dies(), b=Live())",
    "CALL_KW that fails": """
        try: y = [Live(), takes(Dies(), named=Live(), second=Dies(), other=Dies())]
        except TypeError: z = Live()""",
    "CALL_FUNCTION_EX": """
        y = takes(*[Live(), Dies()])
        z = takes(*Ops(), **{'named': Dies()})""",
    "CALL_FUNCTION_EX of a builtin": """
        y = max(*Dies(), **{'key': id})
        z = id(*[Dies()])""",
    "CALL_FUNCTION_EX that fails": """
        try: y = [Live(), takes(*[Dies(), Live(), Dies()])]
        except TypeError: z = Live()
        try: y = [Live(), takes(*5)]
        except TypeError: z = Live()""",
    "CALL_FUNCTION_EX with a compared keyword": """
        y = takes(**{SameName('first'): Live(), SameName('named'): Dies()})
        try: takes(Dies(), **{SameName('first'): Dies()})
        except TypeError: z = Live()""",
    "a function that calls with stars": """
        def wraps(*args, **kwargs): return inner(*args, **kwargs)
        def inner(*args, **kwargs): pause(); return args
        y = wraps(Live(), Dies(), a=Live(), b=Dies())""",
    "RETURN_VALUE": """
        def work(): dies = Dies(); return Live()
        y = [work(), Live()]""",
    "RETURN_VALUE of a dying value": """
        def work(): dies = Dies(); return dies
        work(); y = [work() and Live(), Live()]""",
    "a frame that is kept": """
        def work(): dies = Dies(); kept.append(sys._getframe()); return Live()
        kept = []; y = [work(), work()]; pause(); kept.clear()""",
    "a class": """
        class Base(Ops): some = Ops()
        class C(Base, keyword=Live()): some = Ops(); other = Dies()
        class D(metaclass=Meta): some = Ops()""",
    "a decorator": "@Ops()\ndef work(first=Dies(), *, second: Ops() = Live()): pass",
    "a decorator that drops": "@Dies()\n@drops\ndef work(first=Dies()): pass",
    "a function with defaults": "f = lambda a=Live(), b=Dies(): a; f = Live()",
    "a closure": """
        def outer():
            x = Live(); y = Dies()
            def inner(): nonlocal y; y = Live(); return x
            pause()
            return inner()
        y = [outer(), outer()]""",
    "locals": "x = Live(); y = locals(); pause(); sys._getframe().f_locals['x']; del y",
    "a trace function": """
        def trace(frame, event, arg): pause(); return trace
        y = Live()
        sys.settrace(trace)
        y = [Live(), Live()]; z = [x for x in y]
        sys.settrace(None)""",
    "a profile function": """
        sys.setprofile(lambda frame, event, arg: pause())
        y = [takes(Live()), repr(Live()), id(Dies())]
        sys.setprofile(None)""",
    "a greenlet": """
        def inner(): x = Live(); pause(); return x
        y = greenlet.greenlet(inner).switch()""",
    "nested expressions": """
        y = [Live(), {'a': Live(), 'b': [Ops() + takes(Live(), Ops()[Live()])]}]
        z = takes(Ops().attribute, -Ops()) or takes(pause(), [Live(), pause()])""",
}  # fmt: skip


class Check(metaclass=Meta):
    def __init__(self, *args):
        pass


class Mapping(dict):
    def __init__(self):
        super().__init__(first=Live(), second=Live())

    def keys(self):
        pause()
        return super().keys()

    def get(self, key, default=None):
        pause()
        return super().get(key, default)


collections.abc.Mapping.register(Mapping)


def compiled(body):
    body = textwrap.indent(textwrap.dedent(body).strip(), " ")
    names = {**globals(), "functools": functools, "types": types}
    names["greenlet"] = greenlet
    exec(f"def work(box):\n{body}\n", names)
    return names["work"]


def count(container, wanted):
    return sum(1 for found in gc.get_referents(container) if found is wanted)


def known_references(wanted, containers):
    return sum(count(container, wanted) for container in containers)


# How much more getrefcount() says of an object that is in one list.
PROBE = [object()]


def references(pool, index):
    return sys.getrefcount(pool[index]) - sys.getrefcount(PROBE[0]) + 1


def excess(task):
    """Return what is visited more often than it is referenced."""
    pool = []
    for found in gc.get_referents(task):
        if gc.is_tracked(found) and not any(found is other for other in pool):
            pool.append(found)
    found = None
    containers = [c for c in gc.get_objects() if c is not pool]
    bad = []
    for index in range(len(pool)):
        visits = known_references(pool[index], containers)
        # The pool's own reference and that of the list of containers are no one else's.
        others = 1 + sum(c is pool[index] for c in containers)
        others += pool[index] is task  # the argument
        if visits > references(pool, index) - others:
            bad.append(repr(type(pool[index])))
    return bad


def look(name, work, after):
    """Run work in a tasklet, and compare at each pause. Return how many there were."""
    global pauses
    pauses = True
    task = tasklets.tasklet(work)([Live()])
    looked = 0
    while True:
        tasklets.run()
        if not task.alive:
            break
        looked += 1
        assert looked < PAUSES_MAX, f"{name} does not end"
        bad = excess(task)
        assert not bad, f"{name}, {after}, pause {looked}: too often visited: {bad}"
        gc.collect()
        task.insert()
    pauses = False
    return looked


def main(only=None):
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda args: None  # the tasklets that failed are killed
    note = os.open(os.environ["MISUSE_CASE"], os.O_WRONLY | os.O_CREAT)
    total = 0
    failed = 0
    gc.disable()
    for name, body in BODIES.items():
        if only not in (None, name):
            continue
        os.pwrite(note, name.encode().ljust(60), 0)
        work = compiled(body)
        for after in ("cold", "warm"):
            gc.collect()
            gc.freeze()
            try:
                looked = look(name, work, after)
                assert looked, f"{name} has not paused"
                total += looked
            except AssertionError as error:
                failed += 1
                print(error, flush=True)
            gc.unfreeze()
            for _ in range(WARM_ROUNDS):
                work([Live()])
    assert not failed
    print("ok", total)


if __name__ == "__main__":
    faulthandler.enable()
    main(*sys.argv[1:])
