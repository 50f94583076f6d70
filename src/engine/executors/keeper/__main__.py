"""`python -I -S -X utf8 __main__.py start HOME VERSION` starts the keeper of a home in a session of its own.

Returns 0 once it answers, 1 when another one holds the home. VERSION is handed back to each engine that says hello.
The first stage makes the keeper-to-be the one that orphans of its attempts are handed to (`PR_SET_CHILD_SUBREAPER`,
which outlives exec), then runs the second stage in its place: what the first one imported for that is gone again.
"""

from __future__ import annotations

import os
import sys

_SET_CHILD_SUBREAPER = 36
_KEPT = ("LD_LIBRARY_PATH", "SHOPFLOOR_ATTEMPT", "SHOPFLOOR_KEEPER", "SHOPFLOOR_KEEPER_IDLE_S")
"""The cookie is that of a task which shopfloor itself runs in: it ends with that task."""
_SOURCE = os.path.abspath(__file__ + "/../../../..")


def _start(home: str, version: str) -> None:
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os._exit(0 if os.read(ready, 1) else 1)
    import ctypes

    os.setsid()
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.set_inheritable(tell, True)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    arguments = [sys.executable, "-I", "-S", "-X", "utf8", os.path.abspath(__file__), "serve", home, version, str(tell)]
    os.execve(sys.executable, arguments, kept)  # noqa: S606 - there is no shell to be had here


def _serve(home: str, version: str, tell: int) -> None:
    sys.path.append(_SOURCE)
    from engine.executors.keeper.serve import keep

    keep(home, version, tell)


if __name__ == "__main__":
    if sys.argv[1] == "start":
        _start(sys.argv[2], sys.argv[3])
    else:
        _serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
