"""The end of all patience: a stop that something holds up is cut short, so that a stop is always a matter of seconds.

Whatever is cut off here is what a kill would cut off, and the next engine takes over after either.
"""

import faulthandler
import logging
import os
import sys
import threading
from typing import Final

from engine.settings import Home

log = logging.getLogger(__name__)

LEAVE_WITHIN_S: Final = 15.0
"""From the decision to leave until the process is gone. A locked database alone may take ten."""


def out_of_time(after_s: float, home: Home) -> None:
    """End this process in `after_s` seconds, unless it has ended by then."""
    timer = threading.Timer(after_s, _end, [after_s, home])
    timer.daemon = True
    timer.start()


def _end(after_s: float, home: Home) -> None:
    log.error("something held up the stop for %g s: the process ends now, and what runs is left running", after_s)
    for handler in logging.getLogger().handlers:
        stream = getattr(handler, "stream", sys.stderr)
        faulthandler.dump_traceback(stream, all_threads=True)
        break
    home.engine_file.unlink(missing_ok=True)
    os._exit(1)
