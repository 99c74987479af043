"""The grammar of the whole file."""

from dataclasses import replace
from datetime import date
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from dlp.config import (
    Api,
    AttachWay,
    Config,
    Destination,
    Escalation,
    Handling,
    InspectorDown,
    Loopback,
    Match,
    NewWorkloads,
    OpenEnd,
    Policy,
    PolicyException,
    PolicyFileError,
    PortRange,
    Releases,
    Rule,
    TcpAddress,
    Workloads,
    load,
    with_netns,
)
from dlp.model import Action, DestinationAction, Mode

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "dlp.yaml"

DEVELOPMENT = (
    "releases.development lets an administrator's token put in signatures that nobody "
    "signed; leave it out where others depend on this gateway"
)
ESCALATE = "escalate: {verdicts: 2, window: 1m, action: quarantine}"
FULL = """\
version: 1
state_dir: /var/lib/other
api: {unix: /run/other.sock, tcp: "127.0.0.1:8470"}
signatures: [pci, ./own.yaml]
workloads:
  netns: [web, billing]
  discover: []
  new_workloads: open
  gate: [/docker, /kubepods.slice/burst able]
  attach: clsact
releases: {trust: root.json, development: true, max_size: 512KiB, max_candidates_per_mb: 900}
cgroup_level: 2
policies:
  - name: first
    match: {netns: "web", cgroup: ["/docker/*", /system.slice/*]}
    mode: monitor
    on_inspector_down: closed
    uninspectable: alert
    unowned: scan
    urgent: scan
    mptcp: scan
    fragments: drop
    other_protocols: scan
    over_budget: alert
    on_overload: closed
    hold_timeout_ms: 750
    hold_udp: mirror
    open_end: drop
    loopback: scan
    kill: true
    escalate: {verdicts: 5, window: 2m, action: quarantine}
    destinations:
      - {cidr: 10.0.0.0/8, ports: [5432, "8000-8099"], action: exempt}
      - {cidr: "2001:db8::/32", action: deny}
    exceptions: [{digest: "DIGEST", until: 2027-01-01, reason: "test card"}]
    rules:
      - {signatures: ["pci.*"], action: drop}
      - {signatures: secrets.*, action: mirror, threshold: {count: 2, window: 5m}}
      - {signatures: pii.*, action: hold}
  - {name: rest, rules: []}
""".replace("DIGEST", "0aF" * 21 + "0")


def test_every_key(policy_file, tmp_path: Path):
    """Each key of a complete file arrives as its value."""
    (tmp_path / "own.yaml").touch()
    (tmp_path / "root.json").touch()

    first = Policy(
        name="first",
        match=Match(netns=("web",), cgroup=("/docker/*", "/system.slice/*")),
        mode=Mode.MONITOR,
        on_inspector_down=InspectorDown.CLOSED,
        uninspectable=Action.ALERT,
        on_hold_timeout=InspectorDown.CLOSED,
        unowned=Handling.SCAN,
        urgent=Handling.SCAN,
        mptcp=Handling.SCAN,
        fragments=Handling.DROP,
        other_protocols=Handling.SCAN,
        over_budget=Action.ALERT,
        on_overload=InspectorDown.CLOSED,
        hold_timeout_ms=750,
        hold_udp=Action.MIRROR,
        open_end=OpenEnd.DROP,
        loopback=Loopback.SCAN,
        kill=True,
        escalate=Escalation(verdicts=5, window_s=120.0),
        destinations=(
            Destination(
                network=IPv4Network("10.0.0.0/8"),
                ports=(PortRange(low=5432, high=5432), PortRange(low=8000, high=8099)),
                action=DestinationAction.EXEMPT,
            ),
            Destination(network=IPv6Network("2001:db8::/32"), action=DestinationAction.DENY),
        ),
        exceptions=(
            PolicyException(
                digest=bytes.fromhex("0af" * 21 + "0"), until=date(2027, 1, 1), reason="test card"
            ),
        ),
        rules=(
            Rule(signatures=("pci.*",), action=Action.DROP),
            Rule(signatures=("secrets.*",), action=Action.MIRROR, threshold=2, window_s=300),
            Rule(signatures=("pii.*",), action=Action.HOLD),
        ),
    )
    expected = Config(
        file=policy_file.path,
        state_dir=Path("/var/lib/other"),
        api=Api(unix=Path("/run/other.sock"), tcp=TcpAddress(host="127.0.0.1", port=8470)),
        signatures=("pci", "./own.yaml"),
        workloads=Workloads(
            netns=("web", "billing"),
            new=NewWorkloads.OPEN,
            gate=("/docker", "/kubepods.slice/burst able"),
            attach=AttachWay.CLSACT,
        ),
        releases=Releases(
            trust=tmp_path / "root.json",
            development=True,
            max_size=512 << 10,
            max_candidates_per_mb=900,
        ),
        cgroup_level=2,
        policies=(first, Policy(name="rest")),
        warnings=(
            DEVELOPMENT,
            *(
                f"policy first is in monitor mode: its `{name}` does nothing"
                for name in ("escalate", "kill")
            ),
        ),
    )
    assert expected == policy_file.load(FULL)


def test_defaults(policy_file, minimal):
    """What a file leaves out has the documented default."""
    expected = Config(
        file=policy_file.path,
        state_dir=Path("/var/lib/dlp"),
        api=Api(unix=Path("/run/dlp/api.sock"), tcp=None),
        signatures=("pci",),
        workloads=Workloads(netns=(), new=NewWorkloads.CLOSED, gate=(), attach=AttachWay.AUTO),
        releases=Releases(
            trust=None, development=False, max_size=16 << 20, max_candidates_per_mb=None
        ),
        cgroup_level=0,
        policies=(
            Policy(
                name="default",
                match=Match(netns=(), cgroup=()),
                mode=Mode.ENFORCE,
                on_inspector_down=InspectorDown.OPEN,
                uninspectable=Action.ALLOW,
                on_hold_timeout=InspectorDown.CLOSED,
                unowned=Handling.DROP,
                urgent=Handling.DROP,
                mptcp=Handling.DROP,
                fragments=Handling.SCAN,
                other_protocols=Handling.DROP,
                over_budget=Action.DROP,
                on_overload=InspectorDown.OPEN,
                hold_timeout_ms=500,
                hold_udp=Action.DROP,
                open_end=OpenEnd.WAIT,
                loopback=Loopback.IGNORE,
                kill=False,
                escalate=None,
            ),
        ),
    )

    assert expected == policy_file.load(minimal)


def test_example_file():
    """The example that ships is valid and warns of nothing."""

    assert () == load(EXAMPLE).warnings


def test_places(policy_file, tmp_path: Path):
    """A value's line can be asked for later by its dotted key."""
    (tmp_path / "own.yaml").touch()
    (tmp_path / "root.json").touch()

    config = policy_file.load(FULL)

    assert 38 == config.place("policies[0].rules[1].action").line
    assert 33 == config.place("policies[0].destinations[0].cidr").line
    assert f"{policy_file.path}:12: cgroup_level" == str(config.place("cgroup_level"))


def test_words_stay_words(policy_file, minimal):
    """YAML's guesses (`no` is False, `010` is eight) do not touch names."""
    config = policy_file.load(minimal + "workloads: {netns: [no, 010, 1e5]}\n")

    assert ("no", "010", "1e5") == config.workloads.netns


def test_tcp_beyond_the_host_warns(policy_file, minimal):
    """An API that others can reach is allowed, with a warning."""
    config = policy_file.load(minimal + 'api: {tcp: "0.0.0.0:8470"}\n')

    assert 1 == len(config.warnings)
    assert "api.tcp" in config.warnings[0]


@pytest.mark.parametrize("setting", ["kill: true", ESCALATE])
def test_monitor_mode_warns(policy_file, with_policy, setting):
    """What acts on drops has nothing to act on in monitor mode."""
    enforced = policy_file.load(with_policy(setting))
    monitored = policy_file.load(with_policy(f"mode: monitor\n{setting}"))

    assert () == enforced.warnings
    assert 1 == len(monitored.warnings)
    assert (
        f"policy default is in monitor mode: its `{setting.split(':')[0]}`"
        in (monitored.warnings[0])
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "part", "remedy"),
    [
        ("", None, "", "the file is empty", "version: 1"),
        ("[1]", 1, "", "does not hold a mapping", "version: 1"),
        ("word", 1, "", "does not hold a mapping", "version: 1"),
        ("{}\n", 1, "", "the key 'version' is missing", "version: 1"),
        ("{}\n", 1, "", "the key 'signatures' is missing", "pci"),
        ("{}\n", 1, "", "the key 'policies' is missing", "policy"),
        ("version: 2\n", 1, "version", "found '2', expected 1", "version: 1"),
        ('version: "1"\n', 1, "version", "expected 1", "version: 1"),
        ("version: 1\nsignature: [pci]\n", 2, "signature", "unknown key", "did you mean 'sig"),
        ("version: 1\nxyzzy: 1\n", 2, "xyzzy", "unknown key 'xyzzy'", "known here: version"),
        ("state_dir: x/y\n", 1, "state_dir", "relative path", "begin it with /"),
        ("state_dir: [/x]\n", 1, "state_dir", "found a list, expected an absolute path", "write"),
        ("state_dir:\n", 1, "state_dir", "found nothing", "write"),
        ("state_dir: ''\n", 1, "state_dir", "empty text", "write"),
        ("api: x\n", 1, "api", "found 'x', expected a mapping", "key: value"),
        ("api: {unx: /x}\n", 1, "api.unx", "unknown key 'unx'", "did you mean 'unix'?"),
        ("api: {unix: x}\n", 1, "api.unix", "relative path", "begin it with /"),
        (f"api: {{unix: /{'x' * 107}}}\n", 1, "api.unix", "more than 107 bytes", "shorter"),
        ("signatures: pci\n", 1, "signatures", "found 'pci', expected a list", "list"),
        ("signatures: []\n", 1, "signatures", "empty list", "list packs"),
        ("signatures:\n - pci\n - pci\n", 3, "signatures[1]", "listed twice", "remove"),
        ("signatures: [./no.yaml]\n", 1, "signatures[0]", "no pack at this path", "begins at"),
        ("signatures: [PCI!]\n", 1, "signatures[0]", "expected a pack's name", "my-pack"),
        ("workloads: {netns: web}\n", 1, "workloads.netns", "expected a list of names", "list"),
        ("workloads: {netns: [a, a]}\n", 1, "workloads.netns[1]", "listed twice", "remove"),
        ("workloads: {discover: [docker]}\n", 1, "workloads.discover", "not in this", "netns"),
        ("workloads: {new: open}\n", 1, "workloads.new", "unknown key 'new'", "new_workloads"),
        (
            "workloads: {new_workloads: shut}\n",
            1,
            "workloads.new_workloads",
            "found 'shut', expected closed or open",
            "write closed or open",
        ),
        ("workloads: {attach: tcx}\n", 1, "workloads.attach", "expected auto or clsact", "auto"),
        ("workloads: {gate: /docker}\n", 1, "workloads.gate", "expected a list", "list"),
        ("workloads:\n gate:\n - /\n", 3, "workloads.gate[0]", "no path of a cgroup", "/docker"),
        ("workloads: {gate: [docker]}\n", 1, "workloads.gate[0]", "no path", "from the root"),
        ("workloads: {gate: [/docker/]}\n", 1, "workloads.gate[0]", "no path", "no slash"),
        ("workloads: {gate: ['/docker/*']}\n", 1, "workloads.gate[0]", "no path", "no glob"),
        ("workloads: {gate: [/a/../b]}\n", 1, "workloads.gate[0]", "no path", "from the root"),
        ("workloads: {gate: [/a, /a]}\n", 1, "workloads.gate[1]", "listed twice", "remove"),
        ("releases: {trust: no.json}\n", 1, "releases.trust", "no trust at this path", "begins at"),
        ("releases: {development: 1}\n", 1, "releases.development", "true or false", "write"),
        ("releases: {max_size: 16}\n", 1, "releases.max_size", "from 64KiB to 64MiB", "16MiB"),
        ("releases: {rollbacks: 0}\n", 1, "releases.rollbacks", "from 1 to 1000", "range"),
        ("releases: {max_size: 1KiB}\n", 1, "releases.max_size", "from 64KiB to 64MiB", "range"),
        (
            "releases: {max_candidates_per_mb: 0}\n",
            1,
            "releases.max_candidates_per_mb",
            "from 1 to",
            "range",
        ),
        ("cgroup_level: -1\n", 1, "cgroup_level", "found '-1', expected a whole number", "range"),
        ("cgroup_level: '1'\n", 1, "cgroup_level", "expected a whole number", "without quotes"),
        ("cgroup_level: 1.5\n", 1, "cgroup_level", "expected a whole number", "digits"),
        ("policies: []\n", 1, "policies", "found 0 policies", "add a policy"),
        ("policies: {}\n", 1, "policies", "found a mapping, expected a list", "list"),
        ("policies: [x]\n", 1, "policies[0]", "found 'x', expected a mapping", "key: value"),
    ],
)
def test_bad_file(policy_file, text, line, key, part, remedy):
    """Each mistake is told with its line, key, what was found and how to mend it."""
    found = policy_file.problems(text)

    assert any(
        (line, key) == problem[:2] and part in problem[2] and remedy in problem[3]
        for problem in found
    ), found


def test_rollbacks(policy_file, minimal):
    """How far back a host can go is the operator's choice."""
    assert 3 == policy_file.load(minimal + "releases: {rollbacks: 3}\n").releases.rollbacks


def test_all_problems_in_order(policy_file):
    """One reading tells of every mistake, by line, and str() has a line for each."""
    text = "version: 3\nsignatures: []\npolicies:\n  - {name: a, mode: on, rules: x}\nz: 1\n"

    found = policy_file.problems(text)

    assert [1, 2, 4, 4, 5] == [problem[0] for problem in found]
    with pytest.raises(PolicyFileError) as raised:
        load(policy_file.path)
    assert 5 == len(str(raised.value).splitlines())
    assert raised.value.place == raised.value.problems[0].place


def test_a_misspelt_key_is_one_problem(policy_file):
    """A required key that is misspelt is not reported as missing too."""
    found = policy_file.problems("version: 1\nsignatures: [pci]\npolices: []\n")

    assert [(3, "polices")] == [problem[:2] for problem in found]


@pytest.mark.parametrize(
    "secret", ["4111 1111 1111 1111", "078-05-1120", "AKIAIOSFODNN7EXAMPLE", "378282246310005"]
)
def test_no_content_is_repeated(policy_file, minimal, secret):
    """A secret put where a word or number belongs is not printed."""
    for line in (
        f"cgroup_level: {secret}",
        f"state_dir: '{secret}'",
        f"api: {{tcp: '{secret}'}}",
        f"workloads: {{netns: ['{secret}*']}}",
        f"'{secret}': 1",
        f"workloads: {{'{secret}': &a 1}}",
        f"signatures_: ['{secret}', *{secret.split()[0]}]",
        f"x: '{secret}",
        f"x: {{'{secret}': 1, '{secret}': 2}}",
    ):
        policy_file.path.write_text(minimal + line + "\n")
        with pytest.raises(PolicyFileError) as raised:
            load(policy_file.path)
        assert secret not in str(raised.value)


def test_too_many_policies(policy_file):
    """The kernel's table holds 63 policies beside the strictest."""
    entries = "".join(f"  - {{name: p{number}, rules: []}}\n" for number in range(64))
    found = policy_file.problems("version: 1\nsignatures: [pci]\npolicies:\n" + entries)

    assert (3, "policies", "found 64 policies, expected 1 to 63") == found[0][:3]
    assert 63 == len(policy_file.load(policy_file.path.read_text().rsplit("  -", 1)[0]).policies)


def test_workload_without_policy(policy_file):
    """A listed namespace that no policy matches is an error, also with one for cgroups only."""
    text = (
        "version: 1\nsignatures: [pci]\nworkloads:\n  netns:\n    - web\n    - db\n    - api\n"
        "policies:\n  - {name: a, match: {netns: w*}, rules: []}\n"
        "  - {name: b, match: {netns: db, cgroup: /x}, rules: []}\n"
    )

    found = policy_file.problems(text)

    assert [
        (6, "workloads.netns[1]", "no policy matches the namespace 'db'"),
        (7, "workloads.netns[2]", "no policy matches the namespace 'api'"),
    ] == [problem[:3] for problem in found]


@pytest.mark.parametrize("name", ["a/b", "..", "web-*", "a b", "a\tb", "x" * 256])
def test_namespace_names(policy_file, minimal, name):
    """What cannot lie in /run/netns, or is a glob, is no name."""
    found = policy_file.problems(minimal + f'workloads: {{netns: ["{name}"]}}\n')

    assert [(6, "workloads.netns[0]")] == [problem[:2] for problem in found]


def test_further_namespaces(policy_file):
    """Names from the command line are added once each, and checked like those of the file."""
    text = (
        "version: 1\nsignatures: [pci]\nworkloads: {netns: [web]}\n"
        "policies: [{name: a, match: {netns: w*}, rules: []}]\n"
    )
    config = policy_file.load(text)

    config = replace(config, workloads=replace(config.workloads, gate=("/docker",)))

    assert ("/docker",) == with_netns(config, ["wiki"]).workloads.gate
    assert ("web", "wiki") == with_netns(config, ["wiki", "web"]).workloads.netns
    with pytest.raises(PolicyFileError, match="no policy matches the namespace 'db'"):
        with_netns(config, ["db"])
    with pytest.raises(PolicyFileError, match="cannot name"):
        with_netns(config, ["../etc"])
