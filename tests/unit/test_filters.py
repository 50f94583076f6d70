"""The filter language: what each term finds, and what is said about one that can't be used."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.store.database import Database
from engine.store.filter_terms import FilterError, Regex, Value, read_terms
from engine.store.filters import Condition, condition
from engine.store.orders import SORTS, SortError, order_by
from engine.store.sqlite import SqliteBackend
from tests.unit.store_parts import add_task, opened, url

TASKS: dict[str, dict[str, Any]] = {
    "train": {
        "id": "aaaa0001",
        "job_name": "train_bert",
        "command": '["python", "train.py", "--lr", "0.1"]',
        "state": "running",
        "group_name": "vision",
        "priority": 9,
        "cpu": 4,
        "memory_gb": 16,
        "gpu": 2,
        "attempt": 1,
        "user_id": "Ada",
        "metadata": '{"owner": "ada", "ticket.id": "X-1"}',
    },
    "evaluate": {
        "id": "aaab0002",
        "job_name": "evaluate",
        "command": '["/opt/bin/eval","--on","/data/set 1"]',
        "state": "failed",
        "exit_code": 3,
        "error": "exit code 3: No space left",
        "snapshot_id": "f00d" * 16,
        "cpu": 1,
        "attempt": 3,
        "image": "registry/eval:2",
    },
    "quote": {
        "id": "bbbb0003",
        "job_name": "say",
        "command": '["echo", "a \\"quoted\\" w\\u00f6rd", "C:\\\\temp"]',
        "state": "skipped",
        "reason": "train_bert failed",
        "priority": 1,
        "cpu": 2,
    },
    "snapshot": {
        "id": "bbbc0004",
        "job_name": "from_snapshot",
        "command": None,
        "args": "--epochs 3 100%",
        "state": "blocked",
        "executor": "docker",
        "cpu": 8,
        "group_name": "vision-2",
    },
}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    folder = tmp_path_factory.mktemp("filters")

    async def fill() -> None:
        async with opened(folder) as store:
            await store.writer.run(lambda tx: [add_task(tx, **columns) for columns in TASKS.values()])

    asyncio.run(fill())
    database = Database.open(url(folder))
    with closing(SqliteBackend(folder / "shopfloor.db", 1.0).reader()) as reader:
        yield reader
    database.close()


def found(connection: sqlite3.Connection, text: str) -> set[str]:
    wanted = condition(text, SqliteBackend.command_text)
    rows = connection.execute(f"SELECT id FROM tasks {wanted.where}", dict(wanted.params))
    ids = {columns["id"]: name for name, columns in TASKS.items()}
    return {ids[task_id] for (task_id,) in rows}


ALL = set(TASKS)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ALL),
        ("   ", ALL),
        ("bert", {"train"}),
        ("BERT", {"train"}),
        ("train.py", {"train"}),
        ("python vision", {"train"}),
        ("python eval", set()),
        ('"python train"', {"train"}),
        ("aaab", {"evaluate"}),
        ("vision", {"train", "snapshot"}),
        ("epochs", {"snapshot"}),
        ("100%", {"snapshot"}),
        ("_", {"train", "snapshot"}),
        ('"/data/set 1"', {"evaluate"}),
        ('"a \\"quoted\\" w"', {"quote"}),
        ("c:\\temp", None),
        ('"c:\\\\temp"', {"quote"}),
        ("wörd", {"quote"}),
        ("WÖRD", {"quote"}),
        ("!vision", {"evaluate", "quote"}),
        ("vision !train", {"snapshot"}),
        ("/^train/", {"train"}),
        ("/TRAIN\\.py --lr 0\\.\\d$/", {"train"}),
        ("/\\/opt\\/bin/", {"evaluate"}),
        ("/set 1/", {"evaluate"}),
        ("!/a/", set()),
        ("/^say$/", {"quote"}),
        ("state:running", {"train"}),
        ("STATE:Running", {"train"}),
        ("state:running,blocked", {"train", "snapshot"}),
        ("!state:running,blocked", {"evaluate", "quote"}),
        ("status:queued", {"snapshot"}),
        ("status:failed", {"evaluate", "quote"}),
        ("executor:docker", {"snapshot"}),
        ("name:train_bert", {"train"}),
        ("name:train", set()),
        ("name:train*", {"train"}),
        ("name:*a*", {"train", "evaluate", "quote", "snapshot"}),
        ('name:"train*"', set()),
        ("name:/^eva/", {"evaluate"}),
        ("group:vision", {"train"}),
        ("group:VISION*", {"train", "snapshot"}),
        ('group:""', {"evaluate", "quote"}),
        ("user:ada", {"train"}),
        ("image:*eval*", {"evaluate"}),
        ("id:aaa", {"train", "evaluate"}),
        ("id:AAAB", {"evaluate"}),
        ("id:aaaa0001,bbbb0003", {"train", "quote"}),
        ("snapshot:f00d", {"evaluate"}),
        ("cpu:4", {"train"}),
        ("cpu:1,2", {"evaluate", "quote"}),
        ("cpu:>=4", {"train", "snapshot"}),
        ("cpu>=4", {"train", "snapshot"}),
        ("cpu:<2,>4", {"evaluate", "snapshot"}),
        ("cpu:>1 cpu:<8", {"train", "quote"}),
        ("priority:<=1", {"quote"}),
        ("memory_gb:16 gpu:2 attempt:1", {"train"}),
        ("exit_code:3", {"evaluate"}),
        ("!exit_code:3", {"train", "quote", "snapshot"}),
        ("error:SPACE", {"evaluate"}),
        ('error:"train_bert failed"', {"quote"}),
        ('error:""', {"train", "snapshot"}),
        ("error:/code \\d/", {"evaluate"}),
        ("meta.owner:ADA", {"train"}),
        ("meta.ticket.id:X-*", {"train"}),
        ('meta.owner:""', {"evaluate", "quote", "snapshot"}),
        ("!meta.owner:ada", {"evaluate", "quote", "snapshot"}),
    ],
)
def test_a_filter_finds(connection: sqlite3.Connection, text: str, names: set[str] | None) -> None:
    if names is None:
        with pytest.raises(FilterError, match="put the term in double quotes"):
            found(connection, text)
    else:
        assert found(connection, text) == names


@pytest.mark.parametrize(
    ("text", "term", "reason", "allowed"),
    [
        ("a colour:red", "colour:red", 'there is no field "colour"', "memory_gb"),
        ("state:runing", "state:runing", '"runing" is no state', "running"),
        ("cpu:many", "cpu:many", '"many" is no number', "cpu:>=4"),
        ("cpu:>=", "cpu:>=", '">=" is no number', "cpu:2,4"),
        ("name:", "name:", "a value is missing", "name:value"),
        ("name:a,,b", "name:a,,b", "a value is missing", 'name:""'),
        ("x !", "!", "nothing to invert", "!word"),
        ('"no end', '"no end', "the quote has no end", ""),
        ("/no end", "/no end", "ends with a /", ""),
        ("/data/set", "/data/set", "comes a space", ""),
        ("//", "//", "is empty", ""),
        ("/(/", "/(/", "missing )", "RE2"),
        ("state:/run/", "state:/run/", "takes no regular expression", "state:value"),
        ('id:""', 'id:""', "first characters", "id:4k7"),
        ("meta.:c", "meta.:c", "a metadata field is", "meta.KEY:value"),
        ("a " * 60, "a", "has 60 terms", "50 at most"),
        ("a" * 5000, None, "has 5000 characters", "4096 at most"),
        ("/a{1000}{1000}/", "/a{1000}{1000}/", "can't be read", "RE2"),
    ],
)
def test_a_bad_term_is_named_with_the_reason_and_what_is_allowed(
    text: str, term: str | None, reason: str, allowed: str
) -> None:
    with pytest.raises(FilterError) as refused:
        condition(text, "command")
    assert term is None or refused.value.term == term
    assert reason in refused.value.reason
    assert allowed in str(refused.value)


@given(st.text(max_size=80) | st.text(alphabet='ab:,!/"\\><= *.', max_size=30))
@example('name:"')
@example("\ud800")
@example("!!a")
@example("cpu:>=99999999999999999999")
def test_any_text_is_refused_or_runs(connection: sqlite3.Connection, text: str) -> None:
    with suppress(FilterError):
        assert found(connection, text) <= ALL


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12))
@example("100%")
@example("_")
@example("\\")
@example('"')
def test_a_quoted_word_is_found_where_it_stands_and_nowhere_else(connection: sqlite3.Connection, word: str) -> None:
    quoted = '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
    rows = connection.execute(
        f"SELECT id, job_name, group_name, args, {SqliteBackend.command_text} FROM tasks"
    ).fetchall()
    ids = {columns["id"]: name for name, columns in TASKS.items()}
    exact = {ids[row[0]] for row in rows if any(word in text for text in row if text is not None)}
    assert exact <= found(connection, quoted)
    if word.isascii():
        folded = {ids[row[0]] for row in rows if any(word.lower() in text.lower() for text in row if text)}
        assert found(connection, quoted) == folded
    inverted = found(connection, f"!{quoted}")
    assert inverted == ALL - found(connection, quoted)


@given(st.text(min_size=1, max_size=20), st.sampled_from(["name", "group", "error", "meta.x"]))
def test_a_quoted_value_reads_back(value: str, field: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    (term,) = read_terms(f'{field}:"{quoted}"')
    assert (term.field, term.value, term.inverted) == (field, [Value(value, quoted=True)], False)


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda s: "\\" not in s)
)
def test_an_expression_reads_back(pattern: str) -> None:
    (term,) = read_terms("/" + pattern.replace("/", "\\/") + "/")
    assert term.value == Regex(pattern)


def test_values_are_bound_and_never_part_of_the_sql() -> None:
    wanted = condition('name:x\'; x"DROP TABLE tasks"', "command")
    assert "DROP" not in wanted.sql
    assert set(wanted.params.values()) == {"x';", "xdrop table tasks"}


def test_an_empty_filter_is_no_condition() -> None:
    assert condition("", "command") == Condition("", {})
    assert condition("", "command").where == ""


def test_a_hostile_expression_takes_linear_time(connection: sqlite3.Connection) -> None:
    wanted = condition("/(a*)*b/", SqliteBackend.command_text)
    name = next(iter(wanted.params))
    ((hit,),) = connection.execute(
        f"SELECT regexp(:{name}, :text)", {**wanted.params, "text": "a" * 100_000}
    ).fetchall()
    assert hit == 0


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_every_sort_runs(connection: sqlite3.Connection, sort: str) -> None:
    assert len(connection.execute(f"SELECT id FROM tasks ORDER BY {order_by(sort)}").fetchall()) == len(TASKS)


@pytest.mark.parametrize("sort", ["", "colour", "--id", "id; DROP TABLE tasks", "rank"])
def test_a_bad_sort_is_named_with_what_is_allowed(sort: str) -> None:
    with pytest.raises(SortError, match="started_at") as refused:
        order_by(sort)
    assert refused.value.term == sort
