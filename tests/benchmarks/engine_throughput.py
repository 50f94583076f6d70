"""Tasks a second, durable, beside bare asyncio spawns at the same parallelism in the same run.

python -m tests.benchmarks.engine_throughput --tasks 1000 --rounds 3
"""

import argparse
import time
from datetime import datetime

from tests.benchmarks.measuring import (
    TRUE,
    bare_spawns,
    completed,
    look_until,
    median,
    quiet_engine,
    submit_many,
    window,
)


def _engine(count: int, parallel: int) -> tuple[float, float, float]:
    """Tasks run a second (from the first byte of the resume to the last end), accepted a second, and in all."""
    with quiet_engine(CPU=str(parallel)) as engine, engine.client(120) as client:
        submit_many(client, 20, job_name="warm", command=[TRUE])
        look_until(lambda: completed(client) == 20)
        client.post("/v1/queue/pause")
        began = time.perf_counter()
        submit_many(client, count, job_name="true", command=[TRUE])
        accepted = time.perf_counter() - began
        resumed = time.time()
        client.post("/v1/queue/resume")
        look_until(lambda: completed(client) == count + 20)
        last = window(client, "name:true", "-ended_at", 1)[0]
        ran = datetime.fromisoformat(last["ended_at"]).timestamp() - resumed
    return count / ran, count / accepted, count / (ran + accepted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", type=int, nargs="+", default=[2, 8])
    given = parser.parse_args()
    for parallel in given.parallel:
        bare: list[float] = []
        ran: list[float] = []
        accepted: list[float] = []
        both: list[float] = []
        for _ in range(given.rounds):
            bare.append(bare_spawns(given.tasks, parallel))
            of_engine = _engine(given.tasks, parallel)
            for values, value in zip((ran, accepted, both), of_engine, strict=True):
                values.append(value)
        ratio = median([mine / theirs for mine, theirs in zip(ran, bare, strict=True)])
        print(
            f"{parallel} at a time: bare {median(bare):,.0f}/s, engine {median(ran):,.0f}/s, ratio {ratio:.2f}; "
            f"accepted {median(accepted):,.0f}/s; submit and run {median(both):,.0f}/s "
            f"(ratio {median(both) / median(bare):.2f})"
        )


if __name__ == "__main__":
    main()
