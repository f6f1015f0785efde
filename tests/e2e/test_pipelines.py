"""The examples of docs/pipelines. The shell commands of each run here against a real serin, for each way in which a release can end.
The CI systems themselves do not run; their files are validated by their schemas."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from conftest import Serin, bot_config, stub, wait_until
from servers import PATIENCE_SECS, ROOT, SERIN

PIPELINES = ROOT / "docs/pipelines"
SCRIPT = PIPELINES / "release.sh"
BOT = "support"
# Without traffic, serin waits for a human at the deadline.
ROLLOUT = '[bot.rollout]\nsteps = ["10%", "100%"]\nbake = "{bake}"\ndeadline = "{bake}"\n'


def all_of(name):
    return [document for document in yaml.safe_load_all((PIPELINES / name).read_text()) if document]


def job(name):
    (found,) = [document for document in all_of(name) if document["kind"] == "Job"]
    return found["spec"]["template"]["spec"]["containers"][0]


# The shell commands, by the file of the example.
SHELL = {
    "github-actions.yml": all_of("github-actions.yml")[0]["jobs"]["release"]["steps"][-1]["run"],
    "gitlab-ci.yml": "\n".join(all_of("gitlab-ci.yml")[0]["release"]["script"]),
    "Jenkinsfile": re.search(r"script: '(.*)'\)", (PIPELINES / "Jenkinsfile").read_text())[1],
    "argocd.yaml": job("argocd.yaml")["command"][-1],
    "flux.yaml": job("flux.yaml")["command"][-1],
}


class Releases:
    """A serin, and runs of the script as a pipeline runs it: as ci/release.sh, with serin in the PATH."""

    def __init__(self, folder, ports, bake):
        self.serin = Serin(folder, bot_config(BOT, ports, weight="0%", workspace=["header:X-Workspace-Id"], tables=ROLLOUT.format(bake=bake)))
        (folder / "ci").mkdir(), (folder / "bin").mkdir()
        (folder / "ci/release.sh").write_text(SCRIPT.read_text())
        (folder / "bin/serin").symlink_to(SERIN)
        self.folder = folder

    def begin(self, shell, version, **environment):
        variables = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "SERIN_ADMIN": f"http://127.0.0.1:{self.serin.admin_port}", "VERSION": version}
        return subprocess.Popen(["sh", "-ec", shell], cwd=self.folder, env=variables | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, shell, version, **environment):
        process = self.begin(shell, version, **environment)
        said = "".join(process.communicate(timeout=PATIENCE_SECS))
        return process.returncode, said

    def act(self, action, **document):
        status, body = self.serin.admin("POST", f"/v1/bots/{BOT}/{action}", document)
        assert status == 200, body

    def under_way(self):
        return self.serin.status(BOT)["step"] is not None

    def is_on_its_way(self, version):
        wait_until(f"{version} is on its way", lambda: self.under_way() and self.serin.status(BOT)["canary"]["version"] == version)

    def decisions(self):
        return [change["decision"] for change in json.loads(self.serin.admin("GET", f"/v1/bots/{BOT}/history")[1])["changes"]]


@pytest.fixture(scope="module")
def stubs():
    servers = [stub("stable"), stub("canary")]
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()


@pytest.fixture(scope="module")
def calm(tmp_path_factory, stubs):
    """A serin whose steps bake for 10 minutes."""
    releases = Releases(tmp_path_factory.mktemp("calm"), stubs, "10m")
    yield releases
    releases.serin.stop()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, stubs):
    """A serin that waits for a human after 1 s."""
    releases = Releases(tmp_path_factory.mktemp("hasty"), stubs, "1s")
    yield releases
    releases.serin.stop()


@pytest.fixture(autouse=True)
def nothing_is_left_under_way(request):
    yield
    for name in {"calm", "hasty"} & set(request.fixturenames):
        releases = request.getfixturevalue(name)
        if releases.under_way():
            releases.act("abort")


@pytest.fixture(params=sorted(SHELL))
def pipeline(request):
    return request.param


def test_a_release_that_has_reached_its_step_ends_with_0(calm, pipeline):
    of = f"{pipeline}-there"
    assert calm.run(SHELL[pipeline], of, SERIN_UNTIL="step:10%")[0] == 0
    assert calm.serin.status(BOT)["canary"]["version"] == of


def test_a_release_that_is_taken_back_ends_with_3(calm, pipeline):
    of = f"{pipeline}-back"
    waiting = calm.begin(SHELL[pipeline], of)
    calm.is_on_its_way(of)
    calm.act("abort")
    said = waiting.communicate(timeout=PATIENCE_SECS)[1]
    assert (waiting.returncode, "nobody is on" in said) == (3, True), said


def test_a_release_that_takes_too_long_ends_with_4_and_can_be_waited_for_again(calm):
    code, said = calm.run(SHELL["gitlab-ci.yml"], "slow", SERIN_TIMEOUT="1s")
    assert (code, "run this again" in said) == (4, True), said
    begun = calm.decisions().count("start")
    again = calm.begin(SHELL["gitlab-ci.yml"], "slow")
    calm.act("promote", force=True)
    assert again.wait(PATIENCE_SECS) == 0, again.communicate()
    assert calm.decisions().count("start") == begun, "the rollout was under way, and no other one was started"
    assert calm.run(SHELL["gitlab-ci.yml"], "slow")[0] == 0
    calm.act("undo")


def test_a_release_that_is_replaced_ends_with_3(calm):
    waiting = calm.begin(SHELL["github-actions.yml"], "first")
    calm.is_on_its_way("first")
    # The script waits by now: before that it would not know that "first" was there.
    assert "first" in waiting.stderr.readline()
    status, body = calm.serin.admin("POST", f"/v1/bots/{BOT}/rollouts", {"version": "second", "replace": True})
    assert status in (200, 201), body
    said = waiting.communicate(timeout=PATIENCE_SECS)[1]
    assert (waiting.returncode, "second on green has its place" in said) == (3, True), said


def test_a_serin_that_restarts_is_waited_for_and_one_that_is_gone_is_not(calm):
    calm.serin.stop()
    waiting = calm.begin(SHELL["github-actions.yml"], "late", SERIN_UNTIL="step:10%")
    gone = subprocess.run([SERIN, "wait", BOT, "--version", "late", "--away-for", "1s", "--admin", f"http://127.0.0.1:{calm.serin.admin_port}"], capture_output=True, text=True, timeout=PATIENCE_SECS)
    assert (gone.returncode, "no serin answers" in gone.stderr) == (1, True), gone.stderr
    assert waiting.poll() is None
    calm.serin.start()
    assert waiting.wait(PATIENCE_SECS) == 0, waiting.communicate()
    assert calm.serin.status(BOT)["canary"]["version"] == "late"


def test_a_release_that_asks_for_a_human_ends_with_5(hasty):
    code, said = hasty.run(SHELL["Jenkinsfile"], "thin", SERIN_HELD_FOR="1s")
    assert (code, "waits for a human" in said) == (5, True), said


def test_a_release_that_the_breaker_took_to_zero_ends_with_5_on_every_run(tmp_path):
    stable, canary = stub("stable"), stub("canary")
    tripped = Releases(tmp_path, [stable.server_port, canary.server_port], "10m")
    try:
        waiting = tripped.begin(SHELL["Jenkinsfile"], "down", SERIN_HELD_FOR="1s")
        tripped.is_on_its_way("down")
        canary.shutdown(), canary.server_close()
        client = tripped.serin.client()
        for workspace in range(400):
            assert client.send("/", headers={"X-Workspace-Id": f"T{workspace}"}).status == 200
        said = "".join(waiting.communicate(timeout=PATIENCE_SECS))
        assert (waiting.returncode, "takes no connections" in said) == (5, True), said
        assert tripped.decisions()[0] == "trip"
        assert tripped.run(SHELL["Jenkinsfile"], "down", SERIN_HELD_FOR="1s")[0] == 5
    finally:
        tripped.serin.stop()
        stable.shutdown()


def test_without_a_start_the_script_only_waits(calm):
    code, said = calm.run(SHELL["argocd.yaml"], "git", SERIN_START="no", SERIN_TIMEOUT="1s")
    assert code == 4, said
    assert not calm.under_way()


def test_a_refusal_ends_with_1(calm):
    calm.act("freeze", reason="a test")
    code, said = calm.run(SHELL["flux.yaml"], "frozen")
    calm.act("thaw")
    assert (code, "nothing rises now" in said) == (1, True), said


def test_the_reason_is_in_the_history(calm):
    assert calm.run(SHELL["github-actions.yml"], "why", SERIN_UNTIL="step:10%", SERIN_REASON="run 17")[0] == 0
    assert '"reason":"run 17"' in calm.serin.admin("GET", f"/v1/bots/{BOT}/history?limit=1")[1].decode()


# The files, checked by the linter or the schema of their kind.


def of_venv(*argv):
    done = subprocess.run([Path(sys.executable).parent / argv[0], *argv[1:]], capture_output=True, text=True, timeout=PATIENCE_SECS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_yamllint_finds_nothing():
    of_venv("yamllint", "--strict", "-c", ROOT / ".yamllint", PIPELINES)


SCRIPTS = [SCRIPT, ROOT / "docker/secrets.sh", *sorted((ROOT / "packaging").glob("*.sh")), *sorted((ROOT / "packaging/deb").iterdir())]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing(script):
    of_venv("shellcheck", script)


@pytest.mark.parametrize("name, schema", [("github-actions.yml", "github-workflows"), ("gitlab-ci.yml", "gitlab-ci")])
def test_the_file_is_valid_by_its_schema(name, schema):
    of_venv("check-jsonschema", "--builtin-schema", f"vendor.{schema}", PIPELINES / name)


@pytest.mark.parametrize("name", ["argocd.yaml", "flux.yaml", "release-script.yaml"])
def test_the_document_is_valid_for_kubernetes(name):
    for document in all_of(name):
        # Flux's own kind is not among the schemas of Kubernetes.
        if not document["apiVersion"].startswith("kustomize.toolkit.fluxcd.io"):
            kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_jobs_mount_the_script():
    (config,) = all_of("release-script.yaml")
    assert config["data"]["release.sh"] == SCRIPT.read_text()
    for name in ("argocd.yaml", "flux.yaml"):
        mounts = {mount["name"]: mount["mountPath"] for mount in job(name)["volumeMounts"]}
        assert mounts["script"] == f"{job(name)['workingDir']}/ci", name


def test_no_version_is_written_into_a_shell():
    for name, shell in SHELL.items():
        assert shell.strip() == 'sh ci/release.sh support "$VERSION"', name
