"""The cluster files: Ray reads them as meant, AWS (a stand-in) gives what they ask for, and no line is mistyped."""

from __future__ import annotations

import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from jsonschema import ValidationError
from moto import mock_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.commands import _bootstrap_config
from ray.autoscaler._private.docker import docker_start_cmds
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE

ROOT = Path(__file__).parents[2]
INSTALLING = ["cluster.yaml", "clusters/local.yaml"]
CLOUDS = ["clusters/aws.yaml", "clusters/gcp.yaml", "clusters/azure.yaml"]
"""By a container image."""
FILES = [*INSTALLING, *CLOUDS]


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return content


def _shell_lines(config: dict[str, Any]) -> list[str]:
    return [line for key, lines in config.items() if key.endswith("_commands") for line in lines]


def _shell_problem(*script: str) -> str:
    """What bash says of a script that it reads and does not run; empty where it is one."""
    return subprocess.run(["bash", "-n", *script], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file_and_no_mistyped_key(name: str) -> None:
    config = prepare_config(_read(name))
    validate_config(config)
    assert config["cluster_name"] == _read(name)["cluster_name"]
    with pytest.raises(ValidationError, match="setup_comands"):
        validate_config(config | {"setup_comands": []})


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_shell(name: str) -> None:
    lines = _shell_lines(_read(name))
    assert {line: _shell_problem("-c", line) for line in lines} == dict.fromkeys(lines, "")
    assert _shell_problem("-c", f"if {lines[0]}") != ""


@pytest.mark.parametrize("name", INSTALLING)
def test_what_is_copied_is_all_that_installing_needs(name: str) -> None:
    mounted = {local for remote, local in _read(name)["file_mounts"].items() if remote.startswith("~/sldd-study/")}
    assert all((ROOT / local).exists() for local in mounted)
    assert {"sldd", "study", "ledger", "analysis", "pyproject.toml", "README.md"} <= mounted


@pytest.mark.parametrize("name", FILES)
def test_nobody_else_gets_in(name: str) -> None:
    config = _read(name)
    assert "~/.ray/auth_token" in config["file_mounts"]
    if name in CLOUDS:
        assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    else:
        assert any("RAY_AUTH_MODE=token" in line and "~/.bashrc" in line for line in config["setup_commands"])
    head = config["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "0.0.0.0" not in (ROOT / name).read_text()


def test_slurm_file_is_shell() -> None:
    assert _shell_problem(str(ROOT / "clusters/slurm.sh")) == ""


def test_ray_on_slurm_has_the_cpus_that_it_is_told_of() -> None:
    before, _, _ = (ROOT / "clusters/slurm.sh").read_text().partition("$(srun")
    assert "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK" in before.splitlines()


def test_kubernetes_file_is_what_the_others_are() -> None:
    cluster = _read("clusters/kuberay.yaml")
    spec = cluster["spec"]
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert spec["authOptions"] == {"mode": "token"}
    head = spec["headGroupSpec"]
    assert head["rayStartParams"].items() >= {"num-cpus": "0", "num-gpus": "0", "dashboard-host": "127.0.0.1"}.items()
    (workers,) = spec["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["replicas"]) == (0, 0)
    assert workers["maxReplicas"] > 0
    for pods in (head, workers):
        pod = pods["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes
    # Nothing but strings: Kubernetes refuses numbers and truth values there.
    assert all(isinstance(value, str) for pods in (head, workers) for value in pods["rayStartParams"].values())


def test_files_with_an_image_differ_in_machines_alone() -> None:
    own = {"provider", "auth", "available_node_types", "initialization_commands"}
    shared = [{key: value for key, value in _read(name).items() if key not in own} for name in CLOUDS]
    assert shared[0] == shared[1] == shared[2]
    assert {*shared[0]} >= {"docker", "file_mounts", "setup_commands", "head_start_ray_commands"}


def test_aws_has_the_same_machines_with_the_image() -> None:
    with_image, installing = _read("clusters/aws.yaml"), _read("cluster.yaml")
    for kind in with_image["available_node_types"].values():
        assert kind["node_config"]["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}
        kind["node_config"]["MetadataOptions"] = {"HttpTokens": "required"}
    for key in ("provider", "auth", "available_node_types", "head_node_type", "max_workers"):
        assert with_image[key] == installing[key]


def test_a_job_on_kubernetes_has_the_cluster_that_stands_alone() -> None:
    job = _read("clusters/rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    # The operator and the pod that submits the command reach the head's dashboard over the network.
    alone = _read("clusters/kuberay.yaml")["spec"]
    alone["headGroupSpec"]["rayStartParams"]["dashboard-host"] = "0.0.0.0"
    assert job["spec"]["rayClusterSpec"] == alone
    assert alone["authOptions"] == {"mode": "token"}
    assert job["spec"]["entrypoint"].startswith("python -m study.run ")
    assert job["spec"]["shutdownAfterJobFinishes"] is True


def test_every_file_names_the_image_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    head = _read("clusters/kuberay.yaml")["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    named = {_read(name)["docker"]["image"] for name in CLOUDS} | {head["image"]}
    assert named == {f"registry.example.org/sldd-study:{version}"}


def _image_environment() -> dict[str, str]:
    """What Ray, and the NVIDIA runtime, read of the image."""
    lines = (line.removeprefix("ENV ") for line in (ROOT / "Dockerfile").read_text().splitlines() if line[:4] == "ENV ")
    return dict(word.split("=", 1) for line in lines for word in shlex.split(line))


def test_ray_starts_the_container_with_the_token() -> None:
    config = _read("clusters/aws.yaml")
    docker, mounts = config["docker"], config["file_mounts"]
    given = docker["image"], mounts, docker["container_name"], docker["run_options"]
    image = _image_environment()
    words = shlex.split(docker_start_cmds("ubuntu", *given, config["cluster_name"], image["HOME"], "docker"))
    assert words[-2:] == [docker["image"], "bash"], "an image with an entry point would not run it"
    assert "RAY_AUTH_MODE=token" in words
    assert any(word.endswith(":/home/sldd/.ray/auth_token") for word in words)


def test_the_image_has_the_gpus_that_ray_asks_the_runtime_for() -> None:
    image = _image_environment()
    assert image["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert image["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


def _lint(dockerfile: str) -> str:
    linter = Path(sys.executable).with_name("hadolint")
    return subprocess.run([linter, "-"], input=dockerfile, capture_output=True, text=True, check=False).stdout


def test_dockerfile_is_one_and_installs_what_the_project_is() -> None:
    content = (ROOT / "Dockerfile").read_text()
    assert _lint(content) == ""
    assert "DL3020" in _lint(content.replace("COPY sldd", "ADD sldd"))
    copied = {word for line in content.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert copied == {"pyproject.toml", "README.md", "LICENSE", *(name.removesuffix("*") for name in packages)}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == copied, "neither more, such as radiographs beside it, nor less"
    assert "ENTRYPOINT" not in content


def test_own_machines_are_started_by_autoscaler_v1() -> None:
    assert "RAY_enable_autoscaler_v2=0 ray start --head" in _read("clusters/local.yaml")["head_start_ray_commands"][-1]


@pytest.mark.parametrize("name", ["cluster.yaml", *CLOUDS])
def test_all_workers_may_come_at_once_and_none_is_kept(name: str) -> None:
    config = _read(name)
    worker = config["available_node_types"]["gpu_worker"]
    assert config["upscaling_speed"] == config["max_workers"] == worker["max_workers"]
    assert worker["min_workers"] == 0
    assert config["provider"]["cache_stopped_nodes"] is False
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0, "GPU": 0}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stand-in for AWS with cluster.yaml's profiles; yields the id of an image, which it cannot look up by name."""
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes its new key to ~/.ssh
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    with mock_aws():
        runpy.run_path(str(ROOT / "clusters/aws_profiles.py"))["main"]("studies")
        yield boto3.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def test_head_may_start_workers_and_workers_may_not(aws: str) -> None:
    iam = boto3.client("iam")
    allowed = {}
    for name in ("sldd-head", "sldd-worker"):
        roles = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
        assert [role["RoleName"] for role in roles] == [name]
        document = iam.get_role_policy(RoleName=name, PolicyName="study")["PolicyDocument"]
        allowed[name] = {str(statement["Action"]) for statement in document["Statement"]}
    assert "iam:PassRole" in allowed["sldd-head"]
    assert all("s3:" in action for action in allowed["sldd-worker"])
    runpy.run_path(str(ROOT / "clusters/aws_profiles.py"))["main"]("another")  # may be repeated
    assert "another" in str(iam.get_role_policy(RoleName="sldd-worker", PolicyName="study")["PolicyDocument"])


def test_a_profile_that_was_left_without_its_role_gets_it(aws: str) -> None:
    iam = boto3.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName="sldd-worker", RoleName="sldd-worker")
    runpy.run_path(str(ROOT / "clusters/aws_profiles.py"))["main"]("studies")
    (role,) = iam.get_instance_profile(InstanceProfileName="sldd-worker")["InstanceProfile"]["Roles"]
    assert role["RoleName"] == "sldd-worker"


@pytest.mark.slow
def test_machines_on_aws(aws: str) -> None:
    config = _read("cluster.yaml")
    for kind in config["available_node_types"].values():
        assert kind["node_config"]["ImageId"].startswith("resolve:ssm:/aws/service/deeplearning/ami/")
        kind["node_config"]["ImageId"] = aws
    config = _bootstrap_config(config, no_config_cache=True)
    kinds = config["available_node_types"]
    assert kinds["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert kinds["gpu_worker"]["resources"].items() >= {"CPU": 4, "GPU": 1}.items()

    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    # One by one: asked for several spot machines, the stand-in gives one.
    for kind, role in (("head", "head"), ("gpu_worker", "worker"), ("gpu_worker", "worker")):
        tags = {TAG_RAY_NODE_KIND: role, TAG_RAY_USER_NODE_TYPE: kind, TAG_RAY_NODE_STATUS: "uninitialized"}
        provider.create_node(kinds[kind]["node_config"], tags, 1)
    workers = provider.non_terminated_nodes({TAG_RAY_NODE_KIND: "worker"})
    (head,) = provider.non_terminated_nodes({TAG_RAY_NODE_KIND: "head"})
    assert len(workers) == 2

    ec2 = boto3.resource("ec2")
    head_machine, worker = ec2.Instance(head), ec2.Instance(workers[0])
    assert head_machine.iam_instance_profile["Arn"].endswith("/sldd-head")
    assert worker.iam_instance_profile["Arn"].endswith("/sldd-worker")
    assert (head_machine.instance_lifecycle, worker.instance_lifecycle) == (None, "spot")
    assert worker.instance_type == "g5.xlarge"
    (volume,) = list(worker.volumes.all())
    assert (volume.size, volume.encrypted) == (150, True)
    # Nodes reach each other on every port; from outside there is ssh alone.
    groups = [ec2.SecurityGroup(group["GroupId"]) for group in worker.security_groups]
    outside = [rule for group in groups for rule in group.ip_permissions if rule["IpRanges"]]
    assert [rule["FromPort"] for rule in outside] == [22]
    assert {group["GroupId"] for group in head_machine.security_groups} == {group.id for group in groups}

    provider.terminate_nodes([head, *workers])
    assert provider.non_terminated_nodes({}) == []
