# The module that `import stackless` finds after stacklesslib_compat.install().

from stacklesslib_compat.stackless import *  # noqa: F403
from stacklesslib_compat.stackless import current as current
from stacklesslib_compat.stackless import debug as debug
from stacklesslib_compat.stackless import main as main
from stacklesslib_compat.stackless import (
    pickle_with_tracing_state as pickle_with_tracing_state,
)
from stacklesslib_compat.stackless import runcount as runcount
from stacklesslib_compat.stackless import threads as threads
from stacklesslib_compat.stackless import uncollectables as uncollectables
