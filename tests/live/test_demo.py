"""`shopfloor demo` without a terminal: the whole workload, told line by line, and nothing left behind."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from console.demo import throw_away_home
from tests.engine_process import left_of

pytestmark = pytest.mark.live


def test_the_home_of_a_demo_has_room_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (deep := tmp_path / ("d" * 90)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    home = throw_away_home()
    home.rmdir()
    assert len(str(home / "keeper.sock")) < 108


def test_demo_in_a_pipe_runs_the_workload_and_leaves_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config" / "shopfloor" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('database_url = "sqlite:////nowhere/mine.db"\ncpu = "many"\n')
    (temporary := tmp_path / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOPFLOOR_")}
    ran = subprocess.run(
        [sys.executable, "-m", "console.cli", "demo"],
        env={**environment, "TMPDIR": str(temporary), "XDG_CONFIG_HOME": str(tmp_path / "config")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    for line in (
        "running     prepare-data",
        "completed   train-large",
        "skipped     publish",
        "cancelled   notebook-kernel",
        "running     export-weights (attempt 2)",
    ):
        assert any(told.startswith(line) for told in lines), f"{line!r} is missing in\n{ran.stdout}"
    assert "\x1b" not in ran.stdout
    assert list(temporary.iterdir()) == [], "the home is gone"
    assert not left_of(tmp_path, 20), "the engine, its keeper and all tasks are gone"
