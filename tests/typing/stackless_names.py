"""The module that stacklesslib_compat.install() provides."""

from typing import assert_type

import stacklesslib_compat

stacklesslib_compat.install()

import stackless  # noqa: E402

numbers: stackless.channel[int] = stackless.channel()
numbers.send(3)
numbers.send("3")  # E: arg-type reportArgumentType
assert_type(numbers.receive(), int)
assert_type(stackless.getcurrent(), stackless.tasklet)
assert_type(stackless.current, stackless.tasklet)
assert_type(stackless.runcount, int)
stackless.tasklet(len)("four")
stackless.run(timeout=100)
stackless.run("100")  # E: arg-type reportArgumentType
stackless.no_such_name  # E: attr-defined reportAttributeAccessIssue reportUnknownMemberType
