"""Where an engine answers: found through its home folder, or named in the environment.

Start-up time is a feature, so nothing but the standard library is imported here before it is needed.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class EngineGone(Exception):
    """No engine answers. The message says where it was looked for and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine answers: `socket` before `url`. `home` is the folder it was found in, if it was."""

    socket: Path | None
    url: str | None
    key: str
    home: Path | None = None

    def advice(self) -> str:
        """What to tell a person when nobody answers here."""
        if self.home is None:
            return f"no engine answers at {self.url}: check SHOPFLOOR_URL, and that the engine runs there"
        return f"no engine runs in {self.home}: start one with `shopfloor engine start`"

    @property
    def is_local(self) -> bool:
        """The engine shares this machine's files, since it was found through its home folder."""
        return self.home is not None


def home_folder() -> Path:
    """`SHOPFLOOR_HOME`, else `home` in the settings file, else the platform's user data folder."""
    named = os.environ.get("SHOPFLOOR_HOME")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    settings = Path(platformdirs.user_config_dir("shopfloor")) / "config.toml"
    if settings.is_file():
        import tomllib

        try:
            home = tomllib.loads(settings.read_text()).get("home")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise EngineGone(f"{settings} can't be read: {error}") from error
        if isinstance(home, str):
            return Path(home).expanduser().absolute()
    return Path(platformdirs.user_data_dir("shopfloor"))


def find_endpoint(home: Path | None = None) -> Endpoint:
    """The engine of `home`; without one, that of `SHOPFLOOR_URL` and `SHOPFLOOR_KEY`, else of the usual home.

    Raises `EngineGone` when nothing says that an engine is up. Nothing is connected to yet.
    """
    if home is None and (url := os.environ.get("SHOPFLOOR_URL")):
        key = os.environ.get("SHOPFLOOR_KEY", "").strip()
        if not key:
            raise EngineGone(f"SHOPFLOOR_URL is {url} but SHOPFLOOR_KEY is empty: set it to a key of that engine")
        if not _is_word(key):
            raise EngineGone("SHOPFLOOR_KEY is no key: expected one word of plain letters, digits and signs")
        if not _is_address(url):
            raise EngineGone(f"SHOPFLOOR_URL is {url}: expected http://HOST:PORT or https://HOST:PORT")
        return Endpoint(socket=None, url=url.rstrip("/"), key=key)
    home = home or home_folder()
    facts = _facts(home)
    path = facts.get("socket")
    return Endpoint(socket=Path(path) if path else None, url=facts.get("url"), key=_key(home), home=home)


def _facts(home: Path) -> dict[str, Any]:
    file = home / "engine.json"
    try:
        facts = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise EngineGone(Endpoint(socket=None, url=None, key="", home=home).advice()) from None
    except OSError as error:
        raise EngineGone(f"{file} can't be read: {error.strerror}") from error
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise EngineGone(f"{file} holds no facts about an engine: stop the engine and start it again")
    return facts


def _key(home: Path) -> str:
    file = home / "key"
    try:
        key = file.read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        raise EngineGone(f"{file} is missing: stop the engine and start it again, which makes a new key") from None
    except OSError as error:
        raise EngineGone(
            f"{file} can't be read: {error.strerror}; it is for the user alone who runs the engine"
        ) from error
    if not _is_word(key):
        raise EngineGone(f"{file} holds no key: remove it, stop the engine and start it again, which makes a new one")
    return key


def _is_word(key: str) -> bool:
    """Whether it can stand in a header."""
    return bool(key) and key.isascii() and key.isprintable() and " " not in key


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False
