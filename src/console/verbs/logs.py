"""`shopfloor logs`: a task's output, byte for byte; `-f` goes on with it."""

import sys
from typing import Any

import click

from console import printing
from console.client import Client, EngineGone
from console.verbs import calling, waiting
from engine.protocol.states import ENDED

_BLOCK = 1 << 16
_SMALLEST_WINDOW = 4
_TRIES = 5


@click.command()
@calling.task_id
@click.option("--follow", "-f", is_flag=True, help="Go on until the task ends.")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt; default: the newest.")
@click.option("--tail", metavar="N", type=click.IntRange(0), help="Only the last lines.")
@calling.as_json
def logs(*, task: str, follow: bool, attempt: int | None, tail: int | None, as_json: bool) -> None:
    """Print what a task wrote to stdout and stderr. `--json` prints `{attempt, offset, text}` a line."""
    with calling.connect() as client:
        id_ = calling.resolve(client, task)
        reader = _Reader(client, id_, as_json=as_json)
        reader.print_past(attempt, tail)
        if follow:
            reader.follow(only=attempt is not None)


class _Reader:
    """Prints a task's output and remembers how far it came."""

    def __init__(self, client: Client, task_id: str, *, as_json: bool) -> None:
        self._client = client
        self._path = f"/v1/tasks/{task_id}/logs"
        self._task_id = task_id
        self._as_json = as_json
        self._attempt = 0
        self._offset = 0

    def print_past(self, attempt: int | None, tail: int | None) -> None:
        """What is there now: all of it, or its last `tail` lines."""
        window = self._client.get(self._path, attempt=attempt, limit=_SMALLEST_WINDOW)
        self._attempt = window["attempt"]
        size = window["size"]
        self._offset = 0 if tail is None else self._start_of_last(tail, size)
        if self._offset < size:
            for piece in self._client.content(f"{self._path}/raw", self._offset, size - 1, attempt=self._attempt):
                self._print(piece)
        sys.stdout.flush()

    def _start_of_last(self, lines: int, size: int) -> int:
        """Where the last `lines` lines begin, found from the end: a large output is not read for it."""
        end, missing = size, lines + 1
        while end > 0:
            first = max(0, end - _BLOCK)
            block = b"".join(self._client.content(f"{self._path}/raw", first, end - 1, attempt=self._attempt))
            if end == size and not block.endswith(b"\n"):
                missing -= 1
            at = len(block)
            while missing > 0 and (at := block.rfind(b"\n", 0, at)) >= 0:
                missing -= 1
            if missing <= 0:
                return size if lines == 0 else first + at + 1
            end = first
        return 0

    def follow(self, *, only: bool) -> None:
        """Go on until the task ends (`only`: until the attempt does), over retries and restarts of the engine."""
        while True:
            end = self._follow_attempt()
            if only or end["state"] in ENDED or not self._await_attempt(self._attempt + 1):
                return
            self._attempt, self._offset = self._attempt + 1, 0

    def _follow_attempt(self) -> dict[str, Any]:
        """Print the attempt until its end; what the engine says of that."""
        tries = 0
        while True:
            try:
                for event in self._client.stream(f"{self._path}/stream", attempt=self._attempt, offset=self._offset):
                    tries = 0
                    facts: dict[str, Any] = event.json()
                    if event.event == "end":
                        return facts
                    self._print_text(facts)
            except EngineGone:
                tries += 1
                if tries > _TRIES:
                    raise
                self._await_attempt(self._attempt)

    def _await_attempt(self, number: int) -> bool:
        """Whether that attempt begins before the task is over."""
        for task in waiting.changes(self._client, [self._task_id]):
            if task["attempt"] >= number or task["state"] in ENDED:
                return bool(task["attempt"] >= number)
        return False

    def _print(self, piece: bytes) -> None:
        if self._as_json:
            text = piece.decode("utf-8", "replace")
            printing.line({"attempt": self._attempt, "offset": self._offset, "text": text})
        else:
            sys.stdout.buffer.write(piece)
        self._offset += len(piece)

    def _print_text(self, facts: dict[str, Any]) -> None:
        if self._as_json:
            printing.line({"attempt": self._attempt, "offset": facts["offset"], "text": facts["text"]})
        else:
            sys.stdout.write(facts["text"])
            sys.stdout.flush()
        self._offset = facts["next_offset"]
