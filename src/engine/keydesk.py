"""API keys from the command line: through the engine that runs, or on the store itself when none does."""

import asyncio
from contextlib import ExitStack
from typing import Any, Literal
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from engine.control.errors import Problem
from engine.control.keys import Keys
from engine.local import EngineGone, LocalEngine, hold
from engine.protocol.states import ErrorCode
from engine.protocol.work import CreateKey, KeyView
from engine.settings import Home, Settings
from engine.store.database import Database
from engine.store.errors import StoreError
from engine.store.reads import Reads
from engine.store.writer import Writer

Action = Literal["create", "list", "revoke"]


class KeyDesk:
    """Does one thing with the keys of a home."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = Home(settings.home)

    def do(self, action: Action, what: Any) -> Any:
        """`what` is a name and a role for `create`, an id for `revoke`. Answers as the API does, as plain JSON values.

        Raises EngineRefused, HomeTaken, Problem or StoreError.
        """
        try:
            return self._through_engine(action, what)
        except EngineGone:
            with ExitStack() as stack:
                try:
                    self._home.create()
                    stack.enter_context(hold(self._home))
                except OSError as error:
                    why = error.strerror or str(error)
                    raise StoreError(f"home: {self._home.root} can't be used: {why}") from error
                return asyncio.run(self._on_store(action, what))

    def _through_engine(self, action: Action, what: Any) -> Any:
        engine = LocalEngine(self._home)
        match action:
            case "create":
                return engine.ask("POST", "/v1/keys", what)
            case "list":
                return engine.ask("GET", "/v1/keys")
            case "revoke":
                return engine.ask("DELETE", f"/v1/keys/{what}")

    async def _on_store(self, action: Action, what: Any) -> Any:
        database = Database.open(self._settings.database_url or f"sqlite:///{quote(str(self._home.database))}")
        try:
            writer = Writer(database, lambda _: None)
            writer.start()
            try:
                keys = Keys(writer)
                await keys.load()
                match action:
                    case "create":
                        return (await keys.create(_request(what))).model_dump(mode="json", exclude_none=True)
                    case "list":
                        rows = await Reads(database).keys()
                        return TypeAdapter(list[KeyView]).dump_python(rows, mode="json", exclude_none=True)
                    case "revoke":
                        return await keys.revoke(what, "the command line")
            finally:
                writer.close()
        finally:
            database.close()


def _request(what: Any) -> CreateKey:
    try:
        return CreateKey.model_validate(what)
    except ValidationError as error:
        found = error.errors()[0]
        raise Problem(ErrorCode.VALIDATION_ERROR, f"{found['loc'][0]}: {found['msg']}") from None
