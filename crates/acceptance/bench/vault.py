#!/usr/bin/env python3
"""Measures a call with its tokens in a vault beside one with a file, and beside `bao` and curl reading the
same secret; then how many reads one vault serves. Prints Markdown. Wants cargo, hyperfine, curl, and `bao` on
the PATH or named by the variable BAO:

    python3 crates/acceptance/bench/vault.py

The vault is one server in memory, with plain http: the programs' own cost, not that of a cluster.
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from run import hyperfine, output, run, table, target  # noqa: E402

TOKEN = "bench"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(method, url, body=None):
    request = urllib.request.Request(url, method=method, headers={"X-Vault-Token": TOKEN})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=10) as response:
        return json.load(response)


def start(bao, port):
    """A vault in memory, once it serves."""
    listen = [f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]
    vault = subprocess.Popen(
        [bao, "server", "-dev", *listen], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            ask("GET", f"http://127.0.0.1:{port}/v1/sys/health")
            return vault
        except OSError:
            time.sleep(0.05)
    vault.kill()
    sys.exit("bao does not start")


def reads(port, threads, seconds=5):
    """Reads per second with so many connections."""

    def one(_):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            connection.request("GET", "/v1/secret/data/aac", headers={"X-Vault-Token": TOKEN})
            connection.getresponse().read()
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads))) / seconds


def main():
    bao = os.environ.get("BAO") or shutil.which("bao")
    if not bao:
        sys.exit("skipped: no bao on the PATH, and none named by BAO")
    run(["cargo", "build", "--release", "-p", "access_token", "-p", "aac-sandbox"])
    bin = target() / "release"
    port = free_port()
    vault = start(bao, port)
    try:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            sandbox = [bin / "aac-sandbox", "--dir", folder, "--token-lifetime", "3600"]
            run([*sandbox, bin / "access_token"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            pair = json.loads((folder / "creds.json").read_text())
            pair.pop("aac_auth", None)
            ask("POST", f"http://127.0.0.1:{port}/v1/secret/data/aac", {"data": pair})
            elsewhere = folder / "vault"
            elsewhere.mkdir()
            for name in ["aac_url.txt", "client_id.txt"]:
                shutil.copy(folder / name, elsewhere)
            (elsewhere / "creds.json").write_text('{"vault": "secret/data/aac"}')
            url = f"http://127.0.0.1:{port}"
            os.environ.update(VAULT_ADDR=url, VAULT_TOKEN=TOKEN)
            rows = ["file", "vault", "curl", "bao kv get"]
            commands = [
                f"{bin}/access_token --dir {folder}",
                f"{bin}/access_token --dir {elsewhere}",
                f"curl -sf -H X-Vault-Token:{TOKEN} {url}/v1/secret/data/aac",
                f"{bao} kv get -field=access_token secret/aac",
            ]
            figures = hyperfine(commands, "--warmup", "5", "--shell=none", server=[])
            table("An access token, from a file and from a vault", "curl", rows, figures)
            print(f"\n## Reads of one vault\n\n{output([bao, '--version'])}, {os.cpu_count()} cores, which the readers share.\n")
            print("| connections | reads per second |\n|---|---|")
            for threads in [1, 8, 64]:
                print(f"| {threads} | {reads(port, threads):.0f} |")
    finally:
        vault.terminate()
        vault.wait()


if __name__ == "__main__":
    main()
