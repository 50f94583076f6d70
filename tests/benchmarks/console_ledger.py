"""The ledger, alone on the screen, with the engine of `SHOPFLOOR_HOME` behind it: what the benchmarks run."""

from console.terminal import prepare, watch_terminal

prepare()

import sys  # noqa: E402
import time  # noqa: E402

from textual.app import App, ComposeResult  # noqa: E402

from console.client import find_endpoint  # noqa: E402
from console.formats import age, mark_of, status  # noqa: E402
from console.link import Link  # noqa: E402
from console.mirror import Mirror  # noqa: E402
from console.rows import TaskRow  # noqa: E402
from console.widgets.columns import Cell, Column  # noqa: E402
from console.widgets.ledger import Ledger  # noqa: E402


def _state(row: TaskRow) -> Cell:
    return Cell(status(row.state, ascii_only=False), mark_of(row.state).tone)


def _age(row: TaskRow) -> str:
    return age((row.ended_at or time.time()) - (row.started_at or row.created_at))


COLUMNS = (
    Column[TaskRow]("id", "ID", 10, lambda row: row.id, sort="id"),
    Column[TaskRow]("name", "NAME", 18, lambda row: row.job_name, least=10, flex=1, sort="job_name"),
    Column[TaskRow]("state", "STATE", 12, _state, sort="state"),
    Column[TaskRow]("priority", "PRI", 3, lambda row: str(row.priority), align="right", sort="priority"),
    Column[TaskRow]("cpu", "CPU", 3, lambda row: str(row.cpu), align="right", spare=2),
    Column[TaskRow]("memory", "MEM", 4, lambda row: f"{row.memory_gb}G", align="right", spare=3),
    Column[TaskRow]("gpu", "GPU", 3, lambda row: str(row.gpu), align="right", spare=1),
    Column[TaskRow]("age", "AGE", 6, _age, align="right", ticks=lambda row: row.state == "running"),
)


class LedgerApp(App[None]):
    """j and k move, space and b page."""

    BINDINGS = [  # noqa: RUF012
        ("j", "move(1)"),
        ("k", "move(-1)"),
        ("space", "page(1)"),
        ("b", "page(-1)"),
        ("q", "quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.mirror = Mirror(Link(find_endpoint).start())

    def compose(self) -> ComposeResult:
        yield Ledger(self.mirror.tasks, COLUMNS)

    def on_mount(self) -> None:
        self.mirror.start()
        self._unwatch = watch_terminal(self)

    def on_unmount(self) -> None:
        self._unwatch()
        self.mirror.stop()

    def action_move(self, rows: int) -> None:
        self.query_one(Ledger).move(rows)

    def action_page(self, pages: int) -> None:
        self.query_one(Ledger).page(pages)


if __name__ == "__main__":
    app = LedgerApp()
    app.run(mouse=False)
    sys.exit(app.return_code)
