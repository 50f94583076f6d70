"""What a verb loads. Start-up time is a feature: heavy libraries are imported where they are used."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "src" / "engine"
HEAVY = {
    "textual",
    "rich",
    "sqlalchemy",
    "sqlmodel",
    "alembic",
    "fastapi",
    "starlette",
    "uvicorn",
    "docker",
    "openai",
    "ray",
    "httpx",
    "pydantic",
    "typer",
    "websockets",
    "asyncio",
    "psutil",
}
_TELL = (
    "import atexit, json, sys; atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules)), file=sys.stderr))"
)


def loaded_by(code: str, tmp_path: Path, *words: str) -> set[str]:
    """The modules that a fresh interpreter has loaded when it has run `code` as a program with `words`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOPFLOOR_")}
    ran = subprocess.run(
        [sys.executable, "-c", f"{_TELL}\n{code}", *words],
        env={**environment, "SHOPFLOOR_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return set(json.loads(ran.stderr.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--version"], ["ls"], ["submit", "--", "true"], ["wait", "abc"], ["--help"]])
def test_a_verb_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    loaded = loaded_by("from console.cli import main; main()", tmp_path, *words)
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.startswith("engine.") and not name.startswith("engine.protocol")}


def test_the_command_line_itself_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded_by("import console.cli", tmp_path) & (HEAVY | {"click"})


def test_the_console_loads_nothing_of_the_engine_but_its_protocol(tmp_path: Path) -> None:
    loaded = loaded_by("import console.app", tmp_path)
    engine = {name for name in loaded if name.startswith("engine.")}
    assert engine <= {"engine.protocol", "engine.protocol.states"}
    assert not loaded & {"pydantic", "httpx", "click", "typer", "sqlalchemy", "fastapi"}


def test_the_engine_loads_nothing_of_the_console(tmp_path: Path) -> None:
    loaded = loaded_by("import engine.daemon", tmp_path)
    assert not {name for name in loaded if name.split(".")[0] in {"console", "textual"}}


@pytest.mark.parametrize(
    ("words", "rooms"),
    [
        (r"posix_spawn|create_subprocess|os\.fork|os\.exec|os\.system", {"executors"}),
        (r"[\"'(]\s*(SELECT\s|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM)", {"store"}),
    ],
    ids=["starts processes", "speaks SQL"],
)
def test_what_no_import_gives_away_stays_in_its_room(words: str, rooms: set[str]) -> None:
    elsewhere = [
        str(path)
        for path in ENGINE.rglob("*.py")
        if path.relative_to(ENGINE).parts[0] not in rooms and re.search(words, path.read_text())
    ]
    assert not elsewhere
