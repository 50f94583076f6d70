"""What an idle engine takes: CPU and wake-ups over a minute, resident memory; alone, and with a follower on `/ws`.

python -m tests.benchmarks.engine_idle --seconds 60
"""

import argparse
import time
from pathlib import Path

import psutil

from console.stream import messages
from tests.benchmarks.measuring import quiet_engine, submit_many
from tests.engine_process import EngineProcess, processes_of, until


def _measure(title: str, engine: EngineProcess, seconds: float) -> None:
    watched = processes_of(engine.home)
    before = {process.pid: (_cpu(process), _wake_ups(process)) for process in watched}
    time.sleep(seconds)
    for process in watched:
        cpu, woken = before[process.pid]
        name = "engine" if process.pid == engine.pid else "keeper"
        memory = process.memory_full_info()
        print(
            f"{title:<22} {name}: {(_cpu(process) - cpu) / seconds:.3%} CPU, "
            f"{(_wake_ups(process) - woken) / seconds:.1f} wake-ups/s, "
            f"{memory.rss / 1e6:.0f} MB resident ({memory.uss / 1e6:.0f} MB its own)"
        )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _wake_ups(process: psutil.Process) -> int:
    """Voluntary switches of all its threads: each is a wait that ended."""
    total = 0
    for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    with quiet_engine(CPU="2") as engine, engine.client() as client:
        submit_many(client, 200, job_name="earlier", command=["true"])
        until(client, lambda: client.get("/v1/queue")["by_state"].get("completed", 0) == 200)
        client.close()
        _measure("alone", engine, seconds)
        stream = messages(engine.endpoint())
        next(stream)
        _measure("with a follower", engine, seconds)
        stream.close()


if __name__ == "__main__":
    main()
