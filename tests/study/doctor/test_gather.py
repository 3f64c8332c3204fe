"""What machines tell, through stand-ins of Ray's actors that answer in this process, with a real trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayError

from ledger.storage import write_whole
from sldd.data.settings import DataSettings
from study.cluster import broadcast, nodes, ray_cluster
from study.config.loader import load
from study.config.resource_settings import ResourceSettings
from study.doctor import gather as module
from study.doctor import machine as machine_module
from study.doctor.__main__ import main
from study.doctor.facts import Facts, Machine
from study.doctor.gather import gather
from study.doctor.machine import Examiner

RESOURCES = {"CPU": 1.0, "memory": 8 * 2**30, "object_store_memory": 2**20}


@dataclass
class Method:
    """``actor.method.remote(...)``, which is its answer, or the error that asking raises."""

    act: Callable[..., Any]

    def remote(self, *given: Any) -> Any:
        try:
            return self.act(*given)
        except Exception as error:
            return RayError(f"{type(error).__name__}: {error}")


class Stand:
    """Stands for an actor on one machine."""

    def __init__(self, examiner: Examiner, **other: Callable[..., Any]) -> None:
        self._examiner, self._other = examiner, other

    def __getattr__(self, name: str) -> Method:
        return Method(self._other.get(name) or getattr(self._examiner, name))


def _get(answer: Any, timeout: float = 0.0) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stand]:
    """Two machines, whose answers a test may change."""
    stands = {name: Stand(Examiner(gpu=False, threads=1)) for name in ("one", "two")}
    known = [{"NodeManagerHostname": name, "NodeID": name, "Resources": RESOURCES} for name in stands]
    monkeypatch.setattr(module, "trial_nodes", lambda: known)
    monkeypatch.setattr(module, "_examiners", lambda *_: stands)
    monkeypatch.setattr(machine_module, "_STEPS", 1)
    monkeypatch.setattr(nodes.ray, "wait", lambda *_, **__: None)
    monkeypatch.setattr(nodes.ray, "get", _get)
    monkeypatch.setattr(broadcast.ray, "put", lambda value: value)
    return stands


def test_a_healthy_machine_tells_all_and_keeps_nothing(two: dict[str, Stand], tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "studies" / "here"
    facts = gather(load("demo", [f"data.cache={cache}"]), out, None)
    for machine in facts.machines:
        assert (machine.silent, machine.failure, machine.unwritten, machine.unread) == (None, None, None, {})
        assert machine.step is not None
        assert machine.trial is not None
        assert machine.versions == facts.driver.versions
        assert set(machine.rooms) == {"studies", "cache", "ray"}
        assert (machine.cpus, machine.memory) == (1.0, 8 * 2**30)
        assert abs(machine.ahead) < 1
    assert not out.exists()
    assert list(cache.iterdir()) == []
    assert facts.cohort == ()


def test_what_goes_wrong_is_told_of_its_machine(two: dict[str, Stand], tmp_path: Path) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError("no route")

    two["two"] = Stand(Examiner(gpu=False, threads=1), told=unreachable)
    two["one"] = Stand(Examiner(gpu=False, threads=1), write=lambda _: "Read-only file system", now=lambda: 0.0)
    facts = gather(load("demo", ["data.source=folder", f"data.root={tmp_path / 'films'}"]), tmp_path, None)
    one, other = facts.machines
    assert other.silent == "ConnectionError: no route"
    assert one.unwritten == "Read-only file system"
    assert one.trial is None, "it would fail there once more"
    assert one.ahead < -1e9
    assert facts.driver.unread == {}, "what was never written is not missed"
    assert [message.partition(": ")[0] for message in facts.cohort] == ["data.root"]
    assert list(tmp_path.iterdir()) == []


def test_who_does_not_see_what_others_wrote_is_told_and_tries_no_trial(two: dict[str, Stand], tmp_path: Path) -> None:
    for name, there in (("one", {}), ("two", {"one": "there is none"})):
        act = {"unread": lambda _, there=there: there, "trial": lambda *_: 1.0, "step": lambda: 0.01}
        two[name] = Stand(Examiner(gpu=False, threads=1), **act)
    facts = gather(load("demo", [f"data.cache={tmp_path / 'cache'}"]), tmp_path, None)
    assert [machine.unread for machine in facts.everywhere] == [{}, {}, {"one": "there is none"}]
    assert [machine.failure for machine in facts.machines] == ["its result does not appear here", None]


def test_a_gpu_that_pytorch_cannot_use_is_told_and_not_tried(
    two: dict[str, Stand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [each | {"Resources": RESOURCES | {"GPU": 1.0}} for each in module.trial_nodes()]
    monkeypatch.setattr(module, "trial_nodes", lambda: known)
    examiner = Examiner(gpu=False, threads=1)
    told = {**examiner.told(str(tmp_path), None), "cuda": False}
    for name in two:
        two[name] = Stand(examiner, told=lambda *_: told, step=lambda: pytest.fail("a step was tried"))
    facts = gather(load("demo", [f"data.cache={tmp_path / 'cache'}"]), tmp_path, None)
    assert [(each.gpus, each.step, each.trial, each.failure) for each in facts.machines] == [
        (1.0, None, None, None)
    ] * 2


def test_a_folder_that_nobody_may_write_to_is_found(
    two: dict[str, Stand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting a file that is not there is refused in it, too."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(machine_module, "write_whole", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)
    facts = gather(load("demo", [f"data.cache={tmp_path / 'cache'}"]), tmp_path, None)
    assert [machine.unwritten for machine in facts.everywhere] == ["Read-only file system"] * 3


def test_films_that_do_not_open_are_told_by_their_lines(cohort_folder: Path) -> None:
    config = load("demo", ["data.source=folder", f"data.root={cohort_folder}"])
    assert list(module._cohort(config)) == []
    for patient in (0, 1, 11):  # the second is none of those that are looked at
        (cohort_folder / "images" / f"{patient}.png").write_bytes(b"no image")
    first, last = module._cohort(config)
    assert first.startswith("manifest.csv line 2: the image ")
    assert last.startswith("manifest.csv line 13: the image ")


def test_collections_that_chains_name_are_opened_too(cohort_folder: Path) -> None:
    first = DataSettings("folder", str(cohort_folder))
    sources = {"first": first, "then": DataSettings("nih", "/nowhere"), "unused": DataSettings("nih")}
    config = load("demo", [])
    config = replace(config, sources=sources, grid=[replace(config.grid[0], chain=[["first"], ["first", "then"]])])
    (cohort_folder / "masks" / "0.png").unlink()
    unread, missing = module._cohort(config)
    assert unread.startswith("sources.first: manifest.csv line 2: the mask ")
    assert missing.startswith("sources.then.root: there is no /nowhere")


def test_a_trial_whose_result_does_not_appear_has_failed(two: dict[str, Stand], tmp_path: Path) -> None:
    for name in two:
        two[name] = Stand(Examiner(gpu=False, threads=1), trial=lambda *_: 1.0, step=lambda: 0.01)
    facts = gather(load("demo", [f"data.cache={tmp_path / 'cache'}"]), tmp_path / "out", None)
    assert [machine.failure for machine in facts.machines] == ["its result does not appear here"] * 2


@pytest.mark.parametrize(
    ("settings", "trials"),
    [
        (ResourceSettings(gpus_per_trial=0), 64),
        (ResourceSettings(gpus_per_trial=1), 2),
        (ResourceSettings(gpus_per_trial="auto", trials_per_gpu=3), 6),
        (ResourceSettings(gpus_per_trial=0, concurrent=5), 5),
        (ResourceSettings(gpus_per_trial=4), 1),
    ],
)
def test_a_machine_counts_the_trials_that_will_run_there(settings: ResourceSettings, trials: int) -> None:
    assert module._counted({"Resources": {"CPU": 64.0, "GPU": 2.0}}, settings)["trials"] == trials


class Autoscaler:
    """Starts machines of four CPUs and a GPU for what is asked for, and packs that as Ray does."""

    def __init__(self) -> None:
        self.asked: list[dict[str, float]] = []
        self.machines = 0
        self.looks = 0

    def request(self, bundles: list[dict[str, float]]) -> None:
        self.asked = bundles

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Resources": {"CPU": 4.0, "GPU": 1.0}}] * self.machines

    def start(self, _: float) -> None:
        self.looks += 1
        machines: list[float] = []
        for bundle in self.asked:
            place = next((place for place, left in enumerate(machines) if left >= bundle["CPU"]), None)
            if place is None:
                machines.append(4.0)
                place = len(machines) - 1
            machines[place] -= bundle["CPU"]
        self.machines = max(self.machines, len(machines))


@pytest.fixture
def autoscaler(monkeypatch: pytest.MonkeyPatch) -> Autoscaler:
    autoscaler = Autoscaler()
    monkeypatch.setattr(module, "request_resources", autoscaler.request)
    monkeypatch.setattr(module, "trial_nodes", autoscaler.nodes)
    monkeypatch.setattr(module.time, "sleep", autoscaler.start)
    monkeypatch.setattr(module, "_COMING_SECONDS", 1.0)
    return autoscaler


def test_as_many_machines_come_as_are_wanted(autoscaler: Autoscaler) -> None:
    module._await(8, ResourceSettings(gpus_per_trial=0))
    assert (autoscaler.machines, autoscaler.looks) == (8, 2)
    assert autoscaler.asked == []


def test_an_interrupted_wait_keeps_no_machine(autoscaler: Autoscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        module._await(2, ResourceSettings(gpus_per_trial=1))
    assert autoscaler.asked == []


def test_a_folder_that_is_not_shared_is_unread(tmp_path: Path) -> None:
    examiner = Examiner(gpu=False, threads=1)
    write_whole(tmp_path / "ours", "x")
    there = {"we": str(tmp_path / "ours"), "they": str(tmp_path / "elsewhere" / "theirs")}
    assert examiner.unread(there) == {"they": "there is none"}
    assert examiner.write(str(tmp_path / "nowhere" / "file")) == "there is none"
    assert not (tmp_path / "nowhere").exists()


def test_another_source_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "__file__", str(tmp_path / "study" / "doctor" / "machine.py"))
    found = [machine_module._source()]
    for folder in ("analysis", "ledger", "sldd", "study/doctor"):
        (tmp_path / folder).mkdir(parents=True)
        for content in "12":
            (tmp_path / folder / "a.py").write_text(content)
            found.append(machine_module._source())
    assert len(set(found)) == 9


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """What the command is to find."""
    machine = Machine("one", memory=2**30, cpus=1)
    facts = [Facts(machine, (machine,), "/studies")]
    monkeypatch.setattr(ray_cluster, "connect", lambda *_: nullcontext(("Ray on this machine: 1 CPU", None)))
    monkeypatch.setattr(module, "gather", lambda *_: facts[0])
    return facts


def test_a_cluster_without_what_the_study_asks_for_is_joined_all_the_same(
    cluster: list[Facts], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(ray_cluster, "connect", lambda _, resources: asked.append(resources) or nullcontext(("", None)))
    for words in ([], ["--machines", "3"], ["--machines", "3", "resources.concurrent=2"]):
        main(["resources.gpus_per_trial=1", "--address", "local", *words])
    assert [resources.concurrent for resources in asked] == [1, 3, 2]
    assert ray_cluster._slots(asked[0], [(2.0, 0.0)]).gpus == 1, "the missing GPU is found by a check, not refused here"


def test_exit_status_and_lines(cluster: list[Facts], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--address", "local"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is wrong"
    cluster[0] = replace(cluster[0], wanted=2)
    assert main(["--address", "local"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("machines: cluster: 1 of 2 machines are there")
    assert main(["--address", "local", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is False
    assert told["findings"][0]["check"] == "machines"
    assert told["facts"]["machines"][0]["host"] == "one"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no-such-study"], "no-such-study"),
        (["outer.stps=3"], "unknown setting outer.stps"),
        (["--out", "nowhere://bucket"], "nowhere"),
    ],
)
def test_bad_words_are_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("study.doctor: ")
    assert says in said
    assert said.count("\n") == 1
