#!/usr/bin/env python3
"""CPU time per request of serin, HAProxy and nginx, side by side. Standard library only; see ../peers.sh.

In each round every proxy runs alone on core 0, with the same load from core 1, in an order that turns from round to
round. What counts is the CPU time of the proxy's own processes over the requests it answered, and its ratio to
HAProxy's in the same round: times differ from machine to machine and minute to minute, ratios much less.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HTTP, ADMIN, STABLE, CANARY = 9100, 9400, 9001, 9002
SHARE = 10
# A workload is a kind of request (a webhook with its id in the body or in a header, a GET, a GET of a long answer), sent in HTTP/1.1, in HTTP/1.1
# over TLS 1.3, or in HTTP/2 over TLS 1.3.
WORKS = ("body", "header", "get", "64k")
PREFIXES = ("", "tls-", "h2-")
WORKLOADS = [prefix + work for prefix in PREFIXES for work in WORKS]
DEFAULT = "body,header,get,64k,tls-body,tls-header,tls-get,h2-body,h2-header,h2-get"

SERIN = """
[proxy]
listen = "127.0.0.1:{http}"
workers = 1
{tls}
[admin]
listen = "127.0.0.1:{admin}"
[[bot]]
name = "bench"
workspace = ["{source}"]
upstreams = {{ blue = "http://127.0.0.1:{stable}", green = "http://127.0.0.1:{canary}" }}
stable = "blue"
weight = "{share}%"
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend webhooks
  bind 127.0.0.1:{http} {tls}
  {buffer}
  use_backend canary if {{ {source},xxh32,mod(100) -m int lt {share} }}
  default_backend stable
backend stable
  server s 127.0.0.1:{stable}
backend canary
  server c 127.0.0.1:{canary}
"""

NGINX = """
daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 4000; }}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 60s;
  split_clients $http_x_workspace_id $pool {{ {share}% canary; * stable; }}
  upstream stable {{ server 127.0.0.1:{stable}; keepalive 256; keepalive_requests 1000000; }}
  upstream canary {{ server 127.0.0.1:{canary}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{http}{tls};
    location / {{ proxy_pass http://$pool; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

UPSTREAM = """
daemon off; master_process off; pid {dir}/upstream.pid; error_log {dir}/upstream.err;
events {{ worker_connections 4000; }}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 60s; client_body_buffer_size 64k;
  server {{
    listen 127.0.0.1:{stable}; listen 127.0.0.1:{canary};
    location = /64k {{ root {dir}; }}
    location / {{ return 200 "ok"; }}
  }}
}}
"""

# With files of the folder. `http2` in nginx's is for each client that asks for it by ALPN.
TLS = {
    "serin": '[[proxy.tls.certificate]]\ncert_file = "{dir}/tls.crt"\nkey_file = "{dir}/tls.key"',
    "haproxy": "ssl crt {dir}/tls.pem alpn h2,http/1.1",
    "nginx": " ssl http2; ssl_certificate {dir}/tls.crt; ssl_certificate_key {dir}/tls.key; ssl_protocols TLSv1.3",
}

# wrk has no HTTP/2, and h2load sends one body only.
ONE_ID = "T00007919"
# Connections in HTTP/2, and requests at a time on each.
STREAMS = (8, 8)

LOAD = """
local requests, at = {}, 0
local mode, path = "%s", "%s"
-- Not before init: wrk does not know the host until then.
local function prepare(i)
  local id = string.format("T%%08d", i * 7919 %% 100000000)
  if mode == "get" then
    requests[i] = wrk.format("GET", path, { ["X-Workspace-Id"] = id })
  else
    local start = '{"token":"abc","team_id":"' .. id .. '","type":"event_callback","event":{"type":"message","text":"'
    local text = string.rep("a line of a message ", 100)
    local fields = { ["Content-Type"] = "application/json" }
    if mode == "header" then fields["X-Workspace-Id"] = id end
    requests[i] = wrk.format("POST", path, fields, (start .. text):sub(1, 2044) .. '"}}')
  end
end
function init(args) for i = 1, 5000 do prepare(i) end end
function request() at = at %% 5000 + 1; return requests[at] end
function done(summary) io.write("ANSWERED ", summary.requests - summary.errors.status, "\\n") end
"""


def parts(workload):
    """The protocol's prefix, "" for HTTP/1.1 without TLS, and the kind of request."""
    prefix, _, work = workload.rpartition("-")
    return prefix, work


def command(name, workload, folder):
    """The proxy's configuration, written, and how to start it."""
    prefix, work = parts(workload)
    in_body = work == "body"
    tls = TLS[name].format(dir=folder) if prefix else ""
    values = {"http": HTTP, "admin": ADMIN, "stable": STABLE, "canary": CANARY, "share": SHARE, "dir": folder, "tls": tls}
    if name == "serin":
        text, source = SERIN, "json:/team_id" if in_body else "header:X-Workspace-Id"
        file, argv = "serin.toml", [os.environ["SERIN"], "run", "--config"]
    elif name == "haproxy":
        text, source = HAPROXY, "req.body,json_query('$.team_id')" if in_body else "req.hdr(X-Workspace-Id)"
        file, argv = "haproxy.cfg", ["haproxy", "-db", "-f"]
    else:
        text, source = NGINX, ""
        file, argv = "nginx.conf", ["nginx", "-p", folder, "-e", f"{folder}/start.err", "-c"]
    path = pathlib.Path(folder, file)
    path.write_text(text.format(source=source, buffer="option http-buffer-request" if in_body else "", **values))
    return [*argv, str(path)]


def start(argv, core, port, folder):
    log = open(pathlib.Path(folder, "log"), "a")
    process = subprocess.Popen(["taskset", "-c", str(core), *argv], stdout=log, stderr=log)
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"{argv[0]} ended at once:\n{pathlib.Path(folder, 'log').read_text()[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    sys.exit(f"{argv[0]} does not listen on {port}")


def stop(process):
    process.terminate()
    process.wait(10)


def cpu_nanos(pid):
    """Time on a core of all threads of a process."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def load(workload, seconds, folder):
    """How many requests were answered with 200."""
    prefix, work = parts(workload)
    path = "/64k" if work == "64k" else "/"
    base = f"{'https' if prefix else 'http'}://127.0.0.1:{HTTP}{path}"
    if prefix == "h2":
        connections, streams = STREAMS
        body = ["-d", f"{folder}/body.json", "-H", "Content-Type: application/json"] if work in ("body", "header") else []
        identified = [] if work == "body" else ["-H", f"X-Workspace-Id: {ONE_ID}"]
        argv = ["h2load", "-c", str(connections), "-m", str(streams), "-D", str(seconds), *identified, *body, base]
        answered = r"status codes: (\d+) 2xx"
    else:
        script = pathlib.Path(folder, "load.lua")
        script.write_text(LOAD % (work if work in ("body", "header") else "get", path))
        argv = ["wrk", "-t1", "-c64", f"-d{seconds}", "-s", str(script), base]
        answered = r"ANSWERED (\d+)"
    out = subprocess.run(["taskset", "-c", "1", *argv], capture_output=True, text=True, check=True).stdout
    return int(re.search(answered, out)[1]) or sys.exit(f"no request was answered well:\n{out}")


def measure(name, workload, seconds, folder):
    """Microseconds of CPU per request answered."""
    process = start(command(name, workload, folder), 0, HTTP, folder)
    try:
        load(workload, 1, folder)
        before = cpu_nanos(process.pid)
        answered = load(workload, seconds, folder)
        return (cpu_nanos(process.pid) - before) / 1000 / answered
    finally:
        stop(process)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--workloads", default=DEFAULT, help="of " + ", ".join(WORKLOADS))
    options.add_argument("--json", action="store_true", help="one object a line: every single measurement")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files(pathlib.Path(folder))
        upstream = pathlib.Path(folder, "upstream.conf")
        upstream.write_text(UPSTREAM.format(stable=STABLE, canary=CANARY, dir=folder))
        bots = start(["nginx", "-p", folder, "-e", f"{folder}/start.err", "-c", str(upstream)], 1, STABLE, folder)
        try:
            for workload in options.workloads.split(","):
                report(workload, rounds(workload, options, folder))
        finally:
            stop(bots)


def files(folder):
    """The long answer, the body for HTTP/2, and a certificate (P-256)."""
    (folder / "64k").write_bytes(b"x" * 65536)
    event = {"type": "message", "text": ("a line of a message " * 100)[:1920]}
    (folder / "body.json").write_text(json.dumps({"token": "abc", "team_id": ONE_ID, "type": "event_callback", "event": event}))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "tls.key"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", "-days", "30", *key, *name, "-out", folder / "tls.crt"], capture_output=True, check=True)
    (folder / "tls.pem").write_text((folder / "tls.crt").read_text() + (folder / "tls.key").read_text())


def rounds(workload, options, folder):
    # nginx has no way to read JSON without another module.
    names = ["serin", "haproxy"] + (["nginx"] if parts(workload)[1] != "body" else [])
    found = {name: [] for name in names}
    for number in range(options.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            micros = measure(name, workload, options.seconds, folder)
            found[name].append(micros)
            if options.json:
                print(json.dumps({"workload": workload, "round": number, "proxy": name, "cpu_micros": round(micros, 2)}), flush=True)
    return found


def report(workload, found):
    print(f"\n{workload}: CPU per request, and its ratio to HAProxy's in the same round (least to most)")
    for name, micros in found.items():
        ratios = [mine / theirs for mine, theirs in zip(micros, found["haproxy"])]
        print(f"  {name:8} {statistics.median(micros):6.2f} us   {statistics.median(ratios):.2f} x  ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    if "SERIN" not in os.environ:
        sys.exit("SERIN names the binary; ../peers.sh sets it")
    if not os.environ.get("OWN_NETWORK"):
        # A network namespace of its own: no port is taken there, and nothing else is measured.
        os.environ["OWN_NETWORK"] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv])
    main()
