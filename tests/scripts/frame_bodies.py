"""Bodies of functions, one for each instruction: see frame_instructions.py."""

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
