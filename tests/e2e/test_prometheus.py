"""A real Prometheus scrapes serin, and promtool accepts its metrics."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest
from conftest import Serin, bot_config, stub, wait_until
from servers import PATIENCE_SECS, accepts_connections, unused_port


@pytest.fixture(scope="module")
def serin(tmp_path_factory):
    stubs = [stub("stable"), stub("canary")]
    serin = Serin(tmp_path_factory.mktemp("serin"), bot_config("support", [s.server_port for s in stubs], workspace=["header:X-Workspace-Id"]))
    client = serin.client()
    for n in range(50):
        assert client.send("/hook", b"x", {"X-Workspace-Id": f"W{n}"}).status == 200
    assert client.send("/hook", b"x").status == 200
    yield serin
    serin.stop()
    for server in stubs:
        server.shutdown()


@pytest.fixture(scope="module")
def prometheus(serin, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("prometheus"), unused_port()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: serin, static_configs: [{{targets: ['127.0.0.1:{serin.admin_port}']}}]}}]\n"
    )
    log = (folder / "log").open("wb")
    argv = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
    wait_until("prometheus listens", lambda: accepts_connections(port))

    def query(expression):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.load(response)["data"]["result"]
        except OSError:
            return []

    yield query
    process.terminate()
    process.wait(PATIENCE_SECS)


def test_promtool_accepts_the_metrics(serin):
    assert shutil.which("promtool"), "promtool is in the package prometheus"
    result = subprocess.run(["promtool", "check", "metrics"], input=serin.metrics(), capture_output=True, text=True, timeout=PATIENCE_SECS)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_prometheus_scrapes_serin(prometheus):
    wait_until("serin is up", lambda: [r["value"][1] for r in prometheus('up{job="serin"}')] == ["1"])
    wait_until("requests are scraped", lambda: sum(float(r["value"][1]) for r in prometheus("serin_requests_total")) == 51)
    tracks = {r["metric"]["track"]: float(r["value"][1]) for r in prometheus("sum by (track) (serin_requests_total)")}
    assert set(tracks) == {"stable", "canary"} and all(tracks.values())
    assert {r["metric"]["bot"] for r in prometheus("serin_requests_total")} == {"support"}
    assert prometheus("serin_build_info")[0]["metric"]["version"]


def test_a_percentile_can_be_asked_for(prometheus):
    def answered():
        rows = prometheus("histogram_quantile(0.5, sum by (le) (serin_request_duration_seconds_bucket))")
        return rows and 0 <= float(rows[0]["value"][1]) < 2

    wait_until("a median", answered)


def test_no_workspace_is_in_the_metrics(serin):
    assert '"W1' not in serin.metrics()


def test_every_request_is_counted(serin):
    assert serin.metric("serin_requests_total", bot="support") == 51
    assert serin.metric("serin_identify_total", result="found") == 50
    assert serin.metric("serin_identify_total", result="missing") == 1
    assert serin.metric("serin_canary_weight_ratio", bot="support") == 0.5
    assert serin.metric("serin_inflight_requests") == 0
