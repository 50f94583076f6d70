"""What a task prints: any part of it, of any length, followed as it grows and searched from end to end.

Windows of bytes are read around what is on the screen.
"""

from functools import partial
from typing import Any

from textual.message import Message
from textual.timer import Timer

from console.link import Answer
from console.log_buffer import MOST_BYTES, LogBuffer
from console.log_search import Found, LogSearch
from console.mirror import Mirror
from console.tail import Tail
from console.widgets.painted_log import PaintedLog

WINDOW = 64 << 10
HEAR_EVERY_S = 0.05
TRY_AGAIN_S = 1.0


class LogView(PaintedLog, can_focus=True):
    """A task's output. `show` says whose; it follows the end until someone moves up, and again from `end`."""

    DEFAULT_CSS = "LogView { height: 1fr; width: 1fr; }"

    class Changed(Message):
        """Whether it follows, how large the output is, how a search goes: something to tell about it is different."""

        def __init__(self, view: "LogView") -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> "LogView":
            return self.view

    def __init__(
        self,
        mirror: Mirror,
        *,
        empty: str = "",
        ascii_only: bool = False,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(mirror, empty=empty, ascii_only=ascii_only, name=name, id=id, classes=classes)
        self.task_id: str | None = None
        self.attempt: int | None = None
        self.ended = False
        self.search_state: Found | None = None
        self._empty = empty
        self._turn = 0
        self._asking = False
        self._tail: Tail | None = None
        self._search: LogSearch | None = None
        self._found_at: int | None = None
        self._hearing: Timer | None = None
        self._unwatch: Any = None

    # What a person sees and does

    @property
    def output_size(self) -> int:
        """Bytes printed so far, as far as is known."""
        return self._buffer.size

    @property
    def searching(self) -> bool:
        return self._search is not None

    def show(self, task_id: str | None, attempt: int | None = None) -> None:
        """Shows the output of a task's attempt (None: the newest), from its end on. None: nothing."""
        if (task_id, attempt) == (self.task_id, self.attempt) and task_id is not None:
            return
        self._leave()
        self.task_id, self.attempt = task_id, attempt
        self._buffer = LogBuffer()
        self._top, self._pan, self.following, self.ended = 0, 0, True, False
        self._said = self._empty if task_id is None else ""
        self.give_up_search()
        self._read_end()
        self._repaint()
        self._tell()

    def follow(self, following: bool) -> None:
        """Follows the end from now on, or stays where it is."""
        if following:
            self.end()
        elif self.following:
            self.following = False
            self._stop_tail()
            self._tell()

    def move(self, lines: int) -> None:
        """Moves the view by lines, down where positive. Up ends the following; the end takes it up again."""
        highest = self._highest()
        top = max(0, min(self._top + lines, highest))
        if lines < 0 and self.following and (top < self._top or self._buffer.start > 0):
            self.following = False
            self._stop_tail()
            self._tell()
        self._top = top
        if lines > 0 and top == highest and not self.following and self._buffer.stop >= self._buffer.size:
            self._resume()
        self._fill()
        self._repaint()

    def page(self, pages: int) -> None:
        self.move(pages * max(1, self.size.height - 1))

    def home(self) -> None:
        """To the first byte."""
        self.follow(following=False)
        if self._buffer.start == 0:
            self._top = 0
            self._fill()
            self._repaint()
        else:
            self._read_at(0)

    def end(self) -> None:
        """To the last byte, and on as more comes."""
        if self._buffer.stop >= self._buffer.size:
            self._top = self._highest()
            self._resume()
        else:
            self.following = True
            self._read_end()
        self._tell()
        self._repaint()

    def pan(self, columns: int) -> None:
        """Moves the view to the right where positive; long lines are cut at the edges."""
        self._pan = max(0, self._pan + columns)
        self._repaint()

    def visible_text(self) -> str:
        """The lines on the screen, whole, for copying."""
        lines = self._buffer.lines
        stop = min(len(lines), self._top + self.size.height)
        return "\n".join(lines[index].text for index in range(self._top, stop))

    def search(self, needle: str) -> None:
        """Looks for text through the whole output: from the top of the screen down, or from the end up where it
        follows that. Empty: forgets what was found."""
        self.give_up_search()
        self.needle = needle
        self._repaint()
        self._tell()
        if needle and self.following:
            self._look(self._buffer.stop, down=False)
        elif needle:
            self._look(self._offset_of(self._top), down=True)

    def next_match(self) -> None:
        """The next line down that holds what was searched for."""
        if self.needle:
            self._look(self._offset_of(self._mark() + 1), down=True)

    def previous_match(self) -> None:
        """The next line up that holds it."""
        if self.needle:
            self._look(self._offset_of(self._mark()), down=False)

    def give_up_search(self) -> None:
        """Ends a search that goes on; what was found stays marked."""
        if self._search is not None:
            self._search.give_up()
            self._search = None
        self.search_state = None
        self._found_at = None

    # Life

    def on_mount(self) -> None:
        self._unwatch = self._mirror.watch("link", self._link_turned)

    def on_unmount(self) -> None:
        self._leave()
        if self._unwatch is not None:
            self._unwatch()

    def on_resize(self) -> None:
        if self.following:
            self._top = self._highest()
        self._repaint()
        self._fill()

    def on_mouse_scroll_down(self) -> None:
        self.move(3)

    def on_mouse_scroll_up(self) -> None:
        self.move(-3)

    def _tell(self) -> None:
        if self.is_attached:
            self.post_message(self.Changed(self))

    # Windows

    def _path(self) -> str:
        return f"/v1/tasks/{self.task_id}/logs"

    def _ask(self, query: dict[str, object], then: Any) -> None:
        if self.task_id is None:
            return
        self._asking = True
        if self.attempt is not None:
            query["attempt"] = self.attempt
        self._mirror.read(self._path(), query, partial(self._answered, self._turn, then))

    def _answered(self, turn: int, then: Any, answer: Answer) -> None:
        if turn != self._turn or not self.is_attached:
            return
        self._asking = False
        if answer.trouble is not None:
            if not self._buffer.lines:
                self._said = "no output" if answer.trouble.status == 404 else answer.trouble.message
                self._repaint()
            return
        window = answer.value
        self.attempt = int(window["attempt"])
        self.ended = bool(window["ended"])
        self._buffer.size = int(window["size"])
        self._said = "" if self._buffer.size else ("it printed nothing" if self.ended else "no output yet")
        then(int(window["offset"]), str(window["text"]), int(window["next_offset"]))
        self._repaint()
        self._tell()

    def _read_end(self) -> None:
        self._turn += 1
        self._ask({"tail": WINDOW}, self._take_end)

    def _take_end(self, offset: int, text: str, reached: int) -> None:
        self._buffer.clear(offset)
        self._buffer.append(offset, text, reached)
        self._top = self._highest()
        if self.following:
            self._resume()
        self._fill()

    def _read_at(self, offset: int, lines_above: int = 0) -> None:
        """Puts the line that starts at byte `offset` on the screen."""
        self._turn += 1
        self._ask({"offset": offset, "limit": WINDOW}, partial(self._take_at, lines_above))

    def _take_at(self, lines_above: int, offset: int, text: str, reached: int) -> None:
        self._stop_tail()
        self._buffer.clear(offset)
        self._buffer.append(offset, text, reached)
        self._top = 0
        if lines_above:
            self._read_up(lines_above)
        else:
            self._fill()

    def _read_up(self, then_up: int = 0) -> None:
        start = max(0, self._buffer.start - WINDOW)
        if self._asking or start == self._buffer.start:
            return
        query: dict[str, object] = {"offset": start, "limit": self._buffer.start - start}
        self._ask(query, partial(self._take_up, then_up))

    def _take_up(self, then_up: int, offset: int, text: str, _: int) -> None:
        added = self._buffer.prepend(offset, text)
        self._top = max(0, self._top + added - min(then_up, added))
        self._buffer.trim_bottom()
        self._fill()

    def _take_down(self, offset: int, text: str, reached: int) -> None:
        self._buffer.append(offset, text, reached)
        self._top = max(0, self._top - self._buffer.trim_top())
        self._fill()

    def _fill(self) -> None:
        """Reads more where the screen comes near the edge of what is held."""
        if self._asking or self.task_id is None or not self._buffer.lines:
            return
        if self._buffer.stop - self._buffer.start > MOST_BYTES:
            return  # a line without an end: more of it would not be shown
        room = 2 * self.size.height
        if self._top < room and self._buffer.start > 0:
            self._read_up()
            return
        below = len(self._buffer.lines) - self._top - self.size.height
        if below < room and self._tail is None and self._buffer.stop < self._buffer.size:
            self._ask({"offset": self._buffer.stop, "limit": WINDOW}, self._take_down)

    # The end, as it grows

    def _resume(self) -> None:
        """Follows from the last byte that is held on."""
        if not self.following:
            self.following = True
            self._tell()
        if self.ended or self._tail is not None or self.task_id is None or self.attempt is None:
            return
        self._tail = self._mirror.tail(
            self.task_id, attempt=self.attempt, offset=self._buffer.stop, heard=self._heard_soon
        )

    def _stop_tail(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _leave(self) -> None:
        self._turn += 1
        self._asking = False
        self._stop_tail()
        if self._search is not None:
            self._search.give_up()
            self._search = None

    def _heard_soon(self) -> None:
        if self._hearing is None and self.is_attached:
            self._hearing = self.set_timer(HEAR_EVERY_S, self._heard)

    def _heard(self) -> None:
        self._hearing = None
        tail = self._tail
        if tail is None:
            return
        for chunk in tail.take():
            self._buffer.append(chunk.offset, chunk.text, chunk.next_offset)
        self._buffer.trim_top()
        if tail.ended or tail.broken:
            self._tail = None
            self.ended = tail.ended
            if tail.broken and self._mirror.link.live:
                self.set_timer(TRY_AGAIN_S, self._catch_up)
        if self.following:
            self._top = self._highest()
        self._said = "" if self._buffer.size else ("it printed nothing" if self.ended else self._said)
        self._repaint()
        self._tell()

    def _catch_up(self) -> None:
        """After the connection broke: from the last byte that is held on."""
        if self.following and self._tail is None and not self._asking:
            if self._buffer.lines:
                self._resume()
            else:
                self._read_end()

    def _link_turned(self) -> None:
        if self._mirror.link.live and self._tail is None and not self.ended:
            self._asking = False
            self._catch_up()
        self._repaint()

    # Search

    def _look(self, start: int, *, down: bool) -> None:
        if self.task_id is None or self.attempt is None:
            return
        if self._search is not None:
            self._search.give_up()
        self._search = LogSearch(
            self._mirror.read, self._path(), self.attempt, self.needle, start=start, down=down, tell=self._found
        )

    def _found(self, found: Found) -> None:
        self.search_state = found
        if found.over or found.at is not None:
            self._search = None
        if found.at is not None:
            self._found_at = found.at
            self._bring(found.at)
        self._tell()

    def _mark(self) -> int:
        """The line from which the search goes on: the one found last, else the first on the screen."""
        if self._found_at is not None and self._buffer.start <= self._found_at < self._buffer.stop:
            return self._buffer.index_at(self._found_at)
        return self._top

    def _bring(self, offset: int) -> None:
        """Puts the line at byte `offset` on the screen, a third down from its top."""
        self.follow(following=False)
        above = self.size.height // 3
        if self._buffer.start <= offset < self._buffer.stop:
            index = self._buffer.index_at(offset)
            if not self._top <= index < self._top + self.size.height:
                self._top = max(0, min(index - above, self._highest()))
            self._fill()
            self._repaint()
        else:
            self._read_at(offset, above)

    def _offset_of(self, index: int) -> int:
        return self._buffer.offset_of(min(index, len(self._buffer.lines)))
