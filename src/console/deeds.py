"""What the actions come to: questions to the person, requests to the engine, and a line that says how it went."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from console.formats import Tone, named, plural
from console.link import Answer, Trouble
from console.situation import Subject
from engine.protocol.states import ENDED, LIVE

if TYPE_CHECKING:
    from console.app import Shopfloor
    from console.screens.dialogs import Instead

MOST_MARKS = 10_000
"""The engine takes no more ids at once; a filter has no such end."""

PAGE = 1_000
ASKS = {"priority", "cpu", "memory_gb", "gpu", "timeout_s", "max_retries"}
LIVE_STATES = ",".join(sorted(LIVE))


class Deeds:
    """One method an action of the registry; each starts a worker where it has to wait."""

    def __init__(self, floor: "Shopfloor") -> None:
        self._floor = floor

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._floor.run_worker(work, exit_on_error=True)

    def _targets(self) -> list[Subject]:
        """What is marked, else what is under the cursor."""
        desk = self._floor.desk
        subject = desk.subject()
        return desk.marked() or ([subject] if subject else [])

    def _say(self, text: str, tone: Tone = Tone.TEXT) -> None:
        self._floor.say(text, tone)

    def _refused(self, what: str, trouble: Trouble) -> None:
        self._say(f"{what}: {trouble.message}", Tone.WANTS)

    def _ask(
        self,
        title: str,
        said: Sequence[str],
        then: Callable[[], Coroutine[Any, Any, None]],
        *,
        yes: str,
        loses: str = "",
        instead: "Instead | None" = None,
    ) -> None:
        """Put the question before the person at once, so that the very next key is its answer."""
        from console.screens.dialogs import Question

        def answered(agreed: bool | None) -> None:
            if agreed:
                self._start(then())

        self._floor.push_screen(Question(title, said, yes=yes, loses=loses, instead=instead), answered)

    # open

    def do_task_open(self, text: str) -> None:
        subject = self._floor.desk.subject()
        if text:
            self._start(self._open(text))
        elif subject is not None:
            self._floor.open_task(subject)

    async def _open(self, beginning: str) -> None:
        """The page of the task whose id begins like this."""
        answer = await self._floor.mirror.get("/v1/tasks", filter=f"id:{beginning}", limit=2)
        if answer.trouble:
            self._refused("open", answer.trouble)
        elif answer.value["total"] != 1:
            found = plural(int(answer.value["total"]), "task")
            self._say(f"open: {found} with an id that begins with {beginning}", Tone.WANTS)
        else:
            task = answer.value["tasks"][0]
            self._floor.open_task(Subject(task["id"], task["job_name"], task["state"], task["priority"]))

    # cancel

    def do_task_cancel(self, text: str) -> None:
        if text:
            self._start(self._cancel_matching(text))
        else:
            self._cancel(self._targets())

    def _cancel(self, subjects: list[Subject]) -> None:
        open_ones = [subject for subject in subjects if subject.state not in ENDED]
        if not open_ones:
            self._say("cancel: all of these have ended", Tone.WANTS)
            return
        live = sum(1 for subject in open_ones if subject.state in LIVE)
        if len(open_ones) == 1:
            one = open_ones[0]
            title, said = (
                f"cancel {one.name}?",
                [f"task {one.id} is {one.state}; a cancelled task never comes back by itself."],
            )
        else:
            title = f"cancel {plural(len(open_ones), 'task')}?"
            said = [named([subject.name for subject in open_ones]), _split(live, len(open_ones) - live)]
            if over := len(subjects) - len(open_ones):
                said.append(f"{over:,} more have ended already and stay as they are.")
        then = partial(self._cancel_now, open_ones)
        self._ask(title, said, then, yes=_yes("cancel", len(open_ones)), loses=_loses(live))

    async def _cancel_now(self, subjects: list[Subject]) -> None:
        ids = [subject.id for subject in subjects]
        if len(ids) == 1:
            answer = await self._floor.mirror.ask("DELETE", f"/v1/tasks/{ids[0]}")
            self._tell_one("cancel", f"{subjects[0].name} is being cancelled", answer)
        else:
            await self._cancel_all({"ids": ids})

    async def _cancel_all(self, which: dict[str, Any]) -> None:
        self._tell_many("cancelled", await self._floor.mirror.ask("POST", "/v1/tasks/cancel", which))

    async def _cancel_matching(self, text: str) -> None:
        mirror = self._floor.mirror
        queued = f"{text} !state:{','.join(sorted(ENDED))}"
        all_of_it = await mirror.get("/v1/tasks", filter=queued, limit=5)
        live = await mirror.get("/v1/tasks", filter=f"{text} state:{LIVE_STATES}", limit=1)
        if trouble := all_of_it.trouble or live.trouble:
            self._refused("cancel", trouble)
            return
        total, running = int(all_of_it.value["total"]), int(live.value["total"])
        if not total:
            hint = "; name:begins* takes all that begin so" if "name:" in text and "*" not in text else ""
            self._say(f"cancel: nothing that has not ended matches {text}{hint}", Tone.WANTS)
            return
        names = [str(task["job_name"]) for task in all_of_it.value["tasks"]]
        said = [
            f"{', '.join(names[:4])}{f' and {total - 4:,} more' if total > 4 else ''}",
            _split(running, total - running),
        ]
        then = partial(self._cancel_all, {"filter": queued})
        self._ask(f"cancel {plural(total, 'task')}?", said, then, yes=_yes("cancel", total), loses=_loses(running))

    # retry

    def do_task_retry(self, text: str) -> None:
        change = _change(text)
        if isinstance(change, str):
            self._say(f"retry: {change}", Tone.WANTS)
        else:
            self._retry(self._targets(), change)

    def _retry(self, subjects: list[Subject], change: dict[str, float]) -> None:
        ended = [subject for subject in subjects if subject.state in ENDED]
        if not ended:
            self._say("retry: none of these has ended", Tone.WANTS)
            return
        title = f"retry {ended[0].name if len(ended) == 1 else plural(len(ended), 'task')}?"
        said = [f"{named([subject.name for subject in ended])}: a new attempt is queued; the old output stays."]
        if change:
            said.append("it asks for " + ", ".join(f"{name} {value:g}" for name, value in change.items()))
        if done := sum(1 for subject in ended if subject.state == "completed"):
            said.append(f"{plural(done, 'task')} of these completed, and would run once more.")
        from console.screens.dialogs import Instead

        ask_more = Instead("e", "change what it asks for", partial(self._floor.open_command_line, "retry memory_gb="))
        self._ask(
            title,
            said,
            partial(self._retry_now, ended, change),
            yes=_yes("retry", len(ended)),
            instead=None if change else ask_more,
        )

    async def _retry_now(self, ended: list[Subject], change: dict[str, float]) -> None:
        mirror = self._floor.mirror
        if len(ended) == 1:
            answer = await mirror.ask("POST", f"/v1/tasks/{ended[0].id}/retry", change or None)
            self._tell_one("retry", f"{ended[0].name} is queued again", answer)
        elif not change:
            answer = await mirror.ask("POST", "/v1/tasks/retry", {"ids": [subject.id for subject in ended]})
            self._tell_many("queued again", answer)
        else:
            await self._each(ended, "queued again", "POST", "/retry", change)

    # priority

    def do_task_raise(self) -> None:
        self._start(self._priority(self._targets(), lambda now: min(10, now + 1)))

    def do_task_lower(self) -> None:
        self._start(self._priority(self._targets(), lambda now: max(1, now - 1)))

    def do_task_priority(self, text: str) -> None:
        if not text.isdigit() or not 1 <= int(text) <= 10:
            self._say(f"priority: {text!r} must be a number from 1 to 10", Tone.WANTS)
        else:
            self._start(self._priority(self._targets(), lambda _: int(text)))

    async def _priority(self, subjects: list[Subject], new: Callable[[int], int]) -> None:
        mirror = self._floor.mirror
        refused: list[str] = []
        for subject in subjects:
            answer = await mirror.ask("PATCH", f"/v1/tasks/{subject.id}", {"priority": new(subject.priority)})
            if answer.trouble:
                refused.append(answer.trouble.message)
        if refused:
            self._say(f"priority: {len(refused)} refused: {refused[0]}", Tone.WANTS)
        elif len(subjects) == 1:
            self._say(f"{subjects[0].name} has priority {new(subjects[0].priority)}")
        else:
            self._say(f"priority of {plural(len(subjects), 'task')} set")

    # the queue

    def do_queue_pause(self, reason: str) -> None:
        stats = self._floor.mirror.stats
        queued = stats.queued if stats else 0
        running = stats.running if stats else 0
        said = [
            f"nothing further starts: {plural(queued, 'queued task')} will wait until someone resumes.",
            f"what runs goes on to its end: {plural(running, 'task')}.",
        ]
        self._ask("pause the queue?", said, partial(self._pause_now, reason), yes="pause it for everyone")

    async def _pause_now(self, reason: str) -> None:
        body = {"reason": reason} if reason else {}
        answer = await self._floor.mirror.ask("POST", "/v1/queue/pause", body)
        self._tell_one("pause", "the queue is paused", answer)

    def do_queue_resume(self) -> None:
        self._start(self._resume())

    async def _resume(self) -> None:
        answer = await self._floor.mirror.ask("POST", "/v1/queue/resume")
        self._tell_one("resume", "the queue goes on", answer)

    def do_queue_limit(self, text: str) -> None:
        self._start(self._limit(text))

    async def _limit(self, text: str) -> None:
        name, _, word = text.partition(" ")
        word = word.strip()
        if not (word.isdigit() or word == "none"):
            self._say("limit: write the group, then a number or none: limit training 2", Tone.WANTS)
            return
        body = {"name": name, "limit": None if word == "none" else int(word)}
        answer = await self._floor.mirror.ask("PUT", "/v1/queue/groups", body)
        said = f"group {name} has no limit" if word == "none" else f"group {name}: {word} at once"
        self._tell_one("limit", said, answer)

    # marks

    def do_mark_all(self) -> None:
        self._start(self._mark(invert=False))

    def do_mark_invert(self) -> None:
        self._start(self._mark(invert=True))

    async def _mark(self, *, invert: bool) -> None:
        queue = self._floor.desk.queue
        if queue is None:
            return
        feed = queue.feed
        before = queue.marks
        found: dict[str, Subject] = {}
        for offset in range(0, min(feed.total, MOST_MARKS), PAGE):
            answer = await self._floor.mirror.get(
                "/v1/tasks", sort=feed.sort, filter=feed.filter, limit=min(PAGE, MOST_MARKS - offset), offset=offset
            )
            if answer.trouble:
                self._refused("mark", answer.trouble)
                return
            found |= {
                task["id"]: Subject(task["id"], task["job_name"], task["state"], task["priority"])
                for task in answer.value["tasks"]
            }
        if invert:
            found = {one: subject for one, subject in found.items() if one not in before}
        queue.remember(found.values())
        queue.clear_marks()
        queue.mark(found)
        if feed.total > MOST_MARKS:
            self._say(
                f"the first {MOST_MARKS:,} of {feed.total:,} are marked; :cancel FILTER takes all that match",
                Tone.WANTS,
            )

    # copy

    def do_copy_id(self) -> None:
        if (subject := self._floor.desk.subject()) is not None:
            self._copy(subject.id, subject.id)

    def do_copy_row(self) -> None:
        pane: Any = self._floor.desk.focused
        self._copy(pane.row_text(), "the row")

    def _copy(self, text: str, what: str) -> None:
        from console.terminal import copy

        how = copy(text, self._floor.write_raw)
        self._say(f"{what} {how}")

    # submit in one line

    def do_task_submit(self, text: str) -> None:
        if text:
            self._start(self._submit(text))
        else:
            self._floor.open_form({})

    async def _submit(self, text: str) -> None:
        from console.screens.form_fields import read_form

        body = read_form({"command": text})
        if isinstance(body, dict):
            answer = await self._floor.mirror.ask("POST", "/v1/tasks", body)
            self._tell_one("submit", f"{body['job_name']} is queued", answer)
        else:
            self._say(f"submit: {body.message}", Tone.WANTS)

    def do_task_again(self) -> None:
        self._start(self._again())

    async def _again(self) -> None:
        subject = self._floor.desk.subject()
        if subject is None:
            return
        answer = await self._floor.mirror.get(f"/v1/tasks/{subject.id}")
        if answer.trouble:
            self._refused("submit again", answer.trouble)
        else:
            from console.screens.form_fields import form_of

            self._floor.open_form(form_of(answer.value))

    # telling how it went

    async def _each(self, subjects: list[Subject], did: str, method: str, path: str, body: object) -> None:
        refused: list[str] = []
        for subject in subjects:
            answer = await self._floor.mirror.ask(method, f"/v1/tasks/{subject.id}{path}", body)
            if answer.trouble:
                refused.append(answer.trouble.message)
        self._tally(len(subjects) - len(refused), did, refused)

    def _tell_one(self, what: str, said: str, answer: Answer) -> None:
        if answer.trouble:
            self._refused(what, answer.trouble)
        else:
            self._say(said)

    def _tell_many(self, did: str, answer: Answer) -> None:
        if answer.trouble:
            self._refused(did, answer.trouble)
            return
        self._tally(len(answer.value["done"]), did, [str(reason) for reason in answer.value["refused"].values()])
        queue = self._floor.desk.queue
        if queue is not None:
            queue.do_mark_none()

    def _tally(self, done: int, did: str, refused: list[str]) -> None:
        said = f"{plural(done, 'task')} {did}"
        if refused:
            self._say(f"{said}; {len(refused):,} refused: {refused[0]}", Tone.WANTS)
        else:
            self._say(said)


def _split(live: int, waiting: int) -> str:
    parts = [f"{live:,} run now" if live else "", f"{waiting:,} have not started" if waiting else ""]
    return ", ".join(part for part in parts if part) + "."


def _loses(live: int) -> str:
    return "what a running task has not written is lost; its processes are ended." if live else ""


def _yes(verb: str, count: int) -> str:
    return f"{verb} it" if count == 1 else f"{verb} all {count:,}"


def _change(text: str) -> dict[str, float] | str:
    """`memory_gb=16 cpu=2` as a change of what a task asks for, or what is wrong with it."""
    change: dict[str, float] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if name not in ASKS:
            return f"{word!r}: write one of {', '.join(sorted(ASKS))} and =N"
        try:
            change[name] = float(value) if name == "timeout_s" else int(value)
        except ValueError:
            return f"{word!r}: {value!r} is no number"
    return change
