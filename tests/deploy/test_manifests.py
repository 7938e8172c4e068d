"""Compose, Kubernetes, examples, Prometheus and Grafana: every name in them is one that exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.deploy.containerfile import environment_of, only, read_containerfile
from tests.system.daemons import ROOT, octree_serve

from octree_loader.config.models import Config, DaskSettings
from octree_loader.monitoring.metrics import Exposition
from octree_loader.monitoring.observation import Observation, PoolBooks
from octree_loader.monitoring.readiness import PARTS, DatasetState, judge
from octree_loader.scheduling.profile import SPREAD_BOUNDS
from octree_protocol.addresses import parse_address
from octree_protocol.messages import ArenaStatus, ClientStatus, DatasetStatus, PoolStatus, Status

DEPLOY = ROOT / "deploy"
STEPS = read_containerfile(DEPLOY / "container" / "Containerfile")
CONFIGS = sorted(path.relative_to(DEPLOY) for path in DEPLOY.glob("*/*.json") if path.parent.name != "monitoring")


def _yaml(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


def test_every_file_of_yaml_is_some() -> None:
    files = list(DEPLOY.rglob("*.y*ml"))
    assert len(files) >= 9
    for path in files:
        assert all(isinstance(found, dict) for found in yaml.safe_load_all(path.read_text())), path


# --- configurations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS, ids=str)
def test_a_configuration_is_one(name: Path, tmp_path: Path) -> None:
    """As it stands, but for what lies elsewhere: data, certificates, keys, folders."""
    content = json.loads((DEPLOY / name).read_text())
    if "dask" in content and "ca" not in DaskSettings.model_fields:
        pytest.skip("this daemon cannot talk to a cluster with TLS yet")
    content["memory"].update({"arena_bytes": "16MiB", "directory": "/dev/shm"})
    content["datasets"] = {}
    serve = content.setdefault("serve", {})
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    binds = [parse_address(url, binding=True) for url in serve.get("bind", [])]
    serve["bind"] = [f"ipc://{runtime}/{n}" if a.path else f"tcp://{a.host}:0" for n, a in enumerate(binds)]
    if "keys" in serve:
        serve["keys"] = str(tmp_path / "keys")
        made = octree_serve("keys", "--folder", str(tmp_path / "keys"), cwd=tmp_path)
        assert made.returncode == 0, made.stderr
    if "health" in serve:
        serve["health"] = serve["health"].rpartition(":")[0] + ":0"
    for key in {"ca", "cert", "key"} & set(content.get("dask", {})):
        content["dask"][key] = str(_certificate(tmp_path, key))
    (tmp_path / "octree.json").write_text(json.dumps(content))
    checked = octree_serve("--config", "octree.json", "--check", "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr + checked.stdout
    assert len(json.loads(checked.stdout)["addresses"]) == max(1, len(binds)) + ("health" in serve)


def _certificate(folder: Path, key: str) -> Path:
    made = folder / "tls"
    if not made.exists():
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        subprocess.run([DEPLOY / "compose" / "certificates.sh", made], check=True, capture_output=True, timeout=60.0)
    return made / {"ca": "ca.pem", "cert": "dask.pem", "key": "dask.key"}[key]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_certificates_are_made_once_and_kept_secret(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    script = DEPLOY / "compose" / "certificates.sh"
    subprocess.run([script, folder], check=True, capture_output=True, timeout=60.0)
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "dask.pem", "dask.key"}
    assert (folder / "dask.key").stat().st_mode & 0o077 == 0
    checked = subprocess.run(
        ["openssl", "verify", "-CAfile", folder / "ca.pem", folder / "dask.pem"], capture_output=True, check=False
    )
    assert checked.returncode == 0
    before = (folder / "dask.key").read_bytes()
    assert subprocess.run([script, folder], capture_output=True, check=False).returncode == 1
    assert (folder / "dask.key").read_bytes() == before


# --- compose ---------------------------------------------------------------------------------------------------------


def test_compose_fits_the_image_and_the_configuration() -> None:
    compose = _yaml("compose/compose.yaml")
    config = json.loads((DEPLOY / "compose" / "octree.json").read_text())
    daemon = compose["services"]["daemon"]
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service["networks"]) <= set(compose["networks"])
        assert (DEPLOY / "compose" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    # Who is reachable: the daemon, at the port that it binds; nobody of dask's.
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["daemon"]
    assert compose["networks"]["dask"]["internal"] is True
    ports = {parse_address(url, binding=True).port for url in config["serve"]["bind"]} - {0}
    assert daemon["ports"] == [f"{port}:{port}" for port in ports]
    assert only(STEPS, "EXPOSE").split() == [str(port) for port in ports]
    # Room for the arena, with some to spare.
    assert int(re.sub(r"gb$", "", daemon["shm_size"])) > int(config["memory"]["arena_bytes"].removesuffix("GiB"))
    # What the configuration names is mounted, and what is written to can be.
    mounted = {volume.split(":")[1] for volume in daemon["volumes"]}
    assert {"/etc/octree-serve/octree.json", config["serve"]["keys"]} <= mounted
    assert {f"/run/secrets/{name}" for name in daemon["secrets"]} == {
        config["dask"][key] for key in ("ca", "cert", "key")
    }
    written = {volume.split(":")[0] for volume in daemon["tmpfs"]} | {v.split(":")[1] for v in daemon["volumes"]}
    assert environment_of(STEPS)["XDG_RUNTIME_DIR"] in written
    assert environment_of(STEPS)["XDG_CACHE_HOME"] in written
    scheduler, worker = compose["services"]["scheduler"], compose["services"]["worker"]
    assert config["dask"]["scheduler"] == worker["command"][1] == "tls://scheduler:8786"
    assert scheduler["command"][:3] == ["scheduler", "--protocol", "tls"]
    for service in (scheduler, worker):
        assert service["environment"]["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
    assert worker["ipc"] == "service:daemon"
    assert daemon["ipc"] == "shareable"


# --- Kubernetes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    """By kind, as ``kubectl`` puts them together, or as they stand where there is none."""
    folder = DEPLOY / "kubernetes"
    if shutil.which("kubectl"):
        built = subprocess.run(
            ["kubectl", "kustomize", folder], capture_output=True, text=True, check=False, timeout=60.0
        )
        assert built.returncode == 0, built.stderr
        found = [one for one in yaml.safe_load_all(built.stdout) if one]
    else:
        names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        found = [yaml.safe_load((folder / name).read_text()) for name in names]
    return {one["kind"]: one for one in found}


def test_the_pod_is_walled_in_and_has_what_it_mounts(manifests: dict[str, Any]) -> None:
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == only(STEPS, "USER")
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in [*pod["initContainers"], *pod["containers"]]:
        walls = container["securityContext"]
        assert walls["readOnlyRootFilesystem"] is True
        assert walls["allowPrivilegeEscalation"] is False
        assert walls["capabilities"] == {"drop": ["ALL"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert "memory" in container["resources"]["limits"]
    assert pod["automountServiceAccountToken"] is False


def test_the_pods_memory_holds_the_arena(manifests: dict[str, Any]) -> None:
    config = json.loads((DEPLOY / "kubernetes" / "octree.json").read_text())
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (daemon,) = pod["containers"]
    arena = int(config["memory"]["arena_bytes"].removesuffix("GiB"))
    shm = next(volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shm")
    assert shm["medium"] == "Memory"
    assert (
        arena
        < int(shm["sizeLimit"].removesuffix("Gi"))
        < int(daemon["resources"]["limits"]["memory"].removesuffix("Gi"))
    )
    mounts = {mount["mountPath"]: mount["name"] for mount in daemon["volumeMounts"]}
    assert mounts[config["memory"]["directory"]] == "shm"
    assert config["serve"]["keys"] in mounts
    for writable in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
        assert environment_of(STEPS)[writable] in mounts
    assert daemon["args"] == json.loads(only(STEPS, "CMD"))


def test_probes_and_ports_are_those_of_the_configuration(manifests: dict[str, Any]) -> None:
    config = json.loads((DEPLOY / "kubernetes" / "octree.json").read_text())
    template = manifests["Deployment"]["spec"]["template"]
    (daemon,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in daemon["ports"]}
    assert config["serve"]["health"] == f"0.0.0.0:{ports['health']}"
    assert f"tcp://0.0.0.0:{ports['viewers']}" in config["serve"]["bind"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(ports["health"])
    paths = {kind: daemon[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert [probe["path"] for probe in paths.values()] == ["/livez", "/livez", "/readyz"]
    assert {probe["port"] for probe in paths.values()} == {"health"}
    (port,) = manifests["Service"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (ports["viewers"], "viewers")  # and not the health endpoint
    if shutil.which("kubectl"):  # which fills them in
        labels = template["metadata"]["labels"].items()
        assert manifests["Service"]["spec"]["selector"].items() <= labels
        assert manifests["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert manifests["NetworkPolicy"]["spec"]["podSelector"] == {}  # every pod of the namespace


# --- Prometheus and Grafana ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Every series of a daemon that has something of everything: names, and the labels that each has."""
    counts = (1, *[0] * len(SPREAD_BOUNDS))
    status = Status(
        "0", 1, 1.0, "i", (), ArenaStatus(4, 1, 1, 2, 1), (PoolStatus(0, "processes", 1, 1, 1, 1, 1),),
        (DatasetStatus("d", "/d", "open", 1.0),), (ClientStatus("c", 1, 1, 1, 1, 0.0),),
    )  # fmt: skip
    seen = Observation(status, (DatasetState("d", "open"),), (PoolBooks(0, counts, 1.0),), 1)
    text = Exposition().text(seen, judge(PARTS, seen.datasets)).decode()
    found: dict[str, set[str]] = {"up": {"instance", "job"}}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    return found


_METRIC = re.compile(r"\b((?:octree|process)_[a-z_]+|up)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


def _look_at(expression: str, exported: dict[str, set[str]]) -> None:
    names = _METRIC.findall(expression)
    assert names, expression
    labels: set[str] = set()
    for name, selector in names:
        assert name in exported, f"{name} of {expression!r} is not exported"
        assert set(re.findall(r"(\w+)=", selector)) <= exported[name], expression
        labels |= exported[name]
        # A counter is only ever looked at as it grows.
        if name.endswith(("_total", "_bucket", "_count", "_sum")):
            assert re.search(rf"(rate|increase)\({name}\b", expression), expression
    for group in _GROUPED.findall(expression):
        assert {label.strip() for label in group.split(",")} <= labels | {"le"}, expression
    assert expression.count("(") == expression.count(")")


def test_the_dashboard_asks_only_for_what_is_exported(exported: dict[str, set[str]]) -> None:
    dashboard = json.loads((DEPLOY / "monitoring" / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in expressions:
        _look_at(expression, exported)
    shown = {name for expression in expressions for name, _ in _METRIC.findall(expression)}
    # And shows everything that is ours, but for what tells nothing by itself.
    ours = {name for name in exported if name.startswith("octree_") and not name.endswith("_created")}
    assert ours - shown == set()
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def test_alerts_look_at_what_is_exported(exported: dict[str, set[str]]) -> None:
    rules = [rule for group in _yaml("monitoring/alerts.yml")["groups"] for rule in group["rules"]]
    for rule in rules:
        _look_at(rule["expr"], exported)
        assert rule["annotations"]["summary"]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 6
    assert _yaml("monitoring/prometheus.yml")["rule_files"] == ["alerts.yml"]


def test_the_pages_ports_and_keys_exist() -> None:
    page = (DEPLOY / "README.md").read_text()
    for section, key in re.findall(r"`(serve|memory|dask|loader_defaults)\.(\w+)`", page):
        assert key in Config.model_fields[section].annotation.model_fields, f"{section}.{key}"  # type: ignore[union-attr]
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", page):
        assert (DEPLOY / path).exists(), path
