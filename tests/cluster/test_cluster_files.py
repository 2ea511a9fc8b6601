"""The files that make clusters: valid where they will be read, and in agreement with each other.

What Ray and AWS would only say when a cluster starts is checked here without either: Ray's own
schema and scheduler, botocore's model of RunInstances, and the relations between the files. Every
check is shown to fail on a file with the fault that it is for.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from depara._version import __version__
from depara.config import parse_scan

ROOT = Path(__file__).resolve().parents[2]
RAY_CLUSTER = ROOT / "ray_cluster.yaml"
DOCKERFILE = ROOT / "cluster" / "container" / "Dockerfile"
KUBERAY = ROOT / "cluster" / "kuberay"
GUIDE = ROOT / "docs" / "cluster.md"

SMALL_SCAN = 'probes: {source: photos}\nmodels: [{id: a, source: "torchvision:resnet18"}]\n'
DAY_S = 24 * 3600

ABSENT = object()
Config = dict[str, Any]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to AWS fails the test."""

    def refuse(*args: Any) -> None:
        raise AssertionError(f"AWS was asked: {args}")

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)


def ray_version() -> str:
    """The version of Ray that the tests run with."""
    text = (ROOT / "constraints.txt").read_text()
    return re.findall(r"^ray==(.+)$", text, re.MULTILINE)[0]


def read_yaml(path: Path) -> Config:
    # Through JSON, because node types that share an anchor would change together.
    return json.loads(json.dumps(yaml.safe_load(path.read_text())))


def changed(config: Any, path: str, value: Any) -> Any:
    """A copy in which one place, such as ``spec.containers.0.image``, has another value or none."""
    result = place = copy.deepcopy(config)
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in parents:
        place = place[key]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return result


# ------------------------------------------------------------------------------- ray_cluster.yaml


def ray_cluster_faults(config: Config) -> list[str]:
    """What is wrong with a cluster file, by Ray's rules, AWS' and our own."""
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        prepared = prepare_config(copy.deepcopy(config))
        validate_config(prepared)
    except (ValidationError, ValueError, AssertionError) as error:
        return [f"Ray: {str(error).splitlines()[0]}"]
    types = prepared["available_node_types"]
    faults = []
    for name, node_type in types.items():
        faults += [f"{name}: {fault}" for fault in run_instances_faults(node_type["node_config"])]
        if node_type["min_workers"] > node_type["max_workers"]:
            faults.append(f"{name}: min_workers exceeds max_workers")
    return faults + our_faults(prepared)


def run_instances_faults(node_config: Config) -> list[str]:
    """Names, types and enumerated values that AWS' RunInstances does not know."""
    from botocore.validate import ParamValidator

    shape = run_instances_shape()
    request = {**node_config, "MinCount": 1, "MaxCount": 1}  # Ray adds these
    report = ParamValidator().validate(request, shape)
    faults = [report.generate_report()] if report.has_errors() else []
    return faults or list(unknown_values(request, shape))


@functools.cache
def run_instances_shape() -> Any:
    """The input of RunInstances in the service model that botocore ships."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("ec2")
    return model.operation_model("RunInstances").input_shape


def unknown_values(value: Any, shape: Any) -> list[str]:
    """Values that are not among those that the service model enumerates."""
    if shape.type_name == "structure":
        return [f for key, v in value.items() for f in unknown_values(v, shape.members[key])]
    if shape.type_name == "list":
        return [fault for item in value for fault in unknown_values(item, shape.member)]
    allowed = getattr(shape, "enum", [])
    return [f"{shape.name} has no {value!r}"] if allowed and value not in allowed else []


def our_faults(config: Config) -> list[str]:
    """What Ray and AWS accept, but a scan does not want."""
    types = config["available_node_types"]
    head = types[config["head_node_type"]]
    spot, on_demand = types["gpu_spot"], types["gpu_on_demand"]
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    starts = [command for command in commands if "ray start" in command]
    head_start = " ".join(config["head_start_ray_commands"])
    profiles = [node_type["node_config"].get("IamInstanceProfile") for node_type in types.values()]
    rules = {
        "the head computes": head["resources"] == {"CPU": 0},
        "the head is a spot node": "InstanceMarketOptions" not in head["node_config"],
        "the spot type buys no spot": spot["node_config"].get("InstanceMarketOptions")
        == {"MarketType": "spot"},
        "the fallback is spot too": "InstanceMarketOptions" not in on_demand["node_config"],
        "the labels lie": (spot["labels"], on_demand["labels"])
        == ({"ray.io/market-type": "spot"}, {"ray.io/market-type": "on-demand"}),
        "priority cannot decide between different resources": spot["resources"]
        == on_demand["resources"],
        "workers have no GPU": spot["resources"].get("GPU", 0) >= 1,
        "nodes are kept that no scan needs": spot["min_workers"] == on_demand["min_workers"] == 0,
        "the sum of the types cannot be reached": config["max_workers"]
        == spot["max_workers"] + on_demand["max_workers"],
        "idle nodes stay for long": 0 < config["idle_timeout_minutes"] <= 15,
        "a node has no role": all(profiles),
        "workers have the head's role": profiles.count(head["node_config"]["IamInstanceProfile"])
        == 1,
        "keys in the file": not re.search(r"AKIA|secret_access|aws_credentials", str(config)),
        "no token is asked for": "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"],
        "the token is missing": "~/.ray/auth_token" in config["file_mounts"].values(),
        "no GPU reaches the container": "--gpus all" in config["docker"]["worker_run_options"],
        "OMP_NUM_THREADS=1 is inherited": len(starts) == 2
        and all(0 <= s.find("unset OMP_NUM_THREADS") < s.find("ray start") for s in starts),
        "something is installed at every start": not config["head_setup_commands"]
        and not config["worker_setup_commands"],
        "the dashboard is reachable from outside": "--dashboard-host=127.0.0.1" in head_start,
        "no node is ever added": "--autoscaling-config=~/ray_bootstrap_config.yaml" in head_start,
    }
    return [fault for fault, holds in rules.items() if not holds]


def planned_nodes(config: Config, workers: int) -> dict[str, int]:
    """The nodes that Ray's autoscaler would start for workers that take a whole node each."""
    from ray.autoscaler._private.util import prepare_config
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.core.generated.autoscaler_pb2 import ResourceRequest, ResourceRequestByCount

    config = copy.deepcopy(config)
    config["file_mounts"] = {}  # hashed by Ray, but the token is on the user's machine only
    parsed = AutoscalingConfig(prepare_config(config))
    demand = ResourceRequest(resources_bundle={"CPU": 8, "GPU": 1})
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=parsed.get_node_type_configs(),
        max_num_nodes=parsed.get_max_num_nodes(),
        resource_requests=[ResourceRequestByCount(request=demand, count=workers)],
    )
    reply = ResourceDemandScheduler(None).schedule(request)
    return {launch.instance_type: launch.count for launch in reply.to_launch}


def test_ray_cluster_file_is_valid() -> None:
    assert ray_cluster_faults(read_yaml(RAY_CLUSTER)) == []


SPOT = "available_node_types.gpu_spot"
ON_DEMAND = "available_node_types.gpu_on_demand"
HEAD = "available_node_types.head"
SPOT_MARKET = {"MarketType": "spot"}
TOKEN = "--env RAY_AUTH_MODE=token"


@pytest.mark.parametrize(
    ("fault", "path", "value"),
    [
        ("Ray: Additional properties", "max_worker", 3),
        ("Ray: Additional properties", f"{SPOT}.prority", 3),
        ("Ray: 'node_config' is a required", f"{SPOT}.node_config", ABSENT),
        ("Ray: 0.5 is not of type 'integer'", f"{SPOT}.resources.GPU", 0.5),
        ("Ray: 'high' is not of type", f"{SPOT}.priority", "high"),
        ("Ray: `head_node_type` must be", "head_node_type", "main"),
        ("Ray: The specified global `max_w", f"{SPOT}.min_workers", 99),
        ("Ray: Must provide a container", "docker.container_name", ABSENT),
        ("min_workers exceeds", f"{ON_DEMAND}.min_workers", 3),
        ("Unknown parameter in input", f"{SPOT}.node_config.InstanceTyp", "g6.2xlarge"),
        ("Unknown parameter in IamInst", f"{SPOT}.node_config.IamInstanceProfile.Nam", "x"),
        ("Unknown parameter", f"{SPOT}.node_config.BlockDeviceMappings.0.Ebs.Size", 300),
        ("Invalid type", f"{SPOT}.node_config.BlockDeviceMappings.0.Ebs.VolumeSize", "300 GB"),
        ("InstanceType has no 'g6.2xlrge'", f"{SPOT}.node_config.InstanceType", "g6.2xlrge"),
        ("has no 'spt'", f"{SPOT}.node_config.InstanceMarketOptions.MarketType", "spt"),
        ("the head computes", f"{HEAD}.resources.CPU", ABSENT),
        ("the head computes", f"{HEAD}.resources.CPU", 4),
        ("the head is a spot", f"{HEAD}.node_config.InstanceMarketOptions", SPOT_MARKET),
        ("the spot type buys no", f"{SPOT}.node_config.InstanceMarketOptions", ABSENT),
        ("the fallback is spot", f"{ON_DEMAND}.node_config.InstanceMarketOptions", SPOT_MARKET),
        ("the labels lie", f"{SPOT}.labels", {"ray.io/market-type": "on-demand"}),
        ("priority cannot decide", f"{SPOT}.resources.CPU", 16),
        ("nodes are kept", f"{ON_DEMAND}.min_workers", 1),
        ("the sum of the types", "max_workers", 7),
        ("idle nodes stay", "idle_timeout_minutes", 600),
        ("a node has no role", f"{SPOT}.node_config.IamInstanceProfile", ABSENT),
        ("workers have the head's", f"{SPOT}.node_config.IamInstanceProfile.Name", "depara-head"),
        ("keys in the file", "docker.run_options", [TOKEN, "--env AWS_ACCESS_KEY_ID=AKIA0"]),
        ("no token is asked for", "docker.run_options", []),
        ("the token is missing", "file_mounts", {}),
        ("no GPU reaches", "docker.worker_run_options", []),
        ("OMP_NUM_THREADS", "worker_start_ray_commands", ["ray start --address=$RAY_HEAD_IP"]),
        ("something is installed", "setup_commands", ABSENT),
        ("the dashboard is", "head_start_ray_commands", ["unset OMP_NUM_THREADS; ray start"]),
        ("no node is ever added", "head_start_ray_commands", ["ray start --head"]),
    ],
)
def test_a_broken_ray_cluster_file_is_noticed(fault: str, path: str, value: Any) -> None:
    found = ray_cluster_faults(changed(read_yaml(RAY_CLUSTER), path, value))
    assert any(fault in text for text in found), found


def test_autoscaler_prefers_spot_and_overflows_to_on_demand() -> None:
    config = read_yaml(RAY_CLUSTER)
    spot_nodes = config["available_node_types"]["gpu_spot"]["max_workers"]
    assert planned_nodes(config, 1) == {"gpu_spot": 1}
    assert planned_nodes(config, spot_nodes) == {"gpu_spot": spot_nodes}
    assert planned_nodes(config, spot_nodes + 1) == {"gpu_spot": spot_nodes, "gpu_on_demand": 1}
    assert planned_nodes(config, 99) == {"gpu_spot": spot_nodes, "gpu_on_demand": 2}
    without_spot = changed(config, f"{SPOT}.max_workers", 0)
    assert planned_nodes(without_spot, 1) == {"gpu_on_demand": 1}


def test_autoscaler_follows_the_priority_not_the_name() -> None:
    config = changed(read_yaml(RAY_CLUSTER), f"{SPOT}.priority", -1)
    assert planned_nodes(config, 1) == {"gpu_on_demand": 1}


# -------------------------------------------------------------------------------------- Dockerfile


def dockerfile_faults(text: str) -> list[str]:
    """What is wrong with the container image's recipe."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    steps = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]
    bases = [rest for step, rest in steps if step == "FROM"]
    users = [rest for step, rest in steps if step == "USER"]
    copies = [shlex.split(rest) for step, rest in steps if step == "COPY"]
    sources = [word for words in copies for word in words[:-1] if not word.startswith("--")]
    installs = [rest for step, rest in steps if step == "RUN" and "pip install" in rest]
    environment = [rest for step, rest in steps if step in ("ENV", "ARG")]
    python = re.fullmatch(rf"rayproject/ray:{re.escape(ray_version())}-py(3\d+)", bases[0])
    rules = {
        "another Ray than the tests'": python is not None,
        "Python is too old": python is None or int(python[1]) >= 311,
        "runs as root": bool(users) and users[-1].isdigit() and users[-1] != "0",
        "the code is missing": {"depara", "cluster", "jobs", "constraints.txt"} <= set(sources),
        "copies what the checkout does not name": all(
            (ROOT / source).exists() or source == declared_readme() for source in sources
        ),
        "root owns what is copied": all(words[0] == "--chown=1000:100" for words in copies),
        "versions are not pinned": bool(installs)
        and all("-c constraints.txt" in install for install in installs),
        "torch is missing": any(" torch torchvision" in install for install in installs),
        "depara[scan] is missing": any("[scan" in install for install in installs),
        "secrets in the image": not any(re.search("KEY|TOKEN|SECRET", e) for e in environment),
        "jobs cannot be imported": any("PYTHONPATH=/home/ray/depara" in e for e in environment),
    }
    return [fault for fault, holds in rules.items() if not holds]


def declared_readme() -> str:
    """The file that the package's metadata needs to be built."""
    return re.findall(r'^readme = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]


def test_dockerfile_is_valid() -> None:
    assert dockerfile_faults(DOCKERFILE.read_text()) == []


@pytest.mark.parametrize(
    ("fault", "old", "new"),
    [
        ("another Ray", f"rayproject/ray:{ray_version()}", "rayproject/ray:2.10.0"),
        ("another Ray", f"ray:{ray_version()}-py311", "ray:latest"),
        ("Python is too old", "-py311", "-py310"),
        ("runs as root", "USER 1000", "USER root"),
        ("the code is missing", "COPY --chown=1000:100 cluster cluster\n", ""),
        ("copies what", "1000:100 jobs jobs", "1000:100 job jobs"),
        ("root owns", "COPY --chown=1000:100 jobs", "COPY jobs"),
        ("not pinned", "-c constraints.txt torch", "torch"),
        ("torch is missing", " torch torchvision", " torchvision"),
        ("depara[scan]", "[scan,timm,hf]", ""),
        ("secrets", "ENV PYTHONPATH", "ENV AWS_SECRET_ACCESS_KEY=x\nENV PYTHONPATH"),
        ("jobs cannot", "ENV PYTHONPATH=/home/ray/depara", ""),
    ],
)
def test_a_broken_dockerfile_is_noticed(fault: str, old: str, new: str) -> None:
    text = DOCKERFILE.read_text()
    assert old in text
    found = dockerfile_faults(text.replace(old, new))
    assert any(fault in text for text in found), found


# ---------------------------------------------------------------------------------------- KubeRay


def rayjob_faults(job: Config) -> list[str]:
    """What is wrong with the RayJob."""
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]
    (group,) = cluster["workerGroupSpecs"]
    head_pod, pod = head["template"]["spec"], group["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    overrides = scan_overrides(spec["entrypoint"])
    compute = parse_scan(SMALL_SCAN, overrides).config.compute
    rules = {
        "another kind": (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob"),
        "one name for every run": list(job["metadata"]) == ["generateName", "labels"],
        "a submitter pod can end the job": spec["submissionMode"] == "HTTPMode",
        "exit code 3 is repeated": spec["entrypoint"].endswith("|| [ $? -eq 3 ]"),
        "is not tried again": spec["backoffLimit"] >= 1,
        "the next night overlaps": (1 + spec["backoffLimit"]) * spec["activeDeadlineSeconds"]
        < DAY_S,
        "the cluster outlives the job": spec["shutdownAfterJobFinishes"] is True
        and 0 < spec["ttlSecondsAfterFinished"] <= 3600,
        "another Ray than the tests'": cluster["rayVersion"] == ray_version(),
        "no token is asked for": cluster["authOptions"] == {"mode": "token"},
        "the head computes": head["rayStartParams"]["num-cpus"] == "0",
        "the operator ignores priorities": cluster["autoscalerOptions"]["version"] == "v2",
        "too little time to end": all(
            p["terminationGracePeriodSeconds"] == 120 for p in (head_pod, pod)
        ),
        "runs as root": all(p["securityContext"]["runAsNonRoot"] for p in (head_pod, pod)),
        "tainted GPU nodes are out of reach": {
            "key": "nvidia.com/gpu",
            "operator": "Exists",
            "effect": "NoSchedule",
        }
        in pod["tolerations"],
        "requests and limits differ": resources["requests"] == resources["limits"],
        "the worker asks for other GPUs than the pod has": float(
            resources["limits"]["nvidia.com/gpu"]
        )
        == compute.num_gpus,
        "the worker does not fit the pod": compute.num_cpus <= float(resources["limits"]["cpu"]),
        "the scan asks for other workers than can come": compute.workers == group["maxReplicas"],
        "nodes are kept that no scan needs": group["minReplicas"] == group["replicas"] == 0,
        "images differ": len({image_of(p) for p in (head_pod, pod)}) == 1,
        "no role": head_pod["serviceAccountName"] == pod["serviceAccountName"] == "depara-scan",
    }
    return [fault for fault, holds in rules.items() if not holds]


def image_of(pod: Config) -> str:
    return pod["containers"][0]["image"]


def scan_overrides(command: str) -> list[str]:
    """The values of `--set` in a shell command."""
    words = shlex.split(command, comments=True)
    return [words[i + 1] for i, word in enumerate(words) if word == "--set"]


def cronjob_faults(documents: list[Config], kustomization: Config) -> list[str]:
    """What is wrong with the nightly creation of the RayJob."""
    by_kind: dict[str, list[Config]] = {}
    for document in documents:
        by_kind.setdefault(document["kind"], []).append(document)
    (cron,), (role,), (binding,) = by_kind["CronJob"], by_kind["Role"], by_kind["RoleBinding"]
    accounts = {account["metadata"]["name"] for account in by_kind["ServiceAccount"]}
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (generated,) = kustomization["configMapGenerator"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (volume,) = pod["volumes"]
    file = f"{mounts.get(volume['name'])}/rayjob.yaml"
    rules = {
        "another API": cron["apiVersion"] == "batch/v1",
        "creations overlap": cron["spec"]["concurrencyPolicy"] == "Forbid",
        "not nightly": re.fullmatch(r"\d+ \d+ \* \* \*", cron["spec"]["schedule"]) is not None,
        "may do more than create": role["rules"]
        == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create"]}],
        "the role is bound to another account": binding["subjects"]
        == [{"kind": "ServiceAccount", "name": pod["serviceAccountName"]}]
        and binding["roleRef"]["name"] == role["metadata"]["name"],
        "an account is missing": {pod["serviceAccountName"], "depara-scan"} <= accounts,
        "creates another file": container["args"] == ["create", "-f", file],
        "needs a shell": "command" not in container,
        "runs as root": pod["securityContext"]["runAsNonRoot"] is True,
        "the ConfigMap has another name": volume["configMap"]["name"] == generated["name"]
        and kustomization["generatorOptions"]["disableNameSuffixHash"] is True,
        "the ConfigMap is not the RayJob": generated["files"] == ["rayjob.yaml"],
        "is not applied": kustomization["resources"] == ["cronjob.yaml"],
    }
    return [fault for fault, holds in rules.items() if not holds]


def read_cronjob() -> list[Config]:
    return list(yaml.safe_load_all((KUBERAY / "cronjob.yaml").read_text()))


def test_rayjob_is_valid() -> None:
    assert rayjob_faults(read_yaml(KUBERAY / "rayjob.yaml")) == []


def test_nightly_cronjob_is_valid() -> None:
    assert cronjob_faults(read_cronjob(), read_yaml(KUBERAY / "kustomization.yaml")) == []


CLUSTER = "spec.rayClusterSpec"
GROUP = f"{CLUSTER}.workerGroupSpecs.0"
POD = f"{GROUP}.template.spec"


@pytest.mark.parametrize(
    ("fault", "path", "value"),
    [
        ("one name", "metadata", {"name": "depara-scan", "labels": {}}),
        ("a submitter pod", "spec.submissionMode", "K8sJobMode"),
        ("exit code 3", "spec.entrypoint", "python -m jobs.scan s3://bucket/scan.yaml"),
        ("is not tried again", "spec.backoffLimit", 0),
        ("the next night overlaps", "spec.activeDeadlineSeconds", 80000),
        ("the next night overlaps", "spec.backoffLimit", 2),
        ("the cluster outlives", "spec.shutdownAfterJobFinishes", False),
        ("another Ray", f"{CLUSTER}.rayVersion", "2.10.0"),
        ("no token", f"{CLUSTER}.authOptions.mode", "disabled"),
        ("the head computes", f"{CLUSTER}.headGroupSpec.rayStartParams.num-cpus", "2"),
        ("too little time", f"{POD}.terminationGracePeriodSeconds", 30),
        ("tainted GPU nodes", f"{POD}.tolerations", []),
        ("requests and limits", f"{POD}.containers.0.resources.requests.cpu", ABSENT),
        ("does not fit", f"{POD}.containers.0.resources.limits.cpu", "4"),
        ("other workers", f"{GROUP}.maxReplicas", 3),
        ("images differ", f"{POD}.containers.0.image", "depara:other"),
        ("no role", f"{POD}.serviceAccountName", "default"),
    ],
)
def test_a_broken_rayjob_is_noticed(fault: str, path: str, value: Any) -> None:
    found = rayjob_faults(changed(read_yaml(KUBERAY / "rayjob.yaml"), path, value))
    assert any(fault in text for text in found), found


CRON = "4.spec"
CRON_POD = f"{CRON}.jobTemplate.spec.template.spec"


@pytest.mark.parametrize(
    ("fault", "path", "value"),
    [
        ("creations overlap", f"{CRON}.concurrencyPolicy", "Allow"),
        ("not nightly", f"{CRON}.schedule", "* * * * *"),
        ("may do more", "2.rules.0.verbs", ["*"]),
        ("another account", "3.subjects.0.name", "default"),
        ("an account is missing", "0.metadata.name", "scan"),
        ("creates another", f"{CRON_POD}.containers.0.args.2", "/job.yaml"),
        ("needs a shell", f"{CRON_POD}.containers.0.command", ["/bin/sh"]),
        ("another name", f"{CRON_POD}.volumes.0.configMap.name", "x"),
    ],
)
def test_a_broken_cronjob_is_noticed(fault: str, path: str, value: Any) -> None:
    documents = changed(read_cronjob(), path, value)
    found = cronjob_faults(documents, read_yaml(KUBERAY / "kustomization.yaml"))
    assert any(fault in text for text in found), found


# ------------------------------------------------------------------------------- all files together


def test_all_files_name_the_same_image() -> None:
    job = read_yaml(KUBERAY / "rayjob.yaml")["spec"]["rayClusterSpec"]
    named = {
        "ray_cluster.yaml": read_yaml(RAY_CLUSTER)["docker"]["image"],
        "rayjob.yaml": image_of(job["headGroupSpec"]["template"]["spec"]),
        "Dockerfile": re.findall(r"docker build .* -t (\S+)", DOCKERFILE.read_text())[0],
        "docs/cluster.md": re.findall(r"docker build .* -t (\S+)", GUIDE.read_text())[0],
    }
    assert set(named.values()) == {f"registry.example.com/depara:{__version__}"}, named


def test_token_is_mounted_into_the_home_that_the_image_prepares() -> None:
    (target,) = read_yaml(RAY_CLUSTER)["file_mounts"]
    assert target == "/home/ray/.ray/auth_token"
    assert f"mkdir -p /home/ray/depara {Path(target).parent}" in DOCKERFILE.read_text()


def test_commands_of_the_guide_are_valid() -> None:
    text = GUIDE.read_text()
    (command,) = re.findall(r"^ray job submit (?:.*\\\n)*.*$", text, re.MULTILINE)
    compute = parse_scan(SMALL_SCAN, scan_overrides(command)).config.compute
    config = read_yaml(RAY_CLUSTER)
    spot = config["available_node_types"]["gpu_spot"]
    assert compute.workers == config["max_workers"] > spot["max_workers"]
    assert (compute.num_cpus, compute.num_gpus) == (spot["resources"]["CPU"], 1)
    assert f'"ray[default]=={ray_version()}"' in text
    assert f"({spot['max_workers']}); further workers" in text
    paths = set(re.findall(r"`((?:cluster|docs|jobs)/[\w/.]+|\w+\.yaml)`", text))
    missing = {path for path in paths if not list(ROOT.rglob(path))}
    assert len(paths) >= 4
    assert not missing
