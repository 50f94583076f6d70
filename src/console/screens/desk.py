"""A screen made of panes: it plans their places, knows which one is in hand, and turns keys into actions."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from textual import events, on
from textual.app import ComposeResult
from textual.geometry import Size
from textual.layout import Layout
from textual.screen import Screen
from textual.widget import Widget

from console.actions import Action, here, why_not
from console.formats import Tone, age, clock
from console.keymap import key_name, shown
from console.panes.base import Recaptioned
from console.panes.costs import spend
from console.plan import DeskLayout, Plan, Planner
from console.situation import Place, Situation, Subject
from console.themes import Palette
from console.widgets.frame import Frame
from console.widgets.ink import Run, width_of

if TYPE_CHECKING:
    from console.app import Shopfloor
    from console.screens.prompt import Prompt


class Pane(Protocol):
    """What a desk asks of a pane, beside being a widget."""

    places: tuple[Place, ...]

    def caption(self) -> tuple[list[Run], list[Run]]: ...


class Desk(Screen[None], inherit_bindings=False):
    """The overview and a task's page are desks. `PANES` are numbered from 1, in this order."""

    AUTO_FOCUS = ""
    PANES: ClassVar[tuple[str, ...]] = ()
    PLACE: ClassVar[Place] = Place.ANYWHERE

    def __init__(self, planner: Planner) -> None:
        super().__init__()
        self._planner = planner
        self._desk_layout = DeskLayout(self._plan_for)
        self._zoomed = False
        self._said: Run | None = None
        self._note: Widget | None = None
        self._unwatch: list[Callable[[], None]] = []
        self.current = self.PANES[0]
        self.plan = Plan(Size(0, 0))
        self._arranged = Size(0, 0)
        self.frame = Frame(self)
        self.prompt: Prompt | None = None

    @property
    def floor(self) -> "Shopfloor":
        """The app, as what it is."""
        return cast("Shopfloor", self.app)

    @property
    def palette(self) -> Palette:
        return self.floor.palette

    @property
    def ascii_only(self) -> bool:
        return self.floor.ascii_only

    @property
    def layout(self) -> Layout:
        return self._desk_layout

    @abstractmethod
    def make_pane(self, name: str) -> Widget:
        """The pane of that name; it is asked for when it first comes on the screen."""

    def place_for(self, action: Action) -> None:
        """A command about the log works from any pane: it takes the log in hand first."""
        if Place.LOG in action.where and Place.LOG not in self.places():
            self.jump("log")

    @abstractmethod
    def subject(self) -> Subject | None:
        """The task that actions are about."""

    def marked(self) -> list[Subject]:
        """The tasks that are marked."""
        return []

    @property
    def queue(self) -> Any:
        """The queue's pane, where this desk has one."""
        return None

    def pane(self, name: str) -> Any:
        """The pane, or None while it has not been on the screen."""
        return next((child for child in self.children if child.id == name), None)

    # Where things stand

    def compose(self) -> ComposeResult:
        self._arranged = self.app.size
        self.plan = self._planner(self._arranged, self.current, self._zoomed)
        yield self.frame
        for name in self.plan.slots:
            yield self.make_pane(name)

    def on_mount(self) -> None:
        mirror = self.floor.mirror
        self._unwatch.append(mirror.watch("link", self._link_turned))
        for what in ("stats", "resources", "engine", "costs_facts"):
            self._unwatch.append(mirror.watch(what, self.redraw))
        self.take_in_hand()
        self._age()
        self.frame.redraw(whole=True)

    def on_unmount(self) -> None:
        for unwatch in self._unwatch:
            unwatch()

    def on_resize(self, event: events.Resize) -> None:
        if event.size != self._arranged:
            self._replan(event.size)

    def jump(self, name: str) -> None:
        """Take that pane in hand, wherever it is."""
        self.current = name
        self._replan(self.size)
        self.take_in_hand()

    def zoom(self) -> None:
        self._zoomed = not self._zoomed
        self._replan(self.size)

    def redraw(self) -> None:
        """Repaint what changed of the frame."""
        if self.is_mounted:
            self.frame.redraw()

    def _link_turned(self) -> None:
        self._age()
        self.redraw()

    def _age(self) -> None:
        """Lists and logs look at the link themselves; sheets are told."""
        for child in self.children:
            if (grow_old := getattr(child, "grow_old", None)) is not None:
                grow_old(self.floor.mirror.stale)

    def _plan_for(self, size: Size) -> Plan:
        if size != self.plan.size:
            self.plan = self._planner(size, self.current, self._zoomed)
        return self.plan

    def _replan(self, size: Size) -> None:
        self._arranged = size
        self.plan = self._planner(size, self.current, self._zoomed)
        missing = [name for name in self.plan.slots if self.pane(name) is None]
        if missing:
            self.mount_all([self.make_pane(name) for name in missing])
            self._age()
        self.frame.refresh(layout=True)  # through a child: a screen asked itself would keep to its last arrangement
        self.frame.redraw(whole=True)
        self.call_after_refresh(self.take_in_hand)

    def take_in_hand(self) -> None:
        """The keys go to the pane in hand, unless something is being typed."""
        pane = self.pane(self.current)
        if pane is not None and self.focused is not pane and not self.is_typing:
            self.set_focus(pane, scroll_visible=False)

    @property
    def is_typing(self) -> bool:
        """The filter or command line is open."""
        return self.prompt is not None

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        name = event.widget.id
        if name in self.PANES or name == "log":
            self.current = name
        self.redraw()

    @on(Recaptioned)
    def _recaption(self) -> None:
        self.redraw()

    # What the frame says

    def header(self) -> tuple[Sequence[Run], Sequence[Run]]:
        mirror = self.floor.mirror
        link = mirror.link
        left = [Run(" shopfloor", Tone.ACCENT, bold=True)]
        if link.phase == "lost":
            gone = age(self.floor.clock() - link.since)
            text = f"engine gone since {gone}, trying again; what you see is from {clock(link.since)}"
            return [*left, Run(f"  ✖ {text}", Tone.WANTS)], []
        stats = mirror.stats
        paused = stats is not None and stats.paused
        if mirror.resources is not None and self.plan.size.width >= (100 if paused else 72):
            left.append(Run(f"  {mirror.resources.host}", Tone.TEXT))
        left.append(Run("  ● live", Tone.GOOD) if link.live else Run("  ◌ connecting", Tone.DIM))
        if stats is not None and paused:
            by = f" by {stats.paused_by}" if stats.paused_by else ""
            why = f": {stats.paused_reason}" if stats.paused_reason and self.plan.size.width >= 100 else ""
            left.append(Run(f"  ‖ paused{by}{why}", Tone.WANTS))
        if not self.plan.tabs and not self.plan.too_small:
            hidden = [f"{number} {name}" for number, name in enumerate(self.PANES, 1) if name not in self.plan.slots]
            left += [Run(f"  {one}", Tone.DIM) for one in hidden]
        return left, [*self._resources(), Run(" ")]

    def _resources(self) -> list[Run]:
        resources = self.floor.mirror.resources
        runs: list[Run] = []
        if resources is not None:
            gpus = resources.gpus
            held = sum(1 for gpu in gpus if gpu.task_id)
            facts = [
                ("cpu", f"{resources.cpu_used}/{resources.cpu_total}"),
                ("mem", f"{resources.memory_gb_used}/{resources.memory_gb_total}G"),
                *([("gpu", f"{held}/{len(gpus)}")] if gpus else []),
            ]
            for name, value in facts:
                runs += [Run(f"{name} ", Tone.DIM), Run(f"{value}  ")]
        return [*runs, *spend(self.floor.mirror)]

    def tabs(self) -> Sequence[tuple[str, Sequence[Run]]]:
        tabs: list[tuple[str, Sequence[Run]]] = []
        for number, name in enumerate(self.PANES, 1):
            here_now = name == self.current
            tone = Tone.ACCENT if here_now else Tone.DIM
            count = self.tab_count(name)
            runs = [Run(" "), Run(f"{number} {name}", tone, bold=here_now)]
            tabs.append((name, [*runs, *([Run(" "), count] if count else []), Run(" ")]))
        return tabs

    def tab_count(self, name: str) -> Run | None:  # noqa: ARG002 - a desk whose panes count says so
        """What a tab says after its name."""
        return None

    def caption(self, pane: str) -> tuple[Sequence[Run], Sequence[Run]]:
        widget = self.pane(pane)
        mine = self.focused is widget and widget is not None
        number = f"{self.PANES.index(pane) + 1} " if pane in self.PANES and not self.plan.tabs else ""
        name = Run(f"{number}{pane}", Tone.ACCENT if mine else Tone.TEXT, bold=mine)
        left, right = widget.caption() if widget is not None else ([], [])
        if self.floor.mirror.stale:  # as old as the rows beneath it
            left = [run._replace(tone=Tone.DIM) for run in left]
        return [name, *([Run(" ─ ", Tone.RULE), *left] if left else [])], right

    def footer(self) -> tuple[Sequence[Run], Sequence[Run]]:
        if self._said is not None:
            return [Run(" "), self._said], []
        width = self.plan.size.width
        situation = self.situation()
        able = [action for action in here(situation) if action.rank and why_not(action, situation) is None]
        able = [action for action in able if self.floor.keymap.there(action, situation.places)]
        last = [action for action in able if action.id == "help.show"]
        runs: list[Run] = [Run(" ")]
        tail = [run for action in last for run in self._hint(action)]
        for action in able:
            hint = self._hint(action)
            if action not in last and width_of(runs) + width_of(hint) + width_of(tail) < width:
                runs += hint
        return [*runs, *tail], []

    def _hint(self, action: Action) -> list[Run]:
        key = shown(self.floor.keymap.there(action, self.places())[0], ascii_only=self.ascii_only)
        return [Run(key, Tone.ACCENT), Run(f" {action.label}  ", Tone.DIM)]

    # What keys do

    def places(self) -> tuple[Place, ...]:
        """From the focus outwards."""
        focused: Any = self.focused
        return (*getattr(focused, "places", ()), self.PLACE, Place.ANYWHERE)

    def situation(self) -> Situation:
        mirror = self.floor.mirror
        return Situation(
            places=self.places(),
            live=not mirror.stale,
            subject=self.subject(),
            marked=len(self.marked()),
            paused=mirror.stats is not None and mirror.stats.paused,
            filtered=bool(mirror.tasks.filter),
            zoomed=self._zoomed,
        )

    def say(self, text: str, tone: Tone = Tone.TEXT) -> None:
        """A line in place of the footer, or more where it takes more, until the next key."""
        self._unsay()
        self._said = Run(text, tone)
        if width_of([self._said]) >= self.plan.size.width:
            from console.screens.note import Note

            self._note = Note(self._said, self.plan.size.width)
            self.mount(self._note)
        self.redraw()

    def _unsay(self) -> None:
        self._said = None
        if self._note is not None:
            self._note.remove()
            self._note = None

    def on_key(self, event: events.Key) -> None:
        if self.app.screen is not self or self.prompt is not None:
            self._pass_on(event)
            return
        key = key_name(event.key, event.character)
        self._unsay()
        action = self.floor.keymap.find(key, self.places())
        if action is not None:
            event.stop()
            event.prevent_default()
            self.floor.perform(action)
        elif (other := self.floor.keymap.elsewhere(key)) is not None:
            self.say(f"{shown(key)}: {why_not(other, self.situation())}", Tone.DIM)
        elif event.is_printable:
            self.say(f"{key} does nothing here; ? shows the keys", Tone.DIM)
        self.redraw()

    def _pass_on(self, event: events.Key) -> None:
        """A key that was on its way here when a dialog or a line opened belongs to that: none is lost."""
        front = self.app.screen
        if front is not self:
            event.stop()
            event.prevent_default()
            front.post_message(events.Key(event.key, event.character))
        elif self.prompt is not None and self.prompt.early(event):
            event.stop()
            event.prevent_default()

    def do_pane_next(self) -> None:
        self._step(1)

    def do_pane_previous(self) -> None:
        self._step(-1)

    def do_pane_zoom(self) -> None:
        self.zoom()

    def pane_number(self, number: int) -> None:
        if number <= len(self.PANES):
            self.jump(self.PANES[number - 1])
        else:
            self.say(f"there are {len(self.PANES)} panes here", Tone.DIM)

    def _step(self, step: int) -> None:
        """Through the panes on the screen; through all of them where they stand one at a time."""
        names = list(self.PANES) if self.plan.tabs else [*self.plan.slots]
        if "log" in self.plan.slots and "log" not in names:
            names.insert(1, "log")
        place = names.index(self.current) if self.current in names else 0
        self.jump(names[(place + step) % len(names)])
