"""The gateway as it is run: one process, real namespaces, real programs, real signals."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dlp.datapath import objects, source
from dlp.datapath.links import Hook
from dlp.workloads.netns import names
from tests.gatewaylab import DROP, OWN, ROOT
from tests.netlab import CARD, DEVICE, PATIENCE, PORT, SINK4, programs, until

pytest_plugins = ["tests.cgrouplab", "tests.netlab_fixture", "tests.gateway_fixture"]
pytestmark = pytest.mark.netns

MASKED = "***************" + "1111"


def told(gateway, count: int = 1) -> list[dict]:
    """So many verdicts, as soon as they are stored.

    Only of namespaces that are there: the ring may hold events of the test before.
    """
    until(lambda: len(of_living(gateway)) >= count)
    return of_living(gateway)


def of_living(gateway) -> list[dict]:
    living = names()
    return [one for one in gateway.verdicts() if one["workload"] in living]


def ours(pair) -> list[str]:
    """Classifiers of ours on the workload's egress, whichever way they are attached."""
    return [name for name in programs(pair.inner) if name.endswith(":dlp_entry")]


def guards(pair) -> list[str]:
    """Guards on its host end."""
    found = programs(pair.outer, hook=Hook.INGRESS)
    return [name for name in found if name.endswith(":dlp_guard")]


def builds(host) -> list[str]:
    """Pinned builds of the kernel programs."""
    return [n for n in host.inside("/sys/fs/bpf/dlp") if n != "links"]


def in_workload(pair, *command: str, data: bytes = b"") -> None:
    """A program in the workload's namespace; it may fail, as what it sends may not arrive."""
    subprocess.run(
        ["nsenter", f"--net=/run/netns/{pair.inner}", "--", *command],
        check=False,
        input=data,
        capture_output=True,
        timeout=PATIENCE,
    )


# -- the main job -----------------------------------------------------------------------------


def test_leak_is_stopped(host, web):
    """A card in a datagram does not leave, honest text does; the verdict says what and who."""
    with host.ready() as gateway:
        leaked, honest = web.leaks(), web.leaks(b"hello")
        (verdict,) = told(gateway)

    assert (False, True) == (leaked, honest)
    assert ("match", web.inner, "pci.card.visa", "drop", True, "kernel") == (
        verdict["kind"],
        verdict["workload"],
        verdict["signature"],
        verdict["action"],
        verdict["enforced"],
        verdict["decided"],
    )
    assert ("default", "udp", SINK4, PORT, MASKED) == (
        verdict["policy"],
        verdict["protocol"],
        verdict["destination"]["address"],
        verdict["destination"]["port"],
        verdict["masked"],
    )
    assert 64 == len(verdict["digest"])


def test_ready_says_that_it_is_enforced(host, web):
    """The first packet after `ready` is judged."""
    with host.ready() as gateway:
        assert not web.leaks()
        assert ["ready"] == gateway.said


def test_nc_and_curl(host, web):
    """Real programs over TCP: what holds a card does not arrive, what holds none does."""
    nc = ("nc", "-w", "1", SINK4, str(PORT))
    curl = ("curl", "-s", "-m", "1", f"http://{SINK4}:{PORT}/", "-d")
    with host.ready() as gateway, ThreadPoolExecutor(4) as pool:
        pool.submit(in_workload, web, *nc, data=b"honest nc\n")
        pool.submit(in_workload, web, *nc, data=b"card " + CARD + b"\n")
        pool.submit(in_workload, web, *curl, "honest curl")
        pool.submit(in_workload, web, *curl, f"card {CARD.decode()} ")
        verdicts = told(gateway, 2)
        until(lambda: b"honest nc" in web.tcp.data and b"honest curl" in web.tcp.data)
        pool.shutdown()

    assert CARD not in web.tcp.data
    assert [("tcp", True)] * 2 == [(one["protocol"], one["enforced"]) for one in verdicts]


def test_nothing_of_the_value_is_kept(host, web):
    """Neither database nor log nor record holds the number, with or without its spaces."""
    with host.ready() as gateway:
        web.leaks()
        told(gateway)
        gateway.stop()
    texts = [path.read_bytes() for path in host.directory.rglob("*") if path.is_file()]
    texts += [host.read(f"/run/dlp/{name}").encode() for name in host.inside("/run/dlp")]

    assert len(texts) > 3
    for text in texts:
        assert CARD not in text
        assert CARD.replace(b" ", b"") not in text


def test_two_policies(host, lab):
    """Each namespace has the first policy that matches it."""
    strict, lax = lab.pair("strict"), lab.pair("lax")
    host.write(
        f"  - {{name: lax, match: {{netns: '{lax.inner}'}}, mode: monitor,"
        ' rules: [{signatures: ["pci.*"], action: drop}]}\n' + DROP,
        netns=(strict.inner, lax.inner),
    )
    with host.ready() as gateway:
        leaked = strict.leaks(), lax.leaks()
        verdicts = {one["workload"]: one for one in told(gateway, 2)}

    assert (False, True) == leaked
    assert ("default", True, "lax", False) == (
        verdicts[strict.inner]["policy"],
        verdicts[strict.inner]["enforced"],
        verdicts[lax.inner]["policy"],
        verdicts[lax.inner]["enforced"],
    )


def test_inspector_decides(host, web):
    """What the kernel cannot decide is confirmed by the matcher process, which blocks the flow."""
    host.write(signatures="./own.yaml", netns=(web.inner,))
    key = b"LONGKEY-" + b"x1Y2" * 50
    with host.ready() as gateway, web.connect() as connection:
        connection.sendall(b"say " + key + b" ")
        (verdict,) = told(gateway)
        until(lambda: web.tcp.data)
        connection.sendall(b"and more")
        time.sleep(0.3)

    assert ("own.key.long", "inspector", "drop", 208) == (
        verdict["signature"],
        verdict["decided"],
        verdict["action"],
        verdict["length"],
    )
    assert b"and more" not in web.tcp.data


def test_netns_option(host, pair):
    """Namespaces of the command line are enforced beside those of the file."""
    host.write()
    with host.ready("--netns", pair.inner):
        assert not pair.leaks()


# -- life and death ---------------------------------------------------------------------------


def test_killed_gateway_enforces(host, web):
    """After SIGKILL a card still does not leave; the next process tells of it, by its name."""
    host.ready().kill()
    leaked, honest = web.leaks(), web.leaks(b"hello")
    with host.ready() as gateway:
        (verdict,) = told(gateway)

    assert (False, True) == (leaked, honest)
    assert (web.inner, "pci.card.visa", "default", MASKED) == (
        verdict["workload"],
        verdict["signature"],
        verdict["policy"],
        verdict["masked"],
    )


def test_terminated_gateway_enforces(host, web):
    """SIGTERM ends the process with 0 and leaves enforcement on."""
    with host.ready() as gateway:
        code = gateway.stop()

    assert 0 == code
    assert not web.leaks()


def test_restart_adopts(host, web):
    """A restart loads nothing anew, leaves one filter, and counts releases on."""
    with host.ready() as first:
        manifests = [n for n in host.inside("/run/dlp") if n.startswith("datapath-")]
        times = [host.time_of(f"/run/dlp/{name}") for name in manifests]
        release = first.api("/health")["release"]
        first.kill()
    with host.ready() as second:
        later = second.api("/health")["release"]

    assert 1 == len(manifests)
    assert times == [host.time_of(f"/run/dlp/{name}") for name in manifests]
    assert release + 1 == later
    assert 1 == len(ours(web))


def test_manifest_that_is_cut_short(host, web):
    """What cannot be adopted is loaded anew beside it: no packet meets a program that is gone."""
    with host.ready() as gateway:
        (name,) = [n for n in host.inside("/run/dlp") if n.startswith("datapath-")]
        gateway.kill()
    subprocess.run(host.command("truncate", "-s", "100", f"/run/dlp/{name}"), check=True)
    with host.start() as gateway:
        seen = []
        while not gateway.is_ready():
            seen.append((web.leaks(), web.leaks(b"hello")))
        pins = builds(host)

    assert {(False, True)} == set(seen)
    assert 1 == len(pins)
    assert not web.leaks()


def test_secret_split_across_a_restart(host, web):
    """Half a card sent before the kill and half after the restart: the second half is dropped."""
    first, second = b"number 4111 1111 ", b"1111 1111."
    with host.ready() as gateway, web.connect() as connection:
        connection.sendall(first)
        until(lambda: web.tcp.data == first)
        gateway.kill()
        with host.ready() as again:
            connection.sendall(second)
            (verdict,) = told(again)
            time.sleep(0.3)

    assert first == web.tcp.data
    assert (10, 17) == (verdict["sent_before"], verdict["let_out"])


@pytest.fixture
def older(tmp_path):
    """A checkout with other kernel programs; what its build leaves in the cache is removed."""
    root = tmp_path / "older"
    for part in ("dlp", "bpf", "signatures"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    with (root / "bpf" / source.MAIN).open("a") as main:
        main.write("/* of another version */\n")
    yield root
    digest = source.digest(source.joined(root / "bpf"))
    (objects.CACHE / f"{digest}.json").unlink(missing_ok=True)


def test_upgrade(host, web, older):
    """Other programs take the place of the old ones without a gap, and know the flows."""
    first, second = b"number 4111 1111 ", b"1111 1111."
    with host.start(PYTHONPATH=str(older)) as gateway, web.connect() as connection:
        gateway.wait_ready()
        before = builds(host)
        connection.sendall(first)
        until(lambda: web.tcp.data == first)
        gateway.stop()
        with host.start() as upgraded:
            leaked = []
            while not upgraded.is_ready():
                leaked.append(web.leaks())
            after = builds(host)
            connection.sendall(second)
            until(lambda: "tcp" in {one["protocol"] for one in told(upgraded)})
            time.sleep(0.3)

    assert (1, 1) == (len(before), len(after))
    assert before != after
    assert len(leaked) > 3
    assert not any(leaked)
    assert first == web.tcp.data
    assert 1 == len(ours(web))


def test_verdicts_outlive_a_kill(host, web):
    """What was told once is told again by the next process."""
    with host.ready() as gateway:
        web.leaks()
        before = told(gateway)
        gateway.kill()
    with host.ready() as gateway:
        assert before == of_living(gateway)


def test_second_gateway_is_refused(host, web):
    """Two would read one another's events: the second ends at once and harms nothing."""
    with host.ready() as first:
        other = host.directory / "other.yaml"
        text = host.config.read_text().replace("api.sock", "other.sock").replace("/state", "/st2")
        other.write_text(text.replace("action: drop", "action: alert"))
        done = host.dlp("run", "--config", str(other))
        leaked = web.leaks()
        verdicts = told(first)

    assert 3 == done.returncode
    assert "a gateway runs on this host already" in done.stderr
    assert not leaked
    assert 1 == len(verdicts)


# -- waiting ----------------------------------------------------------------------------------


def test_pending_namespace(host, lab, web):
    """One that does not exist yet is pending, does not keep `ready` back, and is taken in later."""
    name = lab.name("late")
    host.write(netns=(web.inner, name))
    with host.ready() as gateway:
        before = states(gateway)
        leaked = web.leaks()
        lab.add(name)
        until(lambda: states(gateway)[name] == "enforced")

    assert {web.inner: "enforced", name: "pending"} == before
    assert not leaked
    assert f"not enforced yet: {name}" in gateway.errors()


def test_wait(host, lab, web):
    """With `--wait`, `ready` comes once the last namespace is there and enforced."""
    name = lab.name("late")
    host.write(netns=(web.inner, name))
    with host.start("--wait", "60") as gateway:
        until(lambda: host.socket.exists() and ours(web))
        early = gateway.is_ready()
        lab.add(name)
        gateway.wait_ready()
        after = states(gateway)

    assert not early
    assert {web.inner: "enforced", name: "enforced"} == after
    assert "not enforced" not in gateway.errors()


def test_wait_ends(host, web):
    """When the time is over, `ready` comes all the same and the missing one is named."""
    host.write(netns=(web.inner, "dlptest-nobody"))
    with host.ready("--wait", "0.3") as gateway:
        assert "not enforced yet: dlptest-nobody" in gateway.errors()
        assert not web.leaks()


def states(gateway) -> dict[str, str]:
    return {one["name"]: one["state"] for one in gateway.api("/workloads")["items"]}


def test_sd_notify(host, web, tmp_path):
    """The service manager hears READY=1, and hears it when `ready` is said."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(6 * PATIENCE)
        with host.start(NOTIFY_SOCKET=str(tmp_path / "notify")) as gateway:
            word = manager.recv(4096)
            leaked = web.leaks()
            gateway.wait_ready()

    assert b"READY=1" == word
    assert not leaked


# -- reload -----------------------------------------------------------------------------------


def test_good_file(host, web):
    """SIGHUP turns a rule on, without a restart and for flows that are open."""
    host.write(
        '  - {name: default, rules: [{signatures: ["pci.*"], action: alert}]}', netns=(web.inner,)
    )
    with host.ready() as gateway, web.connect() as connection:
        before = web.leaks()
        connection.sendall(b"hello ")
        until(lambda: web.tcp.data == b"hello ")
        host.write(netns=(web.inner,))
        release = gateway.api("/health")["release"]
        gateway.hang_up()
        until(lambda: gateway.api("/health")["release"] == release + 1)
        after = web.leaks()
        connection.sendall(b"card " + CARD + b".")
        told(gateway, 3)
        time.sleep(0.2)

    assert (True, False) == (before, after)
    assert b"hello " == web.tcp.data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\npolicies: [\n", "dlp.yaml"),
        ("version: 1\nsignatures: [nothing]\npolicies: []\n", "dlp.yaml"),
        ("", "dlp.yaml"),
    ],
)
def test_bad_file(host, web, text: str, expected: str):
    """A bad file changes nothing: not the release, not what is dropped; the log says why."""
    with host.ready() as gateway:
        before = gateway.api("/health")["release"]
        host.config.write_text(text)
        gateway.hang_up()
        until(lambda: "reload refused" in gateway.errors())
        leaked = web.leaks()
        release = gateway.api("/health")["release"]
        problem = gateway.api("/reload", method="POST")

    assert (False, before) == (leaked, release)
    assert expected in gateway.errors()
    assert problem["status"] >= 400


def test_bad_pack(host, web):
    """A pack whose samples disagree with it is refused at a reload too."""
    host.write(signatures="pci, ./own.yaml", netns=(web.inner,))
    with host.ready() as gateway:
        pack = host.directory / "own.yaml"
        pack.write_text(OWN.lstrip().replace("LONGKEY-abcd1234", "SHORTKEY"))
        gateway.hang_up()
        until(lambda: "reload refused" in gateway.errors())

        assert not web.leaks()
        assert "own.key.long" in gateway.errors()


def test_reloads_in_a_row(host, web):
    """Many reloads at once leave one filter, one release, and no moment without enforcement."""
    with host.ready() as gateway:
        leaked = []
        for number in range(10):
            action = "drop" if number % 2 else "drop, threshold: {count: 1}"
            host.write(
                f'  - {{name: default, rules: [{{signatures: ["pci.*"], action: {action}}}]}}',
                netns=(web.inner,),
            )
            gateway.hang_up()
            leaked += [web.leaks() for _ in range(3)]
        until(lambda: "configuration reloaded" in gateway.errors())
        time.sleep(0.3)
        last = web.leaks()

    assert not any(leaked)
    assert not last
    assert gateway.process.returncode == -9
    assert "Traceback" not in gateway.errors()
    assert 1 == len(ours(web))


def test_namespace_taken_off_the_list(host, lab, web):
    """A reload lets go of what is no longer listed."""
    other = lab.pair("other")
    host.write(netns=(web.inner, other.inner))
    with host.ready() as gateway:
        before = other.leaks()
        host.write(netns=(web.inner,))
        gateway.hang_up()
        until(lambda: not ours(other) and not guards(other))

        assert not before
        assert other.leaks()
        assert not web.leaks()


def test_namespace_taken_off_the_list_between_two_runs(host, lab, web):
    """A start lets go of what the file no longer lists: no filter stays that nobody serves."""
    other = lab.pair("other")
    host.write(netns=(web.inner, other.inner))
    host.ready().kill()
    host.write(netns=(web.inner,))
    with host.ready():
        assert [] == ours(other)
        assert other.leaks()
        assert not web.leaks()


# -- API --------------------------------------------------------------------------------------


def test_tcp_needs_a_token(host, web):
    """Without a token TCP answers 401; with one it answers; the unix socket needs none."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host.write(netns=(web.inner,), tcp=port)
    token = host.dlp("token", "create", "--config", str(host.config)).stdout.strip()
    with host.ready() as gateway:
        statuses = [over_tcp(port, header) for header in ({}, bearer("wrong" * 8), bearer(token))]
        local = gateway.api("/health")["status"]

    assert [401, 401, 200] == statuses
    assert "ok" == local


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def over_tcp(port: int, header: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/api/v1/health", headers=header)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def test_what_the_api_tells(host, web):
    """Health, workloads, flows and statistics of a running gateway agree with what was sent."""
    with host.ready() as gateway:
        for _ in range(3):
            web.leaks(b"hello")
        web.leaks()
        told(gateway)
        health = gateway.api("/health")
        (workload,) = gateway.api("/workloads")["items"]
        stats = gateway.api("/stats")
        flows = gateway.api(f"/flows?workload={web.inner}")["items"]

    assert ("ok", 1, 0, 0, "alive", []) == (
        health["status"],
        health["workloads_enforced"],
        health["workloads_pending"],
        health["events_lost"],
        health["inspector"],
        health["problems"],
    )
    assert (web.inner, "enforced", [DEVICE], ["default"]) == (
        workload["name"],
        workload["state"],
        workload["devices"],
        workload["policies"],
    )
    counted = {one["reason"]: one["packets"] for one in stats["total"]}
    assert (1, 1) == (counted["match_dropped"], counted["dropped"])
    assert counted["packets"] == counted["passed"] + counted["dropped"]
    assert {web.inner} == set(stats["workloads"])
    assert {"udp"} == {flow["protocol"] for flow in flows} - {"icmp6"}
    assert 5 == len([flow for flow in flows if flow["protocol"] == "udp"])


def test_commands(host, web):
    """`dlp verdicts` and `dlp workloads` show on the command line what the API tells."""
    with host.ready() as gateway:
        web.leaks()
        told(gateway)
        verdicts = host.dlp("verdicts", "--json", "--api", str(host.socket))
        workloads = host.dlp("workloads", "--json", "--api", str(host.socket))

    (verdict,) = json.loads(verdicts.stdout)
    assert "pci.card.visa" == verdict["signature"]
    assert [(web.inner, "enforced")] == [
        (one["name"], one["state"]) for one in json.loads(workloads.stdout)
    ]


# -- what cannot start ------------------------------------------------------------------------


def test_bad_file_at_the_start(host):
    """Exit code 2 with file and line, and nothing in the kernel."""
    host.write("  - {name: default, rules: [], modus: enforce}")
    done = host.dlp("run", "--config", str(host.config))

    assert 2 == done.returncode
    assert "dlp.yaml:" in done.stderr
    assert "modus" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_root(host, web):
    """Exit code 3, one line that says what to do."""
    host.write(netns=())
    script = "import os; os.geteuid = lambda: 1000; from dlp.cli.main import main;"
    script += f"main(['run', '--config', {str(host.config)!r}])"
    done = subprocess.run(
        host.command(sys.executable, "-c", script),
        check=False,
        capture_output=True,
        text=True,
        env=host.environment(),
    )

    assert 3 == done.returncode
    assert "the gateway needs root" in done.stderr
    assert 1 == len(done.stderr.splitlines())


# -- the end: what is pinned goes here, so that the tests above can share it ------------------


def test_detach(host, web):
    """Nothing is left: no filter, no clsact, no pins, no record; all traffic passes."""
    with host.ready() as gateway:
        stopped = web.leaks()
        gateway.stop()
    done = host.dlp("detach")

    assert not stopped
    assert (0, "detached: 1 classifier taken off\n") == (done.returncode, done.stdout)
    assert [] == ours(web) == guards(web)
    assert "clsact" not in web.qdiscs()
    assert [] == host.inside("/sys/fs/bpf/dlp")
    assert "dlp" not in host.inside("/sys/fs/bpf")
    assert [] == [name for name in host.inside("/run/dlp") if name.endswith(".json")]
    assert web.leaks()
    assert "detached: 0 classifiers taken off\n" == host.dlp("detach").stdout


def test_gated_cgroup(host, lab, cgroups):
    """A container waits until it is enforced, with the gateway and without; detach ends it."""
    pair, late = lab.pair(), lab.pair("late")
    host.write(netns=(pair.inner,))
    text = host.config.read_text()
    gated = text.replace("workloads: {", f"workloads: {{gate: [{cgroups.path}], ")
    host.config.write_text(gated)
    with host.ready() as gateway:
        until(lambda: any(n.startswith("gate-") for n in host.inside("/sys/fs/bpf/dlp/links")))
        child = cgroups.sender("a", pair.inner)
        until(child.sends)
        assert pair.datagram(b"harmless")
        gateway.stop()

    beside = cgroups.sender("b", late.inner)
    assert [True, False] == [child.sends(), beside.sends()]
    host.config.write_text(gated.replace(pair.inner, f"{pair.inner}, {late.inner}"))
    with host.ready() as gateway:
        until(beside.sends)
        assert all(child.sends() for _ in range(20))
        total = {row["reason"]: row["packets"] for row in gateway.api("/stats")["total"]}
        assert total["gated"]
        gateway.stop()
    third = cgroups.sender("c", late.inner)
    assert not third.sends()
    assert not host.dlp("detach").returncode
    until(third.sends)  # the kernel takes a link off a little after its pin is gone


def test_detach_under_a_running_gateway(host, web):
    """It is refused: the gateway would go on and believe that it enforces."""
    with host.ready():
        done = host.dlp("detach")

        assert 3 == done.returncode
        assert "a gateway runs on this host already" in done.stderr
        assert not web.leaks()


def test_detach_after_a_kill(host, web):
    """What a killed process attached comes off by the record."""
    host.ready().kill()
    done = host.dlp("detach")

    assert 0 == done.returncode
    assert [] == ours(web) == guards(web)
    assert web.leaks()
