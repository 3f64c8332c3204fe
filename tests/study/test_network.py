"""A study, its page, and its package's commands, where Python reaches no address but this machine's own.

The guard is laid into every Python process (Ray's workers too) by a ``sitecustomize`` of its own. What is tried is
written down before it is refused: a library that fails in silence has tried all the same. HF_HUB_OFFLINE is not set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.config.cells import cells
from study.config.loader import load
from tests.study.command import TINY

# Ray asks, of the addresses that only clouds answer, which cloud it is on, usage statistics or not. Refused here too.
RAY_ASKS = {"socket.getaddrinfo 169.254.169.254", "socket.getaddrinfo metadata.google.internal"}
GUARD = """
import os, socket, sys
import psutil

own = {address.address.partition("%")[0] for each in psutil.net_if_addrs().values() for address in each}
own |= {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "", socket.gethostname()}

def hook(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        if arguments[0].type == socket.SOCK_DGRAM:
            return  # sends nothing: Ray asks in this way for the address of this machine
        host = arguments[1][0]
    elif event in ("socket.sendto", "socket.gethostbyname"):
        host = arguments[1][0] if event == "socket.sendto" else arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host is not None and host not in own and not host.startswith("127."):
        with open(os.environ["TRIED"], "a") as file:
            file.write(f"{event} {host}\\n")
        raise OSError(f"nobody asked for {host}")

sys.addaudithook(hook)
"""


@pytest.fixture
def guarded(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that is guarded; ``TRIED`` names the file of what was tried."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    project = str(Path(__file__).resolve().parents[2])
    kept = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "RAY_ADDRESS")}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "guard"), project]),
        "TRIED": str(tmp_path / "tried.txt"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


def test_the_guard_sees_what_it_should(guarded: dict[str, str]) -> None:
    code = "import urllib.request; urllib.request.urlopen('http://example.invalid')"
    found = subprocess.run([sys.executable, "-c", code], env=guarded, capture_output=True, text=True, check=False)
    assert "nobody asked for example.invalid" in found.stderr
    assert Path(guarded["TRIED"]).read_text() == "socket.getaddrinfo example.invalid\n"


COMMANDS = """
import json, sys
from study.__main__ import main

for words in json.loads(sys.argv[1]):
    status = main(words)
    if status:
        sys.exit(f"{words} ended with status {status}")
"""


@pytest.mark.slow
def test_nothing_calls_home(tmp_path: Path, guarded: dict[str, str]) -> None:
    study = tmp_path / "out" / "tiny"
    (cell,) = cells(load("demo", [*TINY[1:], "grid.images=2"]).grid)
    package, films = str(study / "trials" / cell.name / "1" / "package.safetensors"), tmp_path / "films"
    films.mkdir()
    Image.fromarray(np.arange(128 * 128, dtype=np.uint32).reshape(128, 128).astype(np.uint8)).save(films / "a.png")
    small = ["grid.images=2", "search.trials=1", "outer.steps=4", "resources.concurrent=1"]
    commands = [
        ["run", *TINY, *small, f"data.cache={tmp_path / 'cache'}", "--out", str(study.parent)],
        ["dashboard", str(study), "--out", str(tmp_path / "page.html")],
        ["package", "verify", package],
        ["package", "apply", package, str(films), "--out", str(tmp_path / "scores.csv")],
    ]
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    found = subprocess.run(command, env=guarded, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr + found.stdout
    assert (tmp_path / "scores.csv").exists()
    tried = Path(guarded["TRIED"])
    assert set(tried.read_text().splitlines() if tried.exists() else []) <= RAY_ASKS
