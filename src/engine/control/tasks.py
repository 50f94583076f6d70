"""What an operator can ask for about tasks: submit, cancel, retry, change; one or many."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

from engine.control.errors import Problem, invalid
from engine.materials.errors import InvalidInput, MaterialError
from engine.materials.prepare import Materials
from engine.protocol.errors import FieldError
from engine.protocol.states import ENDED, ErrorCode, ExecutorName, TaskState
from engine.protocol.tasks import BulkRequest, BulkResult, DatasetSpec, SubmitTask, TaskChange, TaskView
from engine.scheduler.capacity import Ask
from engine.scheduler.loop import Scheduler
from engine.scheduler.refusals import Refused
from engine.scheduler.submission import NewTask
from engine.store.reads import Reads

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS: Final = 8
_TOGETHER: Final = 500
"""Tasks of a bulk action that share a transaction: others get their turn in between."""
_WITHOUT_PAUSE: Final = 250
"""Tasks of a batch that are looked at while all else waits."""
_MOST: Final = 100_000
_WORD_BYTES: Final = 128 << 10
"""The longest word or variable that Linux hands to a process, its closing NUL included."""
_WORDS_BYTES: Final = 1 << 20
_METADATA_BYTES: Final = 64 << 10
_ID_SHOWN: Final = 64
_HAS_ENDED: Final = "state:" + ",".join(sorted(ENDED))

Item = TypeVar("Item")


class Tasks:
    """Refuses with `Problem`, naming what is wrong, what was given and what is there."""

    def __init__(
        self, scheduler: Scheduler, reads: Reads, materials: Materials, clock: Callable[[], float] = time.time
    ) -> None:
        self._scheduler = scheduler
        self._reads = reads
        self._materials = materials
        self._clock = clock

    async def submit(self, requests: Sequence[SubmitTask], user: str) -> list[TaskView]:
        """Queue tasks, all or none. Each is on disk when this returns."""
        several = len(requests) > 1
        new = []
        async for number, request in _in_turns(requests):
            try:
                new.append(await self._accepted(request, user))
            except Problem as problem:
                raise _placed(problem, number) if several else problem from problem.__cause__
        try:
            views = await self._scheduler.submit(new)
        except Refused as refused:
            found = _problem(refused)
            raise _placed(found, _waiting(requests, refused)) if several else found from refused
        return [TaskView.model_validate(view) async for _, view in _in_turns(views)]

    async def show(self, task_id: str) -> TaskView:
        """The task as it stands; for one that is queued or blocked, `reason` says what it waits for."""
        task = await self._reads.task(task_id)
        if task is None:
            raise Problem(ErrorCode.NOT_FOUND, f"no task {task_id[:_ID_SHOWN]}")
        if task.state is TaskState.BLOCKED:
            waits = await self._waits_for(task)
        else:
            waits = self._scheduler.explain(task_id)
        if waits is None:
            return task
        return task.model_copy(update={"reason": f"{waits} ({task.reason})" if task.reason else waits})

    async def cancel(self, task_id: str, user: str) -> None:
        """Cancel a task. What is live is being ended when this returns, and can only end as cancelled."""
        _raise(await self._scheduler.cancel([task_id], user))

    async def retry(self, task_id: str, change: TaskChange | None, user: str) -> TaskView:  # noqa: ARG002 - as the others
        """Queue a task that has ended for a new attempt, with what is to be changed for it."""
        self._check_change(change)
        _raise(await self._scheduler.retry([task_id], change))
        return await self.show(task_id)

    async def change(self, task_id: str, change: TaskChange, user: str) -> TaskView:  # noqa: ARG002 - as the others
        """Change a task that has not started."""
        self._check_change(change)
        if not change.model_fields_set:
            raise Problem(
                ErrorCode.VALIDATION_ERROR, f"nothing to change: give one of {', '.join(TaskChange.model_fields)}"
            )
        try:
            await self._scheduler.change(task_id, change)
        except Refused as refused:
            raise _problem(refused) from refused
        return await self.show(task_id)

    async def cancel_many(self, request: BulkRequest, user: str) -> BulkResult:
        """Cancel the tasks named, or all that match a filter and have not ended."""
        ids = await self._named(request, f"!{_HAS_ENDED}")
        return await _bulk(ids, lambda some: self._scheduler.cancel(some, user))

    async def retry_many(self, request: BulkRequest, user: str) -> BulkResult:  # noqa: ARG002 - as the others
        """Retry the tasks named, or all that match a filter and have ended."""
        ids = await self._named(request, _HAS_ENDED)
        return await _bulk(ids, self._scheduler.retry)

    async def _waits_for(self, task: TaskView) -> str | None:
        waiting = await self._reads.tasks(filter=f"id:{','.join(task.after)} !state:completed", limit=1)
        if not waiting.tasks:
            return None
        first = waiting.tasks[0]
        more = f" and {waiting.total - 1} more" if waiting.total > 1 else ""
        return f"waits for task {first.id} ({first.job_name}), which is {first.state}{more}"

    async def _accepted(self, request: SubmitTask, user: str) -> NewTask:
        self._check(request)
        command: Sequence[str] = request.command or ()
        snapshot_id = request.snapshot_id
        specs: Sequence[DatasetSpec] = request.dataset_specs
        if self._materials.needs_resolution(request):
            try:
                resolved = await self._materials.resolve(request)
            except InvalidInput as error:
                raise invalid(error.field, str(error), error.value) from error
            except MaterialError as error:
                raise Problem(ErrorCode.VALIDATION_ERROR, str(error)) from error
            command, snapshot_id, specs = resolved.command, resolved.snapshot_id, resolved.dataset_specs
        _check_command(command, request)
        return NewTask(_new_id(), self._scheduler.place(), self._clock(), request, command, snapshot_id, specs, user)

    def _check(self, request: SubmitTask) -> None:
        here = self._scheduler.executors
        if request.executor not in here:
            raise invalid("executor", f"is not available here; available: {', '.join(sorted(here))}", request.executor)
        if request.image is not None and request.executor is not ExecutorName.DOCKER:
            raise invalid("image", f"only executor docker runs an image; this task asks for {request.executor}")
        in_snapshot = request.snapshot_id is not None or request.command is None
        if request.cwd is not None and ("\0" in request.cwd or not (in_snapshot or request.cwd.startswith("/"))):
            raise invalid("cwd", "must be an absolute path, or a folder inside the snapshot that is given", request.cwd)
        for name, value in request.env.items():
            if not name or "=" in name or "\0" in name + value:
                raise invalid(f"env.{name}", "a name must not be empty nor hold '=', and neither part a NUL")
            if _size(name, value) > _WORD_BYTES - 2:
                raise invalid(f"env.{name}", f"must be shorter than {_WORD_BYTES >> 10} KiB")
        if _size(*request.env, *request.env.values()) > _WORDS_BYTES:
            raise invalid("env", f"must be at most {_WORDS_BYTES >> 20} MiB in all")
        if _size(*request.metadata, *request.metadata.values()) > _METADATA_BYTES:
            raise invalid("metadata", f"must be at most {_METADATA_BYTES >> 10} KiB in all")
        self._check_ask(Ask(request.cpu, request.memory_gb, request.gpu))

    def _check_change(self, change: TaskChange | None) -> None:
        if change is not None:
            self._check_ask(Ask(change.cpu or 0, change.memory_gb or 0, change.gpu or 0))

    def _check_ask(self, ask: Ask) -> None:
        capacity = self._scheduler.board.capacity
        lacks = capacity.beyond(ask)
        if lacks:
            fields = [
                FieldError(field=lack.field, message=f"this machine has {lack.there}", value=str(lack.wanted))
                for lack in lacks
            ]
            raise Problem(ErrorCode.VALIDATION_ERROR, capacity.why_never(ask) or "", fields)

    async def _named(self, request: BulkRequest, only: str) -> list[str]:
        if bool(request.ids) == (request.filter is not None):
            raise Problem(ErrorCode.VALIDATION_ERROR, "give either ids or a filter")
        if request.filter is None:
            return request.ids
        if not request.filter.strip():
            raise invalid("filter", "must say which tasks; a blank one would mean all of them", request.filter)
        return await self._reads.ids_matching(f"{request.filter} {only}", _MOST)


async def _in_turns(items: Sequence[Item]) -> AsyncIterator[tuple[int, Item]]:
    """The items with their numbers; others get the loop in between."""
    for number, item in enumerate(items):
        if number % _WITHOUT_PAUSE == _WITHOUT_PAUSE - 1:
            await asyncio.sleep(0)
        yield number, item


def _check_command(command: Sequence[str], request: SubmitTask) -> None:
    if not command or not command[0]:
        raise invalid("command", "must name a program")
    if request.args is not None and "\0" in request.args:
        raise invalid("args", "must not hold a NUL")
    if any("\0" in word for word in command):
        raise invalid("command", "must not hold a NUL")
    if any(_size(word) >= _WORD_BYTES for word in command):
        raise invalid("command", f"each word must be shorter than {_WORD_BYTES >> 10} KiB")
    if _size(*command) > _WORDS_BYTES:
        raise invalid("command", f"must be at most {_WORDS_BYTES >> 20} MiB in all")


def _size(*texts: str) -> int:
    """Bytes of the texts in UTF-8."""
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


def _waiting(requests: Sequence[SubmitTask], refused: Refused) -> int:
    """Which task of several waits for what is not there."""
    return next((number for number, request in enumerate(requests) if refused.value in request.after), 0)


async def _bulk(ids: Sequence[str], do: Callable[[Sequence[str]], Awaitable[dict[str, Refused | None]]]) -> BulkResult:
    done: list[str] = []
    refused: dict[str, str] = {}
    for some in (ids[start : start + _TOGETHER] for start in range(0, len(ids), _TOGETHER)):
        for task_id, refusal in (await do(some)).items():
            if refusal is None:
                done.append(task_id)
            else:
                refused[task_id] = refusal.message
    return BulkResult(done=done, refused=refused)


def _raise(results: dict[str, Refused | None]) -> None:
    for refused in results.values():
        if refused is not None:
            raise _problem(refused) from refused


def _problem(refused: Refused) -> Problem:
    fields = [FieldError(field=refused.field, message=refused.message, value=refused.value)] if refused.field else []
    message = f"{refused.field}: {refused.message}" if refused.field else refused.message
    return Problem(refused.code, message, fields)


def _placed(problem: Problem, number: int) -> Problem:
    """The same about one task of several: each field says which."""
    fields = [field.model_copy(update={"field": f"tasks.{number}.{field.field}"}) for field in problem.fields]
    return Problem(problem.code, f"tasks.{number}: {problem.message}", fields)


def _new_id() -> str:
    bits = int.from_bytes(os.urandom(5))
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, 5 * _DIGITS, 5))
