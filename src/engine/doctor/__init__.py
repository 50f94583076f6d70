"""`shopfloor engine doctor`: what is wrong on this machine, and what to do about it."""

import json
import sys
from collections.abc import Callable, Sequence

from engine.doctor import access, devices, storage, system
from engine.doctor.finding import Finding, State, fail
from engine.settings import Settings

CHECKS: Sequence[tuple[str, Callable[[Settings], Finding]]] = (
    ("python", lambda _: system.python()),
    ("locale", lambda _: system.text()),
    ("disk", storage.disk),
    ("filesystem", storage.filesystem),
    ("sqlite", lambda _: storage.sqlite()),
    ("database", storage.database),
    ("permissions", access.permissions),
    ("sockets", access.sockets),
    ("port", access.port),
    ("keeper", access.keeper),
    ("files", lambda _: system.files()),
    ("processes", lambda _: system.processes()),
    ("cgroups", system.cgroups),
    ("clock", system.clock),
    ("gpu", devices.gpu),
    ("docker", lambda _: devices.docker()),
)

_GLYPHS = {State.OK: "✓", State.WARN: "!", State.FAIL: "✗"}


def examine(settings: Settings) -> list[Finding]:
    """What each check says. One that breaks says so, and the others go on."""
    return [_one(name, check, settings) for name, check in CHECKS]


def _one(name: str, check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, the person who asked is told
        return fail(name, f"the check itself broke: {type(error).__name__}: {error}", "report this")


def in_force(settings: Settings) -> dict[str, object]:
    """Each setting and its value; a password in the database's address is not shown."""
    values: dict[str, object] = settings.model_dump(mode="json")
    if settings.database_url is not None:
        values["database_url"] = settings.database_url.partition("://")[0] + "://..."
    return values


def text(findings: Sequence[Finding], settings: Settings) -> str:
    """All of it for people: a glyph and a word, what was looked at, what is; below it what to do."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{_GLYPHS[finding.state]} {finding.state:<4}  {finding.name:<{width}}  {finding.found}")
        if finding.advice:
            lines.append(f"{'':<{width + 10}}-> {finding.advice}")
    lines += ["", "Settings in force:"]
    lines += [f"  {name} = {json.dumps(value)}" for name, value in in_force(settings).items()]
    return "\n".join(lines)


def report(settings: Settings, as_json: bool) -> int:
    """Print what is found; the exit code, 1 when anything failed."""
    findings = examine(settings)
    failed = any(finding.state is State.FAIL for finding in findings)
    if as_json:
        listed = [finding.model_dump(mode="json") for finding in findings]
        print(json.dumps({"ok": not failed, "findings": listed, "settings": in_force(settings)}))
    else:
        # A terminal that can't show a glyph gets a question mark rather than a stack.
        encoding = sys.stdout.encoding or "utf-8"
        print(text(findings, settings).encode(encoding, "replace").decode(encoding))
    return 1 if failed else 0
