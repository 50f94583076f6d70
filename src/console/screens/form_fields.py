"""The submit form's fields: their words, and how they become a request and come back from a task.

Numbers go to the engine as they were typed where they are none: it says what it wants, in its own words.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

SHELL_WORDS = {"|", "||", "&&", "&", ";", ">", ">>", "<"}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Field:
    """`key` is the engine's name of it, `hint` what stands there while it is empty."""

    key: str
    label: str
    hint: str


FIELDS = (
    Field("command", "command", "python train.py --lr 3e-4"),
    Field("job_name", "name", "letters, digits, - and _; default: the command's first word"),
    Field("priority", "priority", "1 to 10, 10 first; default 5"),
    Field("cpu", "cores", "default 1"),
    Field("memory_gb", "memory", "GB; default: not counted"),
    Field("gpu", "gpus", "default 0"),
    Field("group", "group", "tasks of a group can have a limit"),
    Field("after", "after", "ids of tasks that must complete first"),
    Field("max_retries", "retries", "default 0"),
    Field("timeout_s", "timeout", "an attempt's longest time: 90, 10m, 2h"),
    Field("env", "variables", "NAME=value NAME=value"),
    Field("snapshot", "folder", "a folder of code to copy and run in"),
)


@dataclass(frozen=True, slots=True)
class FieldFault:
    """What is wrong with one field."""

    field: str
    message: str


def read_form(values: Mapping[str, str]) -> dict[str, Any] | FieldFault:
    """The request that the form asks for (without its snapshot), or the first thing that can't be read."""
    given = {key: value.strip() for key, value in values.items() if value.strip()}
    body: dict[str, Any] = {}
    if text := given.get("command"):
        try:
            body["command"] = shlex.split(text)
        except ValueError as error:
            return FieldFault("command", f"{error}: a quote is open")
        if loose := next((word for word in body["command"] if word in SHELL_WORDS), None):
            return FieldFault("command", f"{loose!r} needs a shell: write sh -c '...'")
    name = given.get("job_name") or default_name(body.get("command"))
    if not name:
        return FieldFault("command", "write what to run")
    body["job_name"] = name
    for key in ("priority", "cpu", "memory_gb", "gpu", "max_retries"):
        if value := given.get(key):
            body[key] = int(value) if value.isdigit() else value
    if value := given.get("timeout_s"):
        body["timeout_s"] = _seconds(value)
    if value := given.get("group"):
        body["group"] = value
    if value := given.get("after"):
        body["after"] = re.split(r"[\s,]+", value)
    if value := given.get("env"):
        variables = _variables(value)
        if isinstance(variables, FieldFault):
            return variables
        body["env"] = variables
    return body


def default_name(command: list[str] | None) -> str:
    """A name made of what runs: the script of `python script.py`, else the program."""
    if not command:
        return ""
    words = [word for word in command if not word.startswith("-")] or command
    runs_script = PurePath(words[0]).name.startswith(("python", "bash", "sh", "uv")) and len(words) > 1
    word = words[1] if runs_script and re.search(r"\.(py|sh)$", words[1]) else words[0]
    return re.sub(r"[^a-zA-Z0-9_-]+", "-", PurePath(word).stem).strip("-")[:64] or "task"


def form_of(task: Mapping[str, Any]) -> dict[str, str]:
    """The form that would submit this task again."""
    values = {
        "command": shlex.join(task.get("command") or ()),
        "job_name": task["job_name"],
        "group": task.get("group") or "",
        "timeout_s": f"{task['timeout_s']:g}" if task.get("timeout_s") else "",
        "env": " ".join(shlex.quote(f"{name}={value}") for name, value in (task.get("env") or {}).items()),
    }
    for key in ("priority", "cpu", "memory_gb", "gpu", "max_retries"):
        if task.get(key):
            values[key] = str(task[key])
    return {key: value for key, value in values.items() if value}


def _seconds(text: str) -> float | str:
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text):
        return float(match[1]) * UNITS[match[2] or "s"]
    return text


def _variables(text: str) -> dict[str, str] | FieldFault:
    try:
        words = shlex.split(text)
    except ValueError as error:
        return FieldFault("env", f"{error}: a quote is open")
    if wrong := next((word for word in words if "=" not in word), None):
        return FieldFault("env", f"{wrong!r}: write NAME=value")
    return dict(word.split("=", 1) for word in words)
