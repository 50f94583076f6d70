"""The console: it holds the link, the mirror and the settings, and turns actions into deeds."""

import gc
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from console.terminal import prepare, watch_terminal

TERMINAL = prepare()  # Textual reads its environment when it is imported
gc.disable()  # loading modules makes no garbage; looking for some is a twentieth of the start

from textual.app import App  # noqa: E402
from textual.binding import BindingType  # noqa: E402

from console.actions import Action, why_not  # noqa: E402
from console.client import Endpoint, EngineGone, find_endpoint  # noqa: E402
from console.formats import Tone, speaks_unicode  # noqa: E402
from console.keymap import make_keymap  # noqa: E402
from console.link import Link  # noqa: E402
from console.mirror import Mirror  # noqa: E402
from console.screens.overview import Overview  # noqa: E402
from console.settings import DEFAULT_THEME, MONOCHROME, Fault, config_folder, load_settings  # noqa: E402
from console.situation import Subject  # noqa: E402
from console.themes import LoadedTheme, Palette, ThemeFault, load_theme, theme_files  # noqa: E402

gc.freeze()
gc.enable()

if TYPE_CHECKING:
    from textual.driver import Driver

    from console.commands import Command
    from console.driver import Switchable
    from console.feed import Feed
    from console.panes.notebooks import ServiceRow
    from console.screens.desk import Desk

REPAINT_AGE_EVERY_S = 1.0
"""While the link is lost, its age is told anew this often; otherwise no clock runs."""


class Shopfloor(App[None], inherit_bindings=False):
    """The application. `folder` is the config folder; `find` says where the engine is."""

    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        find: Callable[[], Endpoint],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        link: Link | None = None,
        driver_class: "type[Driver] | None" = None,
    ) -> None:
        environment = dict(os.environ) if environment is None else environment
        self.colourless = bool(environment.get("NO_COLOR"))
        # With NO_COLOR the terminal's own two colours are used, and Textual's filter takes the rest out.
        super().__init__(driver_class=driver_class, ansi_color=True if self.colourless else None)
        self.folder = folder or config_folder()
        self.settings, self.faults = load_settings(self.folder, environment)
        self.ascii_only = not speaks_unicode(environment) if self.settings.ascii is None else self.settings.ascii
        self.keymap = make_keymap(self.settings.keys)
        file = self.folder / "config.toml"
        self.faults += [Fault(file, self.settings.key_lines.get(key), why) for key, why in self.keymap.faults.items()]
        self.palette: Palette = self._first_theme().palette
        self.link = link or Link(find, wake_every_s=TERMINAL.wake_every_s).start()
        self.mirror = Mirror(self.link)
        self.clock: Callable[[], float] = time.time
        self.draft: dict[str, str] = {}
        self.history: dict[str, list[str]] = {}
        self.terminal: Switchable | None = None
        self._find = find
        self._notebooks: Feed[ServiceRow] | None = None
        self._age_ticker: Any = None
        self.mouse_on = TERMINAL.mouse if self.settings.mouse is None else self.settings.mouse
        self._deeds: Any = None
        self._unwatch_terminal: Callable[[], None] | None = None

    # Life

    def _first_theme(self) -> LoadedTheme:
        wanted = MONOCHROME if self.colourless else self.settings.theme
        try:
            loaded = self._load(wanted)
        except ThemeFault as wrong:
            self.faults.append(wrong.fault)
            loaded = self._load(DEFAULT_THEME)
        self.register_theme(loaded.textual)
        self.theme = loaded.textual.name
        return loaded

    def _load(self, name: str) -> LoadedTheme:
        files = theme_files(self.folder)
        if name not in files:
            reason = f"there is no theme {name!r}; there are {', '.join(files)}"
            raise ThemeFault(Fault(self.folder / "config.toml", self.settings.theme_line, reason))
        return load_theme(files[name])

    def get_default_screen(self) -> "Overview":
        return Overview()

    def on_mount(self) -> None:
        self._age_ticker = self.set_interval(REPAINT_AGE_EVERY_S, self._redraw_age, pause=True)
        self.mirror.watch("link", self._link_turned)
        self.mirror.start()
        if not self.is_headless:
            self._unwatch_terminal = watch_terminal(self)
        if self.faults:
            more = f" (and {len(self.faults) - 1} more; :faults shows them)" if len(self.faults) > 1 else ""
            self.call_after_refresh(self.say, f"{self.faults[0]}{more}", Tone.WANTS)

    def on_unmount(self) -> None:
        self.mirror.stop()
        if self._unwatch_terminal is not None:
            self._unwatch_terminal()

    def _link_turned(self) -> None:
        if self.mirror.stale:
            self._age_ticker.resume()
        else:
            self._age_ticker.pause()
            if self._notebooks is not None:
                self._notebooks.refresh()

    def _redraw_age(self) -> None:
        self.desk.redraw()

    @property
    def desk(self) -> "Desk":
        """The screen of panes that is in front, be a dialog over it or not."""
        from console.screens.desk import Desk

        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, Desk))

    @property
    def notebooks(self) -> "Feed[ServiceRow]":
        if self._notebooks is None:
            from console.panes.notebooks import notebooks_feed

            self._notebooks = notebooks_feed(self.link)
            self._notebooks.refresh()
        return self._notebooks

    # What is done

    @property
    def deeds(self) -> Any:
        """What the actions come to; loaded when the first of them is used."""
        if self._deeds is None:
            from console.deeds import Deeds

            self._deeds = Deeds(self)
        return self._deeds

    def say(self, text: str, tone: Tone = Tone.TEXT) -> None:
        self.desk.say(text, tone)

    def perform(self, action: Action, argument: str = "") -> None:
        """Do it, or say why it can't be done. The pane in hand is asked first, then its screen, then the app."""
        desk = self.desk
        if reason := why_not(action, desk.situation()):
            desk.say(f"{action.title}: {reason}", Tone.WANTS)
            return
        kind, _, name = action.id.partition(".")
        if kind == "pane" and name.isdigit():
            desk.pane_number(int(name))
        elif kind == "go" and name != "back":
            self.go(name)
        else:
            method = f"do_{action.id.replace('.', '_')}"
            doer = next(one for one in (desk.focused, desk, self, self.deeds) if hasattr(one, method))
            getattr(doer, method)(*([argument] if action.argument and doer in {self, self.deeds} else []))

    def command(self, command: "Command") -> None:
        """Do what was typed after `:`, or say why it can't be done."""
        self.desk.place_for(command.action)
        self.perform(command.action, command.argument)

    def go(self, pane: str) -> None:
        """To a pane of the overview, from wherever one is."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.desk.jump(pane)

    def open_task(self, subject: Subject) -> None:
        from console.screens.task import TaskPage

        self.push_screen(TaskPage(subject))

    def show_phases_of(self, job_id: str) -> None:
        """The phases pane follows the job under the cursor."""
        phases = self.mirror.phases
        if phases.query.get("job_id") != job_id:
            phases.query = {"job_id": job_id}
            phases.refresh()

    def use_theme(self, name: str) -> str | None:
        """Put on another theme; what is wrong with it, if it can't be."""
        try:
            loaded = self._load(name)
        except ThemeFault as wrong:
            return wrong.fault.reason if wrong.fault.file.name == "config.toml" else str(wrong.fault)
        self.palette = loaded.palette
        if name not in self.available_themes or self.get_theme(name) is not loaded.textual:
            self.register_theme(loaded.textual)
        self.theme = name
        for screen in self.screen_stack:
            for sheet in screen.query("Sheet, Frame"):
                sheet.palette = loaded.palette  # type: ignore[attr-defined]
            screen.refresh(repaint=True, layout=False)
            for widget in screen.query("*"):
                widget.refresh()
        return None

    # The actions that are the app's own

    def do_app_quit(self) -> None:
        self.exit()

    def do_help_show(self) -> None:
        from console.screens.help import Help

        self.push_screen(Help(self.desk.situation(), self.keymap, ascii_only=self.ascii_only))

    def do_command_line(self) -> None:
        self.open_command_line()

    def open_command_line(self, start: str = "") -> None:
        """The line for a command, with its beginning."""
        from console.screens.lines import CommandLine

        CommandLine(self.desk, list(theme_files(self.folder)), self._history(":"), start)

    def do_command_palette(self) -> None:
        from console.screens.palette import ActionPalette

        def take(action: Action | None) -> None:
            if action is not None:
                self.perform(action)

        self.push_screen(ActionPalette(self.desk.situation()), take)

    def do_list_filter(self, text: str) -> None:
        from console.screens.lines import FilterLine

        queue = self.desk.queue
        if queue is not None and text:
            queue.feed.set_filter(text)
            queue.filter_changed()
        elif queue is not None:
            FilterLine(self.desk, queue, self._history("filter"))

    def do_list_unfilter(self) -> None:
        self.mirror.tasks.set_filter("")
        self.desk.queue.filter_changed()

    def do_list_sort(self, field: str) -> None:
        queue = self.desk.queue
        if field.lstrip("-") in queue.sort_fields():
            queue.sort_on(field)
        elif field:
            self.say(f"sort: {field!r} is no column; there are {', '.join(queue.sort_fields())}", Tone.WANTS)
        else:
            from console.screens.dialogs import Choice

            def take(chosen: str | None) -> None:
                if chosen is not None:
                    queue.sort_on(chosen)

            self.push_screen(Choice("sort by", queue.sort_fields(), queue.feed.sort.lstrip("-")), take)

    def do_log_search(self, text: str) -> None:
        from console.screens.lines import SearchLine

        log = self.desk.pane("log")
        if text:
            log.search(text)
        else:
            SearchLine(self.desk, log, self._history("search"))

    def do_theme_choose(self, name: str) -> None:
        if name:
            if reason := self.use_theme(name):
                self.say(f"theme: {reason}", Tone.WANTS)
            return
        from console.screens.dialogs import Choice

        before = self.theme

        def take(chosen: str | None) -> None:
            self.use_theme(chosen or before)
            if chosen is not None:
                self.say(f'to keep it: theme = "{chosen}" under [console] in {self.folder / "config.toml"}')

        self.push_screen(Choice("theme", list(theme_files(self.folder)), before, self._try_theme), take)

    def _try_theme(self, name: str) -> None:
        if reason := self.use_theme(name):
            self.say(f"theme: {reason}", Tone.WANTS)

    def do_mouse_toggle(self) -> None:
        self.mouse_on = not self.mouse_on
        if self.terminal is not None:
            self.terminal.set_mouse(self.mouse_on)
        self.say("the mouse is ours" if self.mouse_on else "the mouse is the terminal's: it selects text")

    def do_faults_show(self) -> None:
        from console.screens.dialogs import Dialog
        from console.widgets.ink import Run

        lines = [[Run(str(fault), Tone.WANTS)] for fault in self.faults] or [[Run("nothing is wrong")]]
        self.push_screen(Dialog[None]("faults in the config folder", lines, "esc closes"))

    def open_form(self, values: Mapping[str, str]) -> None:
        """The submit form, with what was typed last and not sent, or with `values`."""
        from console.screens.submit import SubmitForm

        def taken(said: str | None) -> None:
            if said is not None:
                self.say(said)

        self.push_screen(SubmitForm(values or self.draft), taken)

    def write_raw(self, data: str) -> None:
        """Straight to the terminal, past the screen."""
        if self.terminal is not None:
            self.terminal.write(data)

    @property
    def engine_is_local(self) -> bool:
        """The engine shares this machine's files."""
        try:
            return self._find().is_local
        except EngineGone:
            return False

    def _history(self, kind: str) -> list[str]:
        return self.history.setdefault(kind, [])


def run(home: Path | None = None) -> int:
    """Open the console on the engine of `home`; the exit code."""
    from console.driver import FloorDriver

    def find() -> Endpoint:
        return find_endpoint(home)

    app = Shopfloor(find, driver_class=FloorDriver)
    app.run(mouse=app.mouse_on)
    return app.return_code or 0
