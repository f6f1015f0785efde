"""What serin is shipped with: rules, image, manifests and units. Each is checked by the linter of its kind, against the others and
against the binary. No container engine, no cluster and no systemd runs here."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from arrangement import COMPOSE, DOCKER, documented_metrics, metrics_of, replaced
from servers import PATIENCE_SECS, ROOT, SERIN

KUBERNETES = "1.37"
RULES = yaml.safe_load((DOCKER / "prometheus/rules/serin.rules.yml").read_text())["groups"]
ALERTS = [rule for group in RULES for rule in group["rules"] if "alert" in rule]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
UNITS = sorted(unit for unit in (DOCKER / "systemd").iterdir() if unit.suffix in (".service", ".socket"))
# The figure of systemd-analyze, from 0 (nothing is allowed) to 10. docs/operations.md states it too.
EXPOSURE = "1.2"


def run(*argv, **options):
    """The output of a command, which must succeed."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=PATIENCE_SECS, **options)
    assert done.returncode == 0, f"{argv[0]} says:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def of_venv(program):
    """A program that a Python package installs."""
    return Path(sys.executable).parent / program


def documents(folder):
    """Each YAML document below the folder, with the file it is in."""
    files = sorted(folder.rglob("*.y*ml"))
    return [(file, document) for file in files for document in yaml.safe_load_all(file.read_text())]


# YAML and Dockerfile, as text.


def test_yamllint_finds_nothing():
    assert run(of_venv("yamllint"), "--strict", "-c", ROOT / ".yamllint", DOCKER) == ""


def test_hadolint_finds_nothing():
    assert run(of_venv("hadolint"), DOCKER / "Dockerfile") == ""


# Prometheus.


def test_promtool_accepts_the_config_and_the_rules(tmp_path):
    (tmp_path / "token").write_text("x")
    text = (DOCKER / "prometheus/prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(replaced(text, {"/run/secrets/serin-read": "token"}))
    (tmp_path / "rules").symlink_to(DOCKER / "prometheus/rules")
    said = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert f"{sum(len(group['rules']) for group in RULES)} rules found" in said


def test_the_rules_pass_their_own_tests():
    run("promtool", "test", "rules", DOCKER / "prometheus/rules/serin.test.yml")


def test_the_tests_of_the_rules_have_each_alert_fire():
    tests = yaml.safe_load((DOCKER / "prometheus/rules/serin.test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case.get("exp_alerts")}
    assert fired == {alert["alert"] for alert in ALERTS}


def test_the_rules_name_only_documented_metrics():
    assert set().union(*(metrics_of(rule["expr"]) for group in RULES for rule in group["rules"])) <= documented_metrics()


def test_five_alerts_are_to_be_acted_on_and_each_says_where_to_read_on():
    to_act_on = [alert for alert in ALERTS if alert["labels"]["severity"] != "info"]
    assert len(to_act_on) == 5
    anchors = {"#" + heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)}
    for alert in ALERTS:
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}, alert["alert"]
        page, anchor = alert["annotations"]["runbook_url"].split("#")
        assert page == "docs/operations.md" and f"#{anchor}" in anchors, alert["alert"]
        assert alert["alert"] in OPERATIONS


# The image.


def instructions():
    """The build stage of the Dockerfile, instruction by instruction."""
    text = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE))
    stages = re.split(r"^FROM .*\n", text, flags=re.MULTILINE)
    return [line.split(None, 1) for line in stages[1].splitlines() if line], stages[2]


def test_the_build_stage_has_all_that_it_needs(tmp_path):
    """Its steps in an empty folder, with a cargo that only reads the manifest."""
    source, programs, out = tmp_path / "src", tmp_path / "bin", tmp_path / "out"
    source.mkdir(), programs.mkdir()
    cargo = shutil.which("cargo")
    (programs / "cargo").write_text(f'#!/bin/sh\nset -e\n"{cargo}" metadata --format-version 1 --no-deps --locked --offline\nmkdir -p target/release\ntouch target/release/serin\n')
    (programs / "cargo").chmod(0o755)
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    said = ""
    for name, words in instructions()[0]:
        if name == "COPY":
            *sources, target = words.split()
            assert set(sources) <= let_in, f".dockerignore leaves out one of {sources}"
            for each in sources:
                copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy
                copy(ROOT / each, source / (each if target == "./" else target), **({"dirs_exist_ok": True} if copy is shutil.copytree else {}))
        elif name == "RUN":
            said = run("sh", "-c", words.replace("/out/", f"{out}/"), cwd=source, env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"})
    targets = {Path(target["src_path"]).relative_to(source) for target in json.loads(said)["packages"][0]["targets"]}
    assert {path for path in targets if not (source / path).exists()} == set()
    assert (source / "src/app.rs").read_text() == (ROOT / "src/app.rs").read_text()
    included = {
        (file.parent / name).resolve()
        for file in (source / "src").rglob("*.rs")
        if "test" not in str(file.relative_to(source))
        for name in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', file.read_text().split("#[cfg(test)]")[0])
    }
    assert len(included) >= 3 and {file for file in included if not file.exists()} == set()


def test_the_image_is_small_and_its_user_is_a_number():
    final = instructions()[1]
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    user = re.search(r"^USER (\S+)", final, re.MULTILINE)[1]
    assert f"--chown={user} /out/history /var/lib/serin" in final
    # The image has no shell, so every command is in the exec form.
    assert "RUN" not in final and json.loads(re.search(r"CMD (\[.*\])$", final, re.MULTILINE)[1]) == ["serin", "healthcheck"]


# Compose.


def test_compose_accepts_the_file(tmp_path):
    """Compose itself reads it, all profiles; it asks no engine for that."""
    shutil.copytree(DOCKER, tmp_path / "docker", ignore=shutil.ignore_patterns("secrets"))
    run(tmp_path / "docker/secrets.sh")
    said = run(of_venv("docker-compose"), "-f", tmp_path / "docker/compose.yml", "--profile", "*", "config", "--format", "json")
    services = json.loads(said)["services"]
    assert set(services) == {"serin", "blue", "green", "traffic", "prometheus", "grafana"}
    for name, service in services.items():
        for volume in service["volumes"]:
            assert volume["type"] == "volume" or Path(volume["source"]).is_dir(), (name, volume)
        for port in service.get("ports", []):
            assert (name, port["published"]) == ("serin", "8080") or port["host_ip"] == "127.0.0.1", (name, port)
        # serin's is in the image.
        assert name in ("serin", "traffic") or service["healthcheck"]["test"], name
        assert service["cap_drop"] == ["ALL"]


def test_secrets_are_made_once_and_belong_to_their_owner(tmp_path):
    folder = tmp_path / "secrets"
    run(DOCKER / "secrets.sh", folder)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    run(DOCKER / "secrets.sh", folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == made
    assert set(made) == {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in made.values()) and len(set(made.values())) == len(made)
    assert folder.stat().st_mode & 0o777 == 0o700


# Kubernetes.

MANIFESTS = documents(DOCKER / "kubernetes")
ONE = {document["kind"]: document for _, document in MANIFESTS if document["kind"] != "Kustomization"}
# Of the Prometheus operator and of kustomize: the schemas of Kubernetes do not have them.
NOT_OF_KUBERNETES = {"ServiceMonitor", "PrometheusRule", "Kustomization"}


@pytest.mark.parametrize("document", [d for _, d in MANIFESTS if d["kind"] not in NOT_OF_KUBERNETES], ids=lambda d: d["kind"])
def test_the_document_is_valid_for_kubernetes(document):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_kustomizations_have_every_file_but_the_example():
    listed = {file.parent / name for file, document in MANIFESTS if document["kind"] == "Kustomization" for name in document["resources"]}
    there = {file for file, _ in MANIFESTS if file.name not in ("kustomization.yaml", "secret.example.yaml")}
    assert listed == there


def test_the_rules_for_the_operator_are_the_rules():
    assert ONE["PrometheusRule"]["spec"]["groups"] == RULES


def test_names_in_the_manifests_meet():
    labels = ONE["Deployment"]["spec"]["template"]["metadata"]["labels"]
    pod = ONE["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ONE["Service"]["spec"]["selector"] == ONE["Deployment"]["spec"]["selector"]["matchLabels"] == ONE["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    # Only the kubelet asks the listener for probes, and not by the service.
    assert {port["targetPort"] for port in ONE["Service"]["spec"]["ports"]} == set(ports) - {"probes"}
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")} == {"probes"}
    assert {endpoint["port"] for endpoint in ONE["ServiceMonitor"]["spec"]["endpoints"]} <= {port["name"] for port in ONE["Service"]["spec"]["ports"]}
    assert ONE["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items() <= ONE["Service"]["metadata"]["labels"].items()
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes) and not any("subPath" in mount for mount in container["volumeMounts"])
    assert volumes["config"]["configMap"]["name"] == ONE["ConfigMap"]["metadata"]["name"]
    assert volumes["tokens"]["secret"]["secretName"] == ONE["Secret"]["metadata"]["name"]
    assert volumes["history"]["persistentVolumeClaim"]["claimName"] == ONE["PersistentVolumeClaim"]["metadata"]["name"]
    assert ONE["ServiceMonitor"]["spec"]["endpoints"][0]["authorization"]["credentials"]["key"] in ONE["Secret"]["stringData"]
    config = tomllib.loads(ONE["ConfigMap"]["data"]["serin.toml"])
    assert ports == {"proxy": int(config["proxy"]["listen"].split(":")[1]), "admin": int(config["admin"]["listen"].split(":")[1]), "probes": int(config["admin"]["probes"].split(":")[1])}


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def test_every_supervisor_waits_for_the_drain():
    config = tomllib.loads(ONE["ConfigMap"]["data"]["serin.toml"])["proxy"]
    pod = ONE["Deployment"]["spec"]["template"]["spec"]
    needed = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] + seconds(config["lame_duck"]) + seconds(config["drain"])
    assert needed < pod["terminationGracePeriodSeconds"]
    drain = seconds(re.search(r'^# drain = "(.*)"', (ROOT / "config/serin.toml").read_text(), re.MULTILINE)[1])
    assert drain < seconds(COMPOSE["services"]["serin"]["stop_grace_period"])
    assert drain < seconds(re.search(r"^TimeoutStopSec=(.*)$", (DOCKER / "systemd/serin.service").read_text(), re.MULTILINE)[1])


# The shipped configs.


CONFIGS = {
    "compose": ((DOCKER / "config/serin.toml").read_text(), "/run/secrets/serin-"),
    "kubernetes": (ONE["ConfigMap"]["data"]["serin.toml"], "/run/secrets/serin/"),
    "systemd": ((DOCKER / "systemd/serin.toml").read_text(), "/run/credentials/serin.service/"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_serin_accepts_the_config(tmp_path, kind):
    text, secrets = CONFIGS[kind]
    run(DOCKER / "secrets.sh", tmp_path)
    (tmp_path / "serin.toml").write_text(replaced(text, {secrets: f"{tmp_path}/"}))
    run(SERIN, "check", tmp_path / "serin.toml")


def test_each_token_comes_from_where_the_supervisor_puts_it():
    files = {kind: {token["file"].removeprefix(secrets) for token in tomllib.loads(text)["admin"]["token"]} for kind, (text, secrets) in CONFIGS.items()}
    service = (DOCKER / "systemd/serin.service").read_text()
    assert files == {
        "compose": {name.removeprefix("serin-") for name in COMPOSE["services"]["serin"]["secrets"]},
        "kubernetes": set(ONE["Secret"]["stringData"]),
        "systemd": set(re.findall(r"^LoadCredential=(\w+):", service, re.MULTILINE)),
    }


# systemd.


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units, with the path of the binary under test."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        (folder / unit.name).write_text(unit.read_text().replace("/usr/local/bin/serin", SERIN))
    return folder


def test_systemd_accepts_the_units(units):
    assert run("systemd-analyze", "verify", *sorted(units.iterdir())) == ""


def test_the_service_has_few_permissions(units):
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", units / "serin.service")
    assert f"Overall exposure level for serin.service: {EXPOSURE} " in said
    assert f"exposure level of {EXPOSURE}" in OPERATIONS


def test_each_socket_has_the_name_that_serin_knows_it_by():
    names = {unit.name: re.search(r"^FileDescriptorName=(.*)$", unit.read_text(), re.MULTILINE)[1] for unit in UNITS if unit.suffix == ".socket"}
    assert names == {"serin.socket": "proxy", "serin-admin.socket": "admin"}
    service = (DOCKER / "systemd/serin.service").read_text()
    assert set(re.search(r"^Sockets=(.*)$", service, re.MULTILINE)[1].split()) == set(names)
