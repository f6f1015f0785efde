"""The files of a release, installed where nothing of a developer's machine is: a minimal Debian, a folder with glibc alone, and for a
static binary an empty folder. `make test-packages` builds them before, with the ci profile unless target/dist has some already.
It wants root (chroot, mount) and a network (Debian's packages, once)."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from servers import PATIENCE_SECS, ROOT

DIST = Path(os.environ.get("SERIN_DIST", ROOT / "target/dist"))
SUITE = "bookworm"
# What a minimal Debian is without: the units' supervisor, and a reader of manual pages.
INCLUDED = "systemd,man-db"
UNITS = ["serin.service", "serin.socket", "serin-admin.socket"]
WEBHOOK = b'{"type": "event_callback", "team_id": "T0123"}'
# Never a problem of this machine's locale or proxy.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


def run(*argv, code=0, **options):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=900, **options)
    assert done.returncode == code, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Root:
    """A root file system in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __truediv__(self, path):
        return self.folder / str(path).lstrip("/")

    def run(self, *argv, **options):
        return run("chroot", self.folder, *argv, env=ENVIRONMENT, **options)

    def mode(self, path):
        return oct((self / path).stat().st_mode & 0o7777)

    def about_serin(self):
        """Every path with the name, but those of dpkg itself."""
        found = run("find", self.folder, "-xdev", "-name", "*serin*", "-not", "-path", "*/var/lib/dpkg/*").split()
        return {"/" + str(Path(path).relative_to(self.folder)) for path in found}


@pytest.fixture(scope="module")
def pristine():
    """A minimal Debian, kept in target/ for the next run."""
    folder = ROOT / f"target/packages-root/{SUITE}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={INCLUDED}", SUITE, folder, env={**os.environ, **ENVIRONMENT})
        (folder / "complete").touch()
    return folder


@pytest.fixture
def debian(pristine, tmp_path):
    root = Root(tmp_path / "debian")
    run("cp", "-a", pristine, root.folder)
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "--bind", "/dev", root / "dev")
    yield root
    run("umount", root / "proc", root / "dev")


@pytest.fixture(scope="module")
def upstream():
    """A bot that answers every webhook with the workspace that it was sent."""

    class Bot(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.loads(body)["team_id"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def only(pattern):
    found = sorted(DIST.glob(pattern))
    assert len(found) == 1, f"{DIST} has {found} for {pattern}"
    return found[0]


def tarballs(libc):
    return sorted(DIST.glob(f"serin-*-{libc}.tar.gz"))


def write_config(root, port, host="127.0.0.1"):
    path = root / "etc/serin/test.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"""
[proxy]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[[bot]]
name = "support"
preset = "slack"
stable = "blue"
[bot.upstreams]
blue = {{ url = "http://{host}:{port}", version = "v1" }}
green = {{ url = "http://{host}:{port}", version = "v2" }}
""")


@contextlib.contextmanager
def serving(root, binary):
    """serin as it is in the root; the address of its proxy."""
    command = ["chroot", root.folder, binary, "run", "--config", "/etc/serin/test.toml"]
    serin = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    log = []
    try:
        for line in serin.stderr:
            log.append(line)
            if line.startswith("{") and json.loads(line).get("message", json.loads(line).get("fields", {}).get("message")) == "serin serves":
                break
        else:
            pytest.fail(f"serin did not serve:\n{''.join(log)}")
        said = json.loads(log[-1])
        yield said.get("proxy") or said["fields"]["proxy"]
    finally:
        serin.terminate()
        assert serin.wait(timeout=PATIENCE_SECS) == 0, "".join(log)
        serin.stderr.close()


def answer_to_a_webhook(address):
    """What comes back. A name of an upstream may not be resolved yet."""
    request = urllib.request.Request(f"http://{address}/slack", WEBHOOK, {"Content-Type": "application/json"})
    ends = time.monotonic() + PATIENCE_SECS
    while True:
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE_SECS).read().decode()
        except urllib.error.HTTPError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)


def eventually(holds):
    ends = time.monotonic() + PATIENCE_SECS
    while not holds():
        assert time.monotonic() < ends, "it does not come about"
        time.sleep(0.1)


def install(root, package):
    shutil.copy(package, root / "root")
    return root.run("dpkg", "-i", f"/root/{package.name}")


def newer(package, folder, version="99.0.0-1"):
    """The same package as a later version."""
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    run("dpkg-deb", "-R", package, folder / "unpacked")
    control = folder / "unpacked/DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.M))
    return Path(shutil.move(built(folder / "unpacked"), folder / f"serin_{version}.deb"))


def built(unpacked):
    run("dpkg-deb", "-b", unpacked)
    return unpacked.with_suffix(".deb")


def test_the_debian_package_serves_a_webhook(debian, upstream):
    said = install(debian, only("*.deb"))
    assert "systemctl enable --now serin.socket serin-admin.socket serin.service" in said
    assert re.fullmatch(r"serin \d+\.\d+\.\d+\n", debian.run("serin", "--version"))
    assert debian.mode("/etc/serin/tokens") == "0o700"
    tokens = [(debian / f"etc/serin/tokens/{name}").read_text() for name in ("operate", "read")]
    assert all(re.fullmatch("[0-9a-f]{64}", token) for token in tokens) and tokens[0] != tokens[1]
    assert debian.mode("/etc/serin/tokens/operate") == "0o600"
    assert debian.run("man", "-w", "serin", "serin-run").split() == [f"/usr/share/man/man1/{page}.1.gz" for page in ("serin", "serin-run")]
    for path in ("bash-completion/completions/serin", "zsh/vendor-completions/_serin", "fish/vendor_completions.d/serin.fish"):
        assert (debian / "usr/share" / path).stat().st_size > 1000
    # The units' binary, documents and sockets are where the units say.
    debian.run("systemd-analyze", "verify", *(f"/usr/lib/systemd/system/{unit}" for unit in UNITS))
    assert (debian / "usr/share/doc/serin/operations.md").exists()
    write_config(debian, upstream)
    debian.run("serin", "check", "/etc/serin/test.toml")
    with serving(debian, "/usr/bin/serin") as address:
        assert answer_to_a_webhook(address) == "T0123"


def test_the_installation_enables_nothing(debian):
    install(debian, only("*.deb"))
    assert debian.run("systemctl", "is-enabled", *UNITS, code=1).split() == ["disabled"] * 3


def test_an_upgrade_keeps_config_and_tokens(debian, tmp_path):
    install(debian, only("*.deb"))
    config, token = debian / "etc/serin/serin.toml", debian / "etc/serin/tokens/operate"
    config.write_text(config.read_text() + "# mine\n")
    before = config.read_text(), token.read_text()
    said = install(debian, newer(only("*.deb"), tmp_path))
    assert "is installed and not started" not in said
    assert (config.read_text(), token.read_text()) == before
    assert "99.0.0" in debian.run("dpkg-query", "-W", "serin")


def test_a_removal_keeps_what_is_the_administrators_and_a_purge_keeps_nothing(debian):
    install(debian, only("*.deb"))
    debian.run("systemctl", "enable", *UNITS)
    # As systemd makes it for a service with DynamicUser.
    (debian / "var/lib/private/serin").mkdir(parents=True)
    (debian / "var/lib/private/serin/serin.db").touch()
    (debian / "var/lib/serin").symlink_to("private/serin")
    (debian / "root" / only("*.deb").name).unlink()
    debian.run("dpkg", "-r", "serin")
    kept = {"/etc/serin", "/etc/serin/serin.toml", "/var/lib/serin", "/var/lib/private/serin", "/var/lib/private/serin/serin.db"}
    assert debian.about_serin() == kept
    assert (debian / "etc/serin/tokens/operate").exists()
    debian.run("dpkg", "--purge", "serin")
    assert debian.about_serin() == set()
    assert "serin" not in debian.run("dpkg-query", "-W")


@contextlib.contextmanager
def booted(root):
    """The root as a container with a systemd and a network of its own; yields what runs a command in it."""
    command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "-D", root.folder]
    container = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children")

    def inside(*argv, **options):
        init = children.read_text().split()[0]
        enter = ["nsenter", "-t", init, "-m", "-u", "-i", "-n", "-p", "-C", f"--root=/proc/{init}/root", "--wd=/"]
        return run(*enter, *argv, env=ENVIRONMENT, **options)

    ends = time.monotonic() + PATIENCE_SECS
    try:
        while container.poll() is None and time.monotonic() < ends:
            with contextlib.suppress(AssertionError, IndexError):
                inside("systemctl", "is-system-running", "--wait")
                break
            time.sleep(0.5)
        else:
            pytest.skip("no container with a systemd can be started here")
        inside.network = lambda: ["nsenter", "-t", children.read_text().split()[0], "-n"]
        yield inside
    finally:
        container.terminate()
        container.wait(timeout=PATIENCE_SECS)


@contextlib.contextmanager
def traffic(inside):
    """Webhooks for the service, from within its network; every one must be answered, and delivered once."""
    argv = [*inside.network(), sys.executable, Path(__file__).with_name("traffic.py")]
    sender = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert sender.stdout.readline() == "sends\n"
        yield
        said = json.loads(sender.communicate("\n", timeout=PATIENCE_SECS)[0])
    finally:
        sender.kill()
    print(said)
    assert (said["broken"], said["twice"], list(said["answers"])) == ([], [], ["200"])
    assert said["delivered"] == said["answers"]["200"] > 100


def test_a_systemd_takes_over_without_a_lost_webhook(pristine, tmp_path):
    root = Root(tmp_path / "debian")
    run("cp", "-a", pristine, root.folder)
    later = shutil.copy(newer(only("*.deb"), tmp_path, "98.0.0-1"), root / "root")
    shutil.copy(only("*.deb"), root / "root/first.deb")
    with booted(root) as inside:
        main_pid = ["systemctl", "show", "-p", "MainPID", "--value", "serin.service"]
        inside("dpkg", "-i", "/root/first.deb")
        inside("systemctl", "enable", "--now", *UNITS)
        pids = [inside(*main_pid).strip()]
        with traffic(inside):
            for change in (["systemctl", "reload", "serin.service"], ["systemctl", "kill", "--signal=USR2", "--kill-whom=main", "serin.service"],
                           ["dpkg", "-i", f"/root/{Path(later).name}"], ["systemctl", "kill", "--signal=USR2", "--kill-whom=main", "serin.service"]):
                time.sleep(1)
                inside(*change)
                if "reload" not in change:
                    eventually(lambda: inside(*main_pid).strip() not in pids)
                    pids.append(inside(*main_pid).strip())
            time.sleep(1)
        assert inside("systemctl", "is-active", *UNITS).split() == ["active"] * 3
        # The newest one is the service: it ends with it.
        inside("systemctl", "stop", *UNITS)
        assert inside("systemctl", "show", "-p", "Result", "--value", "serin.service").strip() == "success"
        inside("test", "-e", f"/proc/{pids[-1]}", code=1)


def test_a_systemd_runs_reloads_and_upgrades_the_package(pristine, tmp_path):
    root = Root(tmp_path / "debian")
    run("cp", "-a", pristine, root.folder)
    later, latest = (shutil.copy(newer(only("*.deb"), tmp_path, version), root / "root") for version in ("98.0.0-1", "99.0.0-1"))
    shutil.copy(only("*.deb"), root / "root/first.deb")
    with booted(root) as inside:

        def pid():
            assert inside("systemctl", "is-active", *UNITS).split() == ["active"] * 3
            return inside("systemctl", "show", "-p", "MainPID", "--value", "serin.service").strip()

        inside("dpkg", "-i", "/root/first.deb")
        inside("systemctl", "enable", "--now", *UNITS)
        first = pid()
        status = ["env", "SERIN_TOKEN_FILE=/etc/serin/tokens/operate", "serin", "status"]
        assert "Everybody is on v1" in inside(*status)
        # The user is not root, the history is where it belongs, and the tokens are read from systemd's copies.
        assert inside("stat", "-c", "%U", f"/proc/{first}").strip() != "root"
        inside("test", "-s", "/var/lib/serin/serin.db")
        inside("serin", "check", "/etc/serin/serin.toml")
        inside("systemctl", "reload", "serin.service")
        eventually(lambda: "config read again" in inside("journalctl", "-u", "serin.service", "--no-pager"))
        assert pid() == first
        inside("dpkg", "-i", f"/root/{Path(later).name}")
        second = pid()
        assert second != first and "Everybody is on v1" in inside(*status)
        # The next version refuses what stands in the config now.
        with (root / "etc/serin/serin.toml").open("a") as config:
            config.write("\n[nonsense]\n")
        said = inside("dpkg", "-i", "--force-confold", f"/root/{Path(latest).name}")
        assert "the old one serves on" in said and pid() == second
        inside("dpkg", "-r", "serin")
        assert inside("systemctl", "is-active", "serin.service", "serin.socket", code=3).split() == ["inactive"] * 2
        inside("test", "-s", "/var/lib/serin/serin.db")
        inside("dpkg", "--purge", "serin")
        inside("test", "!", "-e", "/var/lib/private/serin", "-a", "!", "-e", "/etc/serin")


def test_the_tarball_serves_where_there_is_only_glibc(pristine, upstream, tmp_path):
    [tarball] = tarballs("gnu")
    root = Root(tmp_path / "bare")
    root.folder.mkdir()
    run("tar", "-xzf", tarball, "-C", root.folder, "--strip-components=1")
    # What the binary names, and the loader, which not every build names.
    loader = "ld-linux-x86-64.so.2"
    needed = {loader, *re.findall(r"Shared library: \[(.*)\]", run("readelf", "-d", root / "serin"))}
    assert needed == {loader, "libc.so.6", "libgcc_s.so.1", "libm.so.6"}
    for library in needed:
        folder = root / ("lib64" if library.startswith("ld-") else "lib/x86_64-linux-gnu")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy((pristine / "lib/x86_64-linux-gnu" / library).resolve(), folder / library)
    serves_by_name(root, upstream)


def test_the_static_tarball_serves_where_there_is_nothing(upstream, tmp_path):
    if not tarballs("musl"):
        pytest.skip(f"{DIST} has no static binary: TARGETS did not name a musl target")
    [tarball] = tarballs("musl")
    root = Root(tmp_path / "bare")
    root.folder.mkdir()
    run("tar", "-xzf", tarball, "-C", root.folder, "--strip-components=1")
    serves_by_name(root, upstream)


def serves_by_name(root, upstream):
    """With an upstream that has a name, which the C library looks up."""
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/hosts").write_text("127.0.0.1 bot.test\n")
    assert root.run("/serin", "--version").startswith("serin ")
    write_config(root, upstream, host="bot.test")
    root.run("/serin", "check", "/etc/serin/test.toml")
    with serving(root, "/serin") as address:
        assert answer_to_a_webhook(address) == "T0123"


def test_the_tarball_has_what_an_installation_needs():
    for tarball in tarballs("gnu") + tarballs("musl"):
        names = {name.split("/", 1)[1] for name in run("tar", "-tzf", tarball).split()}
        for name in ("serin", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY", "README.md", "CHANGELOG.md", "SECURITY.md", "config/serin.toml",
                     "completions/serin.bash", "completions/_serin", "completions/serin.fish", "man/serin.1", "man/serin-run.1",
                     "docs/operations.md", *(f"systemd/{unit}" for unit in UNITS)):
            assert name in names, f"{tarball.name} has no {name}"


def test_the_digests_and_the_statement_are_those_of_the_files():
    meant = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DIST.iterdir()}
    released = {name: digest for name, digest in meant.items() if not name.startswith(("SHA256SUMS", "provenance"))}
    written = dict(reversed(line.split(maxsplit=1)) for line in (DIST / "SHA256SUMS").read_text().splitlines())
    assert written == released
    statement = json.loads((DIST / "provenance.intoto.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]} == released
    [commit, _] = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert re.fullmatch("[0-9a-f]{40}", commit["digest"]["gitCommit"])


def test_the_list_of_components_is_valid_and_complete():
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    for path in DIST.glob("*.cdx.json"):
        text = path.read_text()
        assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
        assert str(ROOT) not in text
        components = {component["name"] for component in json.loads(text)["components"]}
        assert {"tokio", "rustls", "ring", "libsqlite3-sys", "sqlite"} <= components
        assert not components & {"criterion", "proptest", "rcgen"}


def test_no_path_of_this_machine_is_in_the_binary(tmp_path):
    for tarball in tarballs("gnu") + tarballs("musl"):
        run("tar", "-xzf", tarball, "-C", tmp_path, "--strip-components=1")
        text = (tmp_path / "serin").read_bytes()
        cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
        for path in (str(ROOT), cargo):
            assert path.encode() + b"/" not in text, f"{tarball.name}: {path}"


@pytest.fixture
def advisories(tmp_path):
    """packaging/deny.sh with a database that is made here: one advisory about itoa, mended in the version that is named."""

    def check(patched, **more):
        environment = {**os.environ, "SERIN_ADVISORIES": str(tmp_path / "copy"), **more}
        # What git asks for is either the folder or nothing at all.
        mirror = tmp_path / "mirror"
        if patched:
            folder = mirror / "crates/itoa"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "RUSTSEC-2099-0001.md").write_text(
                f'```toml\n[advisory]\nid = "RUSTSEC-2099-0001"\npackage = "itoa"\ndate = "2026-01-01"\n\n[versions]\npatched = [">= {patched}"]\n'
                "```\n\n# Made up\n\nBy a test.\n"
            )
            run("git", "init", "-q", "-b", "main", mirror)
            run("git", "-C", mirror, "add", "-A")
            run("git", "-C", mirror, "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "an advisory")
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{mirror if patched else tmp_path / 'nothing'}.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/RustSec/advisory-db",
        }
        done = subprocess.run([ROOT / "packaging/deny.sh"], env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return check


def test_an_advisory_about_a_dependency_fails_the_check(advisories):
    code, said = advisories("99")
    assert code != 0 and "RUSTSEC-2099-0001" in said


def test_without_a_database_the_check_says_that_nothing_was_checked(advisories):
    code, said = advisories(None)
    assert code == 0 and "advisories: NOT CHECKED" in said and "advisories ok" not in said
    code, said = advisories(None, ADVISORIES="required")
    assert code == 1 and "advisories: NOT CHECKED" in said


def test_a_fresh_copy_is_used_where_the_database_cannot_be_fetched(advisories):
    code, said = advisories("0.1")
    assert code == 0 and "fetched just now" in said
    code, said = advisories(None)
    assert code == 0 and "less than a week old" in said
