"""What deploy/ and docker/ declare: every hook in them is one that Kong and the sidecar take."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.settings import ENVIRONMENT_PREFIX, described
from tests.support.hooks import validation_of

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def declared() -> Iterator[tuple[str, Any]]:
    for document in documents(KUBERNETES / "kong-plugin.yaml"):
        yield document["metadata"]["name"], document["config"]
    config_map = documents(KUBERNETES / "kong.yaml")[0]
    for file in (config_map["data"]["kong.yml"], (ROOT / "docker" / "kong.yml").read_text()):
        for plugin in yaml.safe_load(file)["plugins"]:
            yield plugin["name"], plugin["config"]


@pytest.mark.parametrize(("name", "config"), list(declared()))
def test_hooks_are_valid(name: str, config: Any) -> None:
    checked = validation_of(known()).config(config)
    assert not checked.error, name
    assert checked.hooks


@pytest.mark.parametrize(
    "file",
    [
        "deploy/kubernetes/kong.yaml",
        "deploy/kubernetes/kong-cluster.yaml",
        "deploy/kubernetes/helm-values.yaml",
        "docker/compose.yml",
    ],
)
def test_settings_exist(file: str) -> None:
    used = {
        word.strip('{},:"').removeprefix(ENVIRONMENT_PREFIX)
        for word in (ROOT / file).read_text().split()
        if ENVIRONMENT_PREFIX in word
    }
    assert used
    assert {name.lower() for name in used} <= {setting.name for setting in described()}


def sidecar(pod: Any) -> dict[str, Any]:
    (container,) = (each for each in pod["initContainers"] if each["name"] == "event-hooks")
    return dict(container)


def stateful_set(path: Path) -> Any:
    (found,) = (each for each in documents(path) if each["kind"] == "StatefulSet")
    return found["spec"]


def test_a_clusters_manifests_are_those_of_single_pods_and_what_a_shared_store_takes() -> None:
    alone, cluster = KUBERNETES / "kong.yaml", KUBERNETES / "kong-cluster.yaml"
    others = [each for each in documents(cluster) if each["kind"] not in ("StatefulSet", "PodDisruptionBudget")]
    assert others == [each for each in documents(alone) if each["kind"] != "StatefulSet"]
    expected, found = stateful_set(alone), stateful_set(cluster)
    pod, clustered = expected["template"]["spec"], found["template"]["spec"]
    store = {"name": f"{ENVIRONMENT_PREFIX}STORE_URL_FILE", "value": "/run/secrets/kong-event-hooks/store_url"}
    sidecar(pod)["env"].append(store)
    sidecar(pod)["volumeMounts"][1]["name"] = expected["volumeClaimTemplates"][0]["metadata"]["name"] = "spool"
    (spread,) = clustered.pop("topologySpreadConstraints")
    assert spread["labelSelector"] == expected["selector"]
    assert found == expected | {"replicas": 3}


def test_the_chart_s_values_make_the_same_sidecar_as_the_manifests() -> None:
    (values,) = documents(KUBERNETES / "helm-values.yaml")
    pod = stateful_set(KUBERNETES / "kong.yaml")["template"]["spec"]
    ours, theirs = sidecar(values["deployment"]), sidecar(pod)
    for name in ("image", "restartPolicy", "ports", "startupProbe", "livenessProbe", "resources"):
        assert ours[name] == theirs[name], name
    # The chart's pod does not say that nobody is root.
    assert ours["securityContext"] == {"runAsNonRoot": True, **theirs["securityContext"]}
    declared_by_file = f"{ENVIRONMENT_PREFIX}KONG_YML"
    assert ours["env"] == [each for each in theirs["env"] if each["name"] != declared_by_file]
    assert {each["mountPath"] for each in ours["volumeMounts"]} == {
        each["mountPath"] for each in theirs["volumeMounts"] if each["name"] != "declarative"
    }
    assert values["terminationGracePeriodSeconds"] == pod["terminationGracePeriodSeconds"]
    # Chart 3.4.1 has no plain listener of the Admin API otherwise, and nothing would answer at this address.
    assert {"name": f"{ENVIRONMENT_PREFIX}ADMIN_URL", "value": "http://127.0.0.1:8001"} in ours["env"]
    assert values["admin"] == {"http": {"enabled": True}}


UNIT = ROOT / "deploy" / "systemd" / "kong-event-hooks.service"


def test_the_unit_lets_the_sandbox_wall_itself_in() -> None:
    """No set of systemd's has these calls everywhere, and a call that is not allowed fails."""
    allowed = [line for line in UNIT.read_text().splitlines() if line.startswith("SystemCallFilter=")]
    for call in ("seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"):
        assert any(call in line.partition("=")[2].split() for line in allowed), call


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze (Debian's package systemd)")
def test_systemd_finds_little_that_the_unit_leaves_open() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
