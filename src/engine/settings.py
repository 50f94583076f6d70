"""Every knob of the engine. Environment (`SHOPFLOOR_<NAME>`, nested with `__`) over `config.toml`, flags over both."""

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource


def config_file() -> Path:
    """The settings file of the person who runs shopfloor; it need not exist."""
    return Path(platformdirs.user_config_dir("shopfloor")) / "config.toml"


class RateLimit(BaseModel):
    """A limit per API key on one contract."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate_per_minute: int = Field(default=60, ge=1, description="Requests that one key may send in a minute.")
    rate_per_hour: int = Field(default=1000, ge=1, description="Requests that one key may send in an hour.")
    port: int | None = Field(default=None, ge=0, le=65535, description="Also serve this contract on a port of its own.")


class WorkerLimit(RateLimit):
    rate_per_minute: int = Field(default=60_000, ge=1, description="Requests that one key may send in a minute.")
    rate_per_hour: int = Field(default=2_000_000, ge=1, description="Requests that one key may send in an hour.")


class Contracts(BaseModel):
    """Settings of the documented APIs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: WorkerLimit = Field(default=WorkerLimit(), description="The worker contract and the native API.")


class Settings(BaseSettings):
    """What an operator can set. `shopfloor engine doctor` prints what is in force."""

    model_config = SettingsConfigDict(
        env_prefix="SHOPFLOOR_", env_nested_delimiter="__", env_file=None, extra="ignore", frozen=True
    )

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("shopfloor")),
        description="The folder that holds everything: database, keys, sockets, tasks, snapshots, datasets.",
    )
    host: str = Field(default="127.0.0.1", description="The address that the HTTP server listens on.")
    port: int = Field(default=9101, ge=0, le=65535, description="The port of the HTTP server; 0 picks a free one.")
    open: bool = Field(
        default=False, description="Let harbor, synth and pipeline be used without a key; loopback only."
    )
    database_url: str | None = Field(
        default=None, description="Another SQLite file than the one in home, as sqlite:////path/to/file.db."
    )

    cpu: int | None = Field(
        default=None, ge=0, description="Cores that tasks may take; default: what this process may use."
    )
    memory_gb: int | None = Field(
        default=None, ge=0, description="Memory that tasks may take, in GB; default: the machine's."
    )
    gpus: list[int] | None = Field(default=None, description="GPU ids that tasks may take; default: what NVML reports.")

    ageing_s: float = Field(default=300.0, gt=0, description="Seconds of waiting that are worth one step of priority.")
    reserve_after_s: float = Field(
        default=30.0,
        ge=0,
        description="Waiting this long at the head earns a reservation: nothing that would delay the task starts.",
    )
    retry_base_s: float = Field(
        default=1.0, gt=0, description="Delay before the first retry; each further one doubles it."
    )
    retry_cap_s: float = Field(default=600.0, gt=0, description="The longest delay before a retry.")
    cancel_grace_s: float = Field(
        default=5.0, ge=0, description="Seconds between TERM and KILL when a task is cancelled."
    )
    on_stop: Literal["leave", "drain"] = Field(
        default="leave",
        description="At SIGTERM: `leave` hands running tasks to the next engine, `drain` waits for them.",
    )
    drain_s: float = Field(default=3600.0, ge=0, description="How long `drain` waits before it leaves what still runs.")

    output_keep_days: float = Field(
        default=30.0, ge=0, description="Output of ended attempts is deleted after this many days; 0 keeps it."
    )
    output_keep_gb: float = Field(
        default=0.0, ge=0, description="Oldest output goes first when all of it passes this size; 0 is no limit."
    )
    event_keep_days: float = Field(default=30.0, ge=0, description="Events older than this are deleted; 0 keeps them.")
    disk_reserve_mb: int = Field(default=200, ge=0, description="Free space below which no further task is started.")
    dataset_max_gb: float = Field(default=100.0, gt=0, description="The largest dataset that is fetched.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much the log says."
    )
    contracts: Contracts = Field(default=Contracts(), description="Limits and ports of the documented APIs.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a .env in the working folder is never read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


class Home:
    """Where each thing stands below `SHOPFLOOR_HOME`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "shopfloor.db"
        self.engine_file = root / "engine.json"
        self.key = root / "key"
        self.socket = root / "engine.sock"
        self.lock = root / "engine.lock"
        self.keeper_socket = root / "keeper.sock"
        self.keeper_journal = root / "keeper.journal"
        self.tasks = root / "tasks"
        self.jobs = root / "jobs"
        self.snapshots = root / "snapshots"
        self.datasets = root / "datasets"
        self.models = root / "models"
        self.exports = root / "exports"
        self.logs = root / "logs"

    def create(self) -> None:
        """Make the folders, readable by the owner alone."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.tasks, self.jobs, self.snapshots, self.datasets, self.models, self.exports, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)

    def attempt(self, task_id: str, number: int) -> Path:
        """The folder of one attempt: `output.log`, `out/` (what it leaves), `work/` (where it runs by default)."""
        return self.tasks / task_id / str(number)
