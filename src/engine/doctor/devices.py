"""Checks of what tasks may ask for beside cores: GPUs and containers."""

import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from engine import machine
from engine.doctor.finding import Finding, fail, ok, warn
from engine.materials.errors import reason
from engine.materials.trees import size_words
from engine.settings import Settings

_DOCKER = "/var/run/docker.sock"
_OLDEST_DOCKER = (1, 41)


def gpu(settings: Settings, devices: Path = Path("/dev")) -> Finding:
    """What NVML knows, against what settings promise."""
    found = machine.gpus()
    known = {gpu.index for gpu in found}
    if settings.gpus is not None and (missing := sorted(set(settings.gpus) - known)):
        return warn(
            "gpu",
            f"the setting gpus promises {', '.join(map(str, missing))}, which NVML does not know",
            "take them out of gpus, or install the NVIDIA driver: tasks that get them will not find them",
        )
    if found:
        names = ", ".join(f"{gpu.index} {gpu.name} ({size_words(gpu.memory_total or 0)})" for gpu in found)
        taken = ", ".join(map(str, machine.gpu_ids(settings, os.environ))) or "none"
        return ok("gpu", f"driver {machine.driver_version()}: {names}; tasks may take: {taken}")
    if any(devices.glob("nvidia[0-9]*")):
        return warn(
            "gpu",
            "there are NVIDIA devices, but their driver does not answer",
            "run nvidia-smi and do what it says; a driver and a library of different versions need a restart",
        )
    return ok("gpu", "no NVIDIA driver; tasks that ask for a GPU are refused")


def docker(environment: Mapping[str, str] = os.environ) -> Finding:
    """Whether a Docker engine answers on its socket."""
    host = environment.get("DOCKER_HOST") or f"unix://{_DOCKER}"
    if not host.startswith("unix://"):
        return ok("docker", f"at {host}, by DOCKER_HOST")
    path = host.removeprefix("unix://")
    if not Path(path).exists():
        return ok("docker", f"none at {path}; tasks with an image and notebooks need it, plain commands do not")
    try:
        answer = _version(path)
        told = tuple(int(part) for part in str(answer["ApiVersion"]).split("."))
    except PermissionError:
        return warn(
            "docker",
            f"{path} is there, but not for you",
            "run `sudo usermod -aG docker $USER` and log in again; plain commands work without",
        )
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        why = reason(error) if isinstance(error, OSError) else "its answer makes no sense"
        return warn("docker", f"{path} does not answer: {why}", "start it: sudo systemctl start docker")
    name = f"{answer.get('Version', 'unknown')} (API {answer['ApiVersion']}) at {path}"
    if told < _OLDEST_DOCKER:
        return fail("docker", f"{name} is too old", "install Docker 20.10 or newer")
    return ok("docker", name)


def _version(path: str) -> dict[str, str]:
    connection = http.client.HTTPConnection("localhost", timeout=3)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(3)
        connection.sock.connect(path)
        connection.request("GET", "/version")
        answer = json.loads(connection.getresponse().read(1 << 20))
    finally:
        connection.close()
    if not isinstance(answer, dict):
        raise TypeError
    return answer
