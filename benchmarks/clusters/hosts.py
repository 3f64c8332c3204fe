"""Network namespaces as hosts of one machine, to start, cut off and kill parts of a cluster.

    with hosts(folder, ["laptop", "head", "worker"]) as (laptop, head, worker):
        laptop.run(["ssh", ..., head.address])   # raises where the command fails
        worker.cut()                             # nothing reaches it or leaves it, and nobody is told
        worker.mend()
        worker.kill()                            # as a power cut does

A host is a process in namespaces of its own: processes (`ray stop` ends every Ray it can see), network, mounts, name
and shared memory, with its own sshd. It sees the machine's files, but its /tmp, /run, /dev/shm, /var/log and home
folder are its own and empty, except for what is kept: ``folder``, this project, and its interpreter. Its network card
is plugged into a bridge, which has a namespace too. So nothing of all that is to be seen outside, and everything ends
with the processes that hold the namespaces: each waits for the end of its standard input, which comes even when the
process that made them is killed.

Linux, as root; needs sshd, ssh-keygen, rsync (for `ray up`) and iproute2 (``MISSING`` names what is not there).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
HOME = Path(pwd.getpwuid(0).pw_dir)
USER = pwd.getpwuid(0).pw_name
_OWN = [Path("/tmp"), Path("/run"), Path("/dev/shm"), Path("/var/log"), HOME]
_KEPT = [ROOT, Path(sys.prefix), Path(sys.base_prefix)]
_PROGRAMS = ["sshd", "ssh", "ssh-keygen", "rsync", "ip", "nsenter", "unshare", "mount", "bash"]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # cron and some shells leave out sbin

MISSING = [f"the program {name}" for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
if os.geteuid() != 0:
    MISSING.append("root")

# The first process of a host; it reaps the orphans of the others. $1: name, $2: address, $3: folder, then what is kept.
_HOST = """
set -e
name=$1 address=$2 folder=$3; shift 3
hostname "$name"
mount -t proc proc /proc
empty=$folder/$name.empty
for own in $OWN; do
    mount -t tmpfs -o mode=1777 sldd "$empty"
    for kept in "$@"; do
        case $kept in "$own"/*)
            mkdir -p "$empty${kept#"$own"}"
            mount --bind "$kept" "$empty${kept#"$own"}"
        esac
    done
    mount --no-mtab --move "$empty" "$own"
done
chmod 700 "$HOME"
mkdir /run/sshd
mount --bind "$folder/hosts" /etc/hosts
if [ -e /etc/resolv.conf ]; then  # no name server can be reached: nobody shall wait for one
    mount --bind /dev/null "$(readlink --canonicalize /etc/resolv.conf)"
fi
echo unplugged
read -r plugged
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default dev eth0  # leads nowhere, but Ray asks for it to find its own address
/usr/sbin/sshd -f /dev/null -E "$folder/$name.sshd.log" -h "$folder/key" -o AuthorizedKeysFile="$folder/key.pub" \\
    -o ListenAddress="$address" -o StrictModes=no -o UsePAM=no -o PidFile=none -o PermitRootLogin=prohibit-password
echo ready
cat >/dev/null
"""


@dataclass
class Host:
    """One host: a network namespace and its processes."""

    name: str
    address: str
    key: Path
    """The private key that every host lets in."""
    _unshare: subprocess.Popen[str]
    _bridge: int
    """A process in the bridge's namespace."""

    @property
    def _init(self) -> psutil.Process:
        (init,) = psutil.Process(self._unshare.pid).children()
        return init

    def processes(self) -> list[psutil.Process]:
        """All processes on the host, but the first one and those that ``run`` and ``start`` brought in."""
        return self._init.children(recursive=True)

    @property
    def namespace(self) -> str:
        """Identifier of its process namespace; no other has the same while it exists."""
        return os.readlink(f"/proc/{self._init.pid}/ns/pid")  # noqa: PTH115 - it leads to no file

    def command(self, words: Sequence[str], folder: Path = HOME) -> list[str]:
        """The command that runs ``words`` on the host, in a fresh environment that finds this interpreter first."""
        enter = ["nsenter", "--target", str(self._init.pid), "--mount", "--uts", "--ipc", "--net", "--pid"]
        environment = [f"HOME={HOME}", f"USER={USER}", f"PATH={sys.prefix}/bin:{_PATH}", "LANG=C.UTF-8", "TERM=dumb"]
        return [*enter, "env", "--ignore-environment", f"--chdir={folder}", *environment, *words]

    def start(self, words: Sequence[str], log: Path, folder: Path = HOME) -> subprocess.Popen[str]:
        """Start a command there, which writes to a file; end it with ``end``."""
        with log.open("a") as file:
            command = self.command(words, folder)
            return subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def run(self, words: Sequence[str], folder: Path = HOME, seconds: float = 120) -> str:
        """Run a command there to its end; returns all that it said.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        command = self.command(words, folder)
        done = subprocess.run(
            command,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(words)}: exit status {done.returncode}\n{done.stdout}")
        return done.stdout

    def cut(self) -> None:
        """Pull its cable at the bridge: packets are lost in silence, both ways, and the card notices nothing."""
        self._bridge_ip("link", "set", self.name, "nomaster")

    def mend(self) -> None:
        """Plug its cable in again."""
        self._bridge_ip("link", "set", self.name, "master", "bridge")

    def kill(self) -> None:
        """End it as a power cut does: the cable first, so that no connection is closed politely."""
        self.cut()
        self._init.kill()  # and the kernel all others of its namespace
        self._unshare.wait()

    def _bridge_ip(self, *words: str) -> None:
        subprocess.run(["nsenter", "--target", str(self._bridge), "--net", "ip", *words], check=True)


def end(process: subprocess.Popen[str]) -> None:
    """SIGKILL for a command that ``Host.start`` started: for itself, not only for what entered the namespace."""
    for inner in psutil.Process(process.pid).children():
        inner.kill()
    process.wait()


@contextmanager
def hosts(folder: Path, names: Sequence[str]) -> Iterator[list[Host]]:
    """Hosts that reach each other and nothing else, for the length of a ``with`` block.

    Args:
        folder: seen by all of them under its own path; gets their keys and logs.
        names: a host each, of up to 15 characters (they name the bridge's ports, too); the first has address 10.0.0.1.

    Raises:
        RuntimeError: something is missing (``MISSING``), or a host did not start.
    """
    if MISSING:
        raise RuntimeError(f"hosts need {', '.join(MISSING)}")
    folder = folder.resolve()
    addresses = {name: f"10.0.0.{number}" for number, name in enumerate(names, 1)}
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    with ExitStack() as stack:
        bridge = _holding(stack, ["unshare", "--net", "bash", "-c", "echo ready; cat >/dev/null"])
        _expect(bridge, "ready")
        made: list[Host] = []
        for name, address in addresses.items():
            first = _first_process(stack, folder, name, address)
            host = Host(name, address, folder / "key", first, bridge.pid)
            if not made:
                host._bridge_ip("link", "add", "bridge", "type", "bridge")
                host._bridge_ip("link", "set", "bridge", "up")
            card = ["peer", "name", "eth0", "netns", str(host._init.pid)]
            host._bridge_ip("link", "add", "name", name, "type", "veth", *card)
            host._bridge_ip("link", "set", name, "master", "bridge", "up")
            assert host._unshare.stdin is not None
            print("plugged", file=host._unshare.stdin, flush=True)
            _expect(host._unshare, "ready")
            made.append(host)
        yield made


def _first_process(stack: ExitStack, folder: Path, name: str, address: str) -> subprocess.Popen[str]:
    apart = ["--pid", "--mount", "--uts", "--ipc", "--net", "--fork", "--kill-child"]
    (folder / f"{name}.empty").mkdir()
    kept = [str(path) for path in (folder, *_KEPT)]
    own = " ".join(str(path.resolve()) for path in _OWN)
    words = ["env", f"OWN={own}", f"HOME={HOME}", f"PATH={_PATH}", "bash", "-c", _HOST, "bash"]
    process = _holding(stack, ["unshare", *apart, *words, name, address, str(folder), *kept])
    _expect(process, "unplugged")
    return process


def _holding(stack: ExitStack, command: list[str]) -> subprocess.Popen[str]:
    """Starts what holds a namespace until its standard input ends, or the ``with`` block does."""
    process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def let_go() -> None:
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            process.wait(timeout=30)  # the kernel ends all that is left in a host before its first process
        except subprocess.TimeoutExpired:
            process.kill()  # and with unshare, its child: --kill-child
            process.wait()

    stack.callback(let_go)
    return process


def _expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    if (said := process.stdout.readline().strip()) != word:
        raise RuntimeError(f"a host did not start: said {said!r} instead of {word!r}")
