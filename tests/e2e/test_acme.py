"""Certificates that serin orders itself, from a real authority for tests."""

import http.client
import signal
import socket
import ssl
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from authority import Pebble, WithRenewals
from conftest import Serin, bot_config, wait_until
from servers import PATIENCE_SECS, SERIN, unused_port

NAMES = ["bots.example.com", "hooks.example.com"]
TRIES = "serin_acme_orders_total"


class Bot(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"bot")

    def log_message(self, *args):
        pass


class Site:
    """A serin with TLS on a port of its own, and the authority that it orders from."""

    def __init__(self, folder, bot, names=NAMES, challenge="tls-alpn-01", keys="", settings=None, start=True, **environment):
        self.folder, self.tls = folder, unused_port()
        plain = unused_port()
        self.pebble = Pebble(folder, plain, self.tls, settings, **environment)
        if start:
            self.pebble.start()
        listed = ", ".join(f'"{name}"' for name in names)
        acme = (
            f'[proxy.tls]\nlisten = "127.0.0.1:{self.tls}"\n[proxy.tls.acme]\ndomains = [{listed}]\ncontact = "ops@example.com"\naccept_terms = true\n'
            f'directory = "{self.pebble.directory}"\nca_file = "{self.pebble.ca}"\nchallenge = "{challenge}"\n{keys}'
        )
        config = acme + bot_config("a", (bot, bot), workspace="header:X-Team")
        self.serin = Running(folder, config, plain)

    def stop(self):
        self.serin.stop()
        self.pebble.stop()

    def shake_hands(self, name, protocols=None, trusted=None):
        """Returns the connection, and fails if the certificate is not of a trusted authority."""
        context = ssl.create_default_context(cadata=trusted or self.pebble.root())
        if protocols:
            context.set_alpn_protocols(protocols)
        with socket.create_connection(("127.0.0.1", self.tls), timeout=PATIENCE_SECS) as sock:
            return context.wrap_socket(sock.dup(), server_hostname=name)

    def serial(self, name, trusted=None):
        with self.shake_hands(name, trusted=trusted) as connection:
            return connection.getpeercert()["serialNumber"]

    def tried(self, result, name=None):
        labels = {"result": result} | ({"name": name} if name else {})
        return self.serin.metric(TRIES, **labels)

    def wait_for(self, result, count, name=None):
        try:
            wait_until(f"{count} orders: {result}", lambda: self.tried(result, name) >= count)
        except AssertionError:
            raise AssertionError(f"{self.serin.said()[-4000:]}\n{self.pebble.said()[-4000:]}") from None

    def files(self):
        return sorted(path for path in (self.folder / "acme").rglob("*") if path.is_file())


class Running(Serin):
    def __init__(self, folder, config, plain):
        self.plain = plain
        super().__init__(folder, config)

    def start(self):
        text = self.config.read_text().replace(f'listen = "127.0.0.1:{self.port}"', f'listen = "127.0.0.1:{self.plain}"')
        self.config.write_text(text)
        super().start()

    def said(self):
        return self.log.read_text()


@pytest.fixture(scope="module")
def bot():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture
def site(tmp_path, bot):
    made = []

    def make(**settings):
        made.append(Site(tmp_path, bot, **settings))
        return made[0]

    yield make
    for one in made:
        one.stop()


def ask(port, path, host="bots.example.com"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECS)
    connection.request("GET", path, headers={"Host": host, "X-Team": "T1"})
    response = connection.getresponse()
    return response.status, response.read()


def ask_on(connection):
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Team: T1\r\n\r\n")
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def test_each_name_gets_a_certificate_by_tls_although_the_authority_rejects_many_nonces(site):
    site = site(PEBBLE_WFE_NONCEREJECT="15")
    for name in NAMES:
        site.wait_for("issued", 1, name)
        with site.shake_hands(name, ["http/1.1"]) as connection:
            assert [kind for kind, value in connection.getpeercert()["subjectAltName"] if value == name] == ["DNS"]
            assert ask_on(connection) == (200, b"bot")
        assert site.serin.metric("serin_tls_certificate_expiry_timestamp_seconds", name=name) > 0
    names = [path.name for path in site.files()]
    assert names == ["account.json", *[f"{name}.pem" for name in NAMES]]
    assert {stat.S_IMODE(path.stat().st_mode) for path in site.files()} == {0o600}
    assert stat.S_IMODE(site.files()[0].parent.stat().st_mode) == 0o700
    # No check is pending any more.
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        site.shake_hands(NAMES[0], ["acme-tls/1"])
    assert site.serin.metric("serin_client_connections_closed_total", reason="challenge") >= len(NAMES)


def test_a_name_gets_a_certificate_by_http_and_other_tokens_pass_to_the_bot(site):
    # The authority waits before it checks.
    site = site(names=NAMES[:1], challenge="http-01", PEBBLE_VA_NOSLEEP="0", PEBBLE_VA_SLEEPTIME="2")
    path = "/.well-known/acme-challenge/not-a-token"
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        site.shake_hands(NAMES[0])
    assert site.serin.metric("serin_client_connections_closed_total", reason="no_certificate") == 1
    assert ask(site.serin.plain, path) == (200, b"bot")
    site.wait_for("issued", 1)
    assert site.serial(NAMES[0])
    assert ask(site.serin.plain, path) == (200, b"bot")


def test_a_stored_certificate_is_shown_at_once_after_a_restart(site):
    site = site(names=NAMES[:1])
    site.wait_for("issued", 1)
    root, serial = site.pebble.root(), site.serial(NAMES[0])
    site.serin.stop()
    site.pebble.stop()
    site.serin.start()
    assert site.serial(NAMES[0], root) == serial
    assert sum(site.tried(result) for result in ("issued", "unreachable", "account")) == 0
    # The authority has forgotten the account: serin makes another one.
    site.files()[1].unlink()
    site.serin.stop()
    site.pebble.start()
    site.serin.start()
    site.wait_for("issued", 1)
    assert "does not know serin's account" in site.serin.said()


def test_a_certificate_is_renewed_in_time_and_open_connections_stay(site):
    site = site(names=NAMES[:1], settings={"certificateValidityPeriod": 24})
    site.wait_for("issued", 1)
    first = site.serial(NAMES[0])
    with site.shake_hands(NAMES[0], ["http/1.1"]) as connection:
        for orders in (1, 2):
            site.wait_for("issued", orders)
            assert ask_on(connection) == (200, b"bot")
        assert site.serial(NAMES[0]) != first


def test_the_authority_can_want_a_renewal_at_once(site):
    site = site(names=NAMES[:1], start=False)
    front = WithRenewals(site.pebble)
    site.serin.config.write_text(site.serin.config.read_text().replace(site.pebble.directory, f"{front.url}/dir"))
    site.serin.stop()
    site.pebble.start()
    site.serin.start()
    site.wait_for("issued", 1)
    wait_until("the authority is asked", lambda: front.asked)
    first = site.serial(NAMES[0])
    # As after a revocation. The next question would be some hours away.
    front.window = ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    site.serin.stop()
    site.serin.start()
    site.wait_for("issued", 1)
    assert site.serial(NAMES[0]) != first
    front.stop()


def test_an_authority_that_is_down_at_the_start_is_tried_again(site):
    site = site(names=NAMES[:1], start=False)
    site.wait_for("unreachable", 1)
    assert site.serin.said().count("no certificate was issued") == 1
    assert "check `directory`" in site.serin.said()
    site.pebble.start()
    # The next attempt is some minutes away, unless an operator asks for it.
    site.serin.process.send_signal(signal.SIGHUP)
    site.wait_for("issued", 1)
    assert site.serial(NAMES[0])


def test_an_account_is_bound_to_one_that_the_operator_has(site, tmp_path):
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    (tmp_path / "key").write_text(key + "\n")
    settings = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {"kid-1": key}}
    site = site(names=NAMES[:1], keys='external_account = { key_id = "kid-1", file = "key" }\n', settings=settings)
    site.wait_for("issued", 1)
    assert key not in site.serin.said()


def test_a_failure_says_what_to_do(site):
    # The authority checks another port, refuses the second name, and is asked for each by itself.
    site = site(settings={"tlsPort": unused_port(), "domainBlocklist": [NAMES[1]]})
    site.wait_for("challenge", 1, NAMES[0])
    site.wait_for("refused", 1, NAMES[1])
    said = site.serin.said()
    assert "the name must lead to this machine in DNS" in said and "check the name in `domains`" in said
    assert site.tried("issued") == 0


def test_a_reload_that_changes_the_names_orders_and_forgets(site):
    site = site(names=NAMES[:1])
    site.wait_for("issued", 1)
    site.serin.config.write_text(site.serin.config.read_text().replace(NAMES[0], NAMES[1]))
    site.wait_for("issued", 1, NAMES[1])
    assert site.serial(NAMES[1])
    assert f'name="{NAMES[0]}"' not in "".join(line for line in site.serin.metrics().splitlines() if "expiry" in line)


def test_an_order_under_way_is_begun_anew_by_a_newer_serin(site):
    site = site(names=NAMES[:1], PEBBLE_VA_NOSLEEP="0", PEBBLE_VA_SLEEPTIME="4")
    wait_until("the order is under way", lambda: "There are now 1 authorizations" in site.pebble.said())
    old = site.serin.process
    new = subprocess.Popen([SERIN, "run", "--take-over", "--config", str(site.serin.config)], stdout=site.serin.log.open("ab"), stderr=subprocess.STDOUT)
    assert old.wait(PATIENCE_SECS) == 0
    site.serin.process = new
    wait_until("the newer serin answers", site.serin.ready)
    site.wait_for("issued", 1)
    assert site.serial(NAMES[0])
    assert len(site.files()) == 2, "one account, one certificate"
