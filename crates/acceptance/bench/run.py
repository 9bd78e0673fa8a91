#!/usr/bin/env python3
"""Measures the programs beside what else does the same, all in one run, and prints the figures as
Markdown. Wants cargo, hyperfine, curl, python3 and, for memory,
/usr/bin/time, on Linux or macOS:

    python3 crates/acceptance/bench/run.py > figures.md

Only ratios of one run mean anything: the server is on the same machine.
"""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[3]
BENCH = TOP / "crates/acceptance/bench"
GIB = 1 << 30

# Nothing is measured with the user's own tokens, vault or proxy.
for name in [name for name in os.environ if name.startswith(("AAC_", "BAO_", "VAULT_"))]:
    del os.environ[name]
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, **options):
    return subprocess.run(command, check=True, cwd=TOP, **options)


def output(command, **options):
    return run(command, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def processor():
    try:
        names = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def target():
    metadata = json.loads(output(["cargo", "metadata", "--format-version", "1", "--no-deps"]))
    return pathlib.Path(metadata["target_directory"])


def hyperfine(commands, *options, server):
    """Mean wall time and CPU time of each command, in seconds, run in front of a server."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        line = ["hyperfine", "--export-json", result.name, "--style", "none", *options, *commands]
        run([*server, *line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        results = json.load(open(result.name))["results"]
    return [(one["mean"], one["user"] + one["system"]) for one in results]


def peak(command, server):
    """The most memory that a command had, as a text. A child of Python's would count Python's, too."""
    on_mac = platform.system() == "Darwin"
    timed = ["/usr/bin/time", *(["-l"] if on_mac else ["-f", "peak %M"]), *command.split()]
    try:
        done = run([*server, *timed], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"(skipped: {error})"
    pattern = r"(\d+)\s+maximum resident" if on_mac else r"peak (\d+)"
    amount = int(re.search(pattern, done.stderr)[1]) / (1 << 20 if on_mac else 1 << 10)
    return f"{amount:.1f} MiB"


def table(title, first, rows, figures):
    """Each row's figures, and how they compare with the first one's."""
    print(f"\n## {title}\n\n| | wall | CPU | wall, of {first} | CPU, of {first} |\n|---|---|---|---|---|")
    base = figures[rows.index(first)]
    for name, (wall, cpu) in zip(rows, figures):
        print(f"| {name} | {wall * 1000:.1f} ms | {cpu * 1000:.1f} ms | {wall / base[0]:.2f} | {cpu / base[1]:.2f} |")


def calls(release, debug, tls):
    python = f"{sys.executable} {BENCH / 'plain.py'}"
    curl = (
        "sh -c 'curl -sS --cacert $SSL_CERT_FILE -H \"Authorization: Bearer $TOKEN\" "
        "-H \"x-api-project-id: $(cat $AAC_DIR/client_id.txt)\" "
        "$(cat $AAC_DIR/aac_url.txt)/iam/v1/workspaces/current'"
    )
    with_token = ["sh", "-c", f'TOKEN=$({release}/access_token) exec "$@"', "sh"]
    rows = ["naive", "get_workspace", "get_workspace, dev profile", "curl", "Python"]
    commands = [f"{release}/examples/naive", f"{release}/get_workspace", f"{debug}/get_workspace", curl, python]
    say("one call with a fresh token, over TLS")
    figures = hyperfine(commands, "-N", "--warmup", "10", "--runs", "200", server=[*tls, *with_token])
    table("One call with a fresh token, over TLS with the system's certificates", "naive", rows, figures)

    say("one call with an expired token")
    rows = ["Python", "get_workspace"]
    figures = hyperfine(
        [python, f"{release}/get_workspace"],
        *["-N", "--warmup", "2", "--runs", "50", "--prepare", f"{sys.executable} {BENCH / 'expire.py'}"],
        server=tls,
    )
    table("One call with an expired token: the refresh, the save, the call", "Python", rows, figures)

    say("48 at once")
    many = "sh -c 'for i in $(seq 48); do {} & done; wait'"
    rows = ["naive, fresh", "get_workspace, fresh", "Python, fresh"]
    figures = hyperfine(
        [many.format(command) for command in (commands[0], commands[1], python)],
        *["--warmup", "1", "--runs", "10"],
        server=tls,
    )
    figures += hyperfine(
        [many.format(commands[1])],
        *["--warmup", "1", "--runs", "10", "--prepare", f"{sys.executable} {BENCH / 'expire.py'}"],
        server=tls,
    )
    rows.append("get_workspace, expired: one refresh for all")
    table("48 programs at once", "naive, fresh", rows, figures)


def lists(release):
    say("100,000 users")
    server = [f"{release}/aac-sandbox", "--users", "100000", "--token-lifetime", "86400"]
    with tempfile.NamedTemporaryFile("w", suffix=".curl") as pages:
        # One curl, so one connection; the same pages.
        script = (
            'for offset in $(seq 0 1000 99000); do printf \'url = "%s/iam/v1/workspaces/31429/people'
            '?sort=id&limit=1000&offset=%s&includeCount=true"\\noutput = /dev/null\\n\' "$(cat $AAC_DIR/aac_url.txt)" $offset; '
            f'done > {pages.name}; TOKEN=$({release}/access_token) exec "$@"'
        )
        curl = (
            f"sh -c 'curl -sS -K {pages.name} -H \"Authorization: Bearer $TOKEN\" "
            "-H \"x-api-project-id: $(cat $AAC_DIR/client_id.txt)\" -H \"Accept-Encoding: gzip\"'"
        )
        program = f"{release}/list_users --workspace 31429 --page-size 1000 --format"
        rows = ["curl", "jsonl", "json", "csv", "table"]
        commands = [curl, *(f"{program} {format}" for format in rows[1:])]
        figures = hyperfine(commands, "-N", "--warmup", "1", "--runs", "7", server=[*server, "sh", "-c", script, "sh"])
    table("100,000 users in pages of 1,000: list_users beside curl", "curl", rows, figures)
    print("\n| peak memory | 2,000 users | 100,000 users |\n|---|---|---|")
    for format in rows[1:]:
        few, all = (peak(f"{program} {format} --limit {limit}", server) for limit in (2_000, 100_000))
        print(f"| {format} | {few} | {all} |")


def packages(release):
    say("1 GiB down and up")
    server = [f"{release}/aac-sandbox", "--package-size", str(GIB), "--token-lifetime", "86400"]
    headers = '-H "Authorization: Bearer $TOKEN" -H "x-api-project-id: $(cat $AAC_DIR/client_id.txt)"'
    url = "$(cat $AAC_DIR/aac_url.txt)/plans/v1/plans"
    with tempfile.TemporaryDirectory() as folder:
        package = f"{folder}/plan.zip"
        down = [
            f"sh -c 'curl -sS {headers} {url}/7/package -o {package}'",
            f"{release}/raw_call /plans/v1/plans/7/package -o {package}",
        ]
        up = [
            f"sh -c 'curl -sS {headers} {url}/package -F data=@{package} -o /dev/null'",
            f"{release}/raw_call /plans/v1/plans/package --part data=@{package} -o /dev/null",
        ]
        plain = [
            f"sh -c 'curl -sS {headers} -X POST -T {package} -o /dev/null $(cat $AAC_DIR/aac_url.txt)/sandbox/echo'",
            f"{release}/raw_call /sandbox/echo -d @{package} -H content-type:application/zip -o /dev/null",
        ]
        inside = [*server, "sh", "-c", f'TOKEN=$({release}/access_token) exec "$@"', "sh"]
        rows = ["curl", "raw_call"]
        figures = hyperfine(down, "-N", "--warmup", "1", "--runs", "7", server=inside)
        table("A download of 1 GiB into a file", "curl", rows, figures)
        print(f"\nPeak memory of raw_call: {peak(down[1], server)}")
        figures = hyperfine(up, "-N", "--warmup", "1", "--runs", "7", server=inside)
        table("An upload of 1 GiB from a file, as a part of a form", "curl", rows, figures)
        print(f"\nPeak memory of raw_call: {peak(up[1], server)}")
        figures = hyperfine(plain, "-N", "--warmup", "1", "--runs", "7", server=inside)
        table("An upload of 1 GiB from a file, as it is", "curl", rows, figures)


def builds(release, debug):
    say("a cold build")
    with tempfile.TemporaryDirectory() as cold:
        start = time.monotonic()
        run(["cargo", "build", "--quiet", "-p", "get_workspace"], env=os.environ | {"CARGO_TARGET_DIR": cold})
        seconds = time.monotonic() - start
    print("\n## Builds\n\n| | crates | dev | release |\n|---|---|---|---|")
    for name in ("get_workspace", "list_users", "raw_call", "access_token"):
        tree = output(["cargo", "tree", "-p", name, "-e", "no-dev", "--prefix", "none", "--no-dedupe"])
        sizes = [(folder / name).stat().st_size / 1e6 for folder in (debug, release)]
        print(f"| {name} | {len(set(tree.splitlines()))} | {sizes[0]:.1f} MB | {sizes[1]:.1f} MB |")
    print(f"\nA cold `cargo build -p get_workspace`, with its crates downloaded: {seconds:.0f} s.")


def main():
    say("building")
    run(["cargo", "build", "--quiet", "--release", "--workspace", "--bins", "--examples"])
    run(["cargo", "build", "--quiet", "--workspace", "--bins"])
    release, debug = target() / "release", target() / "debug"
    tls = [f"{release}/examples/tls_sandbox"]
    rustc = output(["rustc", "--version"])
    print("# Figures\n")
    curl = output(["curl", "--version"]).split(" (")[0]
    print(f"{os.cpu_count()} cores of {processor()}, {platform.system()}; {rustc}, {curl},")
    print(f"Python {platform.python_version()}. The server is the sandbox, on the same machine: only ratios")
    print("of one run mean anything. Made by `python3 crates/acceptance/bench/run.py`.")
    calls(release, debug, tls)
    print(f"\nPeak memory of get_workspace: {peak(f'{release}/get_workspace', tls)},")
    print(f"of naive: {peak(f'{release}/examples/naive', tls)}.")
    lists(release)
    packages(release)
    builds(release, debug)


if __name__ == "__main__":
    main()
