"""Which policy a workload has and which action a signature, against a naive reference."""

from datetime import UTC, date, datetime
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.config import Loopback, Match, Policy, PolicyException, Rule, Selection
from dlp.errors import ConfigError
from dlp.model import Action, Mode, Subject
from dlp.policy import STRICTEST, PolicySet, RuleRow, held_signatures

IDS = ("pci.card.visa", "pci.card.amex", "pii.us.ssn", "secrets.aws.key", "secrets.git.hub")
SUBJECTS = tuple(map(Subject, IDS))
ACTIONS = tuple(Action)

globs = st.sampled_from(
    ["*", "pci.*", "pci.card.visa", "pci.card.[!v]*", "*.us.*", "secrets.???.*", "p*", "s*b"]
)
rules = st.builds(
    Rule,
    signatures=st.lists(globs, min_size=1, max_size=3).map(tuple),
    action=st.sampled_from(ACTIONS),
    threshold=st.integers(1, 64),
)
netns_globs = st.lists(st.sampled_from(["web", "w*", "db", "*", "?b", "[a-e]*"]), max_size=2)
cgroup_globs = st.lists(st.sampled_from(["/docker/*", "/docker/a", "*", "/"]), max_size=2)
policies = st.lists(
    st.builds(
        Policy,
        name=st.just("p"),
        match=st.builds(Match, netns=netns_globs.map(tuple), cgroup=cgroup_globs.map(tuple)),
        rules=st.lists(rules, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


def naive_resolve(listed: list[Policy], netns: str, cgroup: str | None) -> int | None:
    """The sentence of the documentation, word by word."""
    for number, policy in enumerate(listed, 1):
        in_netns = not policy.match.netns or any(
            fnmatchcase(netns, glob) for glob in policy.match.netns
        )
        if policy.match.cgroup:
            in_cgroup = cgroup is not None and any(
                fnmatchcase(cgroup, glob) for glob in policy.match.cgroup
            )
        else:
            in_cgroup = True
        if in_netns and in_cgroup:
            return number
    return None


def naive_action(policy: Policy, signature: str) -> RuleRow | None:
    """The first rule one of whose globs fits."""
    for number, rule in enumerate(policy.rules):
        for glob in rule.signatures:
            if fnmatchcase(signature, glob):
                return RuleRow(rule.action, number, rule.threshold, window_s=rule.window_s)
    return None


@given(
    listed=policies,
    netns=st.sampled_from(["web", "db", "wiki", "x"]),
    cgroup=st.sampled_from([None, "/", "/docker/a", "/docker/a/b", "/other"]),
)
def test_resolve(config_of, listed, netns, cgroup):
    """The first policy that matches wins, for sockets of a cgroup and of any."""
    chosen = PolicySet(config_of(*listed), SUBJECTS)
    expected = naive_resolve(listed, netns, cgroup)

    if expected is None:
        with pytest.raises(ConfigError, match="no policy matches"):
            chosen.resolve(netns, cgroup)
    else:
        assert expected == chosen.resolve(netns, cgroup)


@given(listed=policies)
def test_action_for(config_of, listed):
    """Per signature the first rule that names it counts, whatever stands behind it."""
    chosen = PolicySet(config_of(*listed), SUBJECTS)

    for number, policy in enumerate(listed, 1):
        expected = [naive_action(policy, name) for name in IDS]
        assert expected == [chosen.action_for(number, index) for index in range(len(IDS))]
        rows = chosen.kernel_policies(0).policies[number].rules
        assert {index: row for index, row in enumerate(expected) if row} == dict(rows)


@given(listed=policies, netns=st.sampled_from(["web", "db", "x"]))
def test_applicable(config_of, listed, netns):
    """Exactly the policies that some socket of the namespace can have, the own one first."""
    chosen = PolicySet(config_of(*listed), SUBJECTS)
    own = naive_resolve(listed, netns, None)
    cgroups = ("/", "/docker/a", "/docker/b", "/other")
    possible = {naive_resolve(listed, netns, cgroup) for cgroup in cgroups} - {None}

    found = chosen.applicable(netns)
    assert possible <= set(found)
    assert len(found) == len(set(found))
    if own is None:
        assert all(listed[number - 1].match.cgroup for number in found)
    else:
        assert own == found[0]
        assert max(found) == own


def test_names(config_of):
    """Number 0 has a name that no policy of a file can have."""
    chosen = PolicySet(config_of(Policy(name="a"), Policy(name="b")), SUBJECTS)

    assert ("(strictest)", "a", "b") == chosen.names
    assert 3 == len(chosen) == len(chosen.kernel_policies(0).policies)


def test_modes(config_of):
    """Each policy its own mode; the strictest enforces if any does."""
    monitor = Policy(name="m", mode=Mode.MONITOR)
    both = PolicySet(config_of(monitor, Policy(name="e")), SUBJECTS)
    one = PolicySet(config_of(monitor), SUBJECTS)

    assert [Mode.ENFORCE, Mode.MONITOR, Mode.ENFORCE] == [both.mode(n) for n in range(3)]
    assert Mode.MONITOR == one.mode(STRICTEST)


@given(listed=policies)
def test_held_signatures(config_of, listed):
    """A signature is held where, in some policy, the first rule that names it says so."""
    config = config_of(*listed)
    chosen = PolicySet(config, SUBJECTS)

    def held(policy: Policy) -> set[str]:
        rows = ((name, naive_action(policy, name)) for name in IDS)
        return {name for name, row in rows if row is not None and row.action is Action.HOLD}

    expected = set().union(*(held(policy) for policy in listed))
    assert expected == chosen.held_signatures == held_signatures(config, SUBJECTS)
    assert [bool(held(policy)) for policy in listed] == [
        chosen.holds(number) for number in range(1, len(chosen))
    ]


@given(listed=policies, netns=st.sampled_from(["web", "db", "x"]))
def test_holds_for(config_of, listed, netns):
    """A namespace has holds where a policy that its sockets can have holds something."""
    chosen = PolicySet(config_of(*listed), SUBJECTS)

    numbers = chosen.applicable(netns) or (STRICTEST,)
    assert any(chosen.holds(number) for number in numbers) == chosen.holds_for(netns)


def test_strictest_holds_unless_it_drops(config_of):
    """The strictest holds what some policy holds and none drops."""
    hold = Policy(name="h", rules=(Rule(signatures=("pii.*",), action=Action.HOLD),))
    drop = Policy(name="d", rules=(Rule(signatures=("*",), action=Action.DROP),))

    assert PolicySet(config_of(hold), SUBJECTS).holds(STRICTEST)
    assert not PolicySet(config_of(hold, drop), SUBJECTS).holds(STRICTEST)


def test_loopback_for(config_of):
    """One policy that a socket of the namespace can have is enough."""
    scan = {"loopback": Loopback.SCAN}
    chosen = PolicySet(
        config_of(
            Policy(name="a", match=Match(netns=("web",), cgroup=("/x",)), **scan),
            Policy(name="b", match=Match(netns=("web", "db"))),
            Policy(name="c", match=Match(netns=("db",)), **scan),
        ),
        SUBJECTS,
    )

    assert [True, False, True] == [chosen.loopback_for(name) for name in ("web", "db", "none")]


def test_thresholds_of_signatures(config_of):
    """A rule without a threshold takes each signature's, and counts its values alone."""
    mails = Subject("pii.bulk.email", category="contact", threshold=50)
    other = Subject("pii.us.ssn", category="national-id")
    select = Selection(category=("contact", "national-id"))
    default = Rule(select=select, action=Action.DROP)
    given = Rule(signatures=("pii.*",), action=Action.DROP, threshold=3)
    named = Rule(signatures=("pii.*",), action=Action.ALERT, threshold=1)
    chosen = PolicySet(
        config_of(
            *(Policy(name=f"p{rule.threshold}", rules=(rule,)) for rule in (default, given, named))
        ),
        (mails, other),
    )

    assert RuleRow(Action.DROP, 0, 50, alone=mails.id) == chosen.action_for(1, 0)
    assert RuleRow(Action.DROP, 0, 1) == chosen.action_for(1, 1)
    assert {RuleRow(Action.DROP, 0, 3)} == {chosen.action_for(2, index) for index in (0, 1)}
    assert {RuleRow(Action.ALERT, 0, 1)} == {chosen.action_for(3, index) for index in (0, 1)}
    assert RuleRow(Action.DROP, 0, 3) == chosen.action_for(STRICTEST, 0)


def test_unknown_signature(config_of):
    """A rule that names no signature of the set is an error."""
    rule = Rule(signatures=("nothing.*",), action=Action.DROP)

    with pytest.raises(ConfigError, match="no signature matches"):
        PolicySet(config_of(Policy(name="a", rules=(rule,))), SUBJECTS)


def at(day: date) -> float:
    """Midnight in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def test_exceptions_expire(config_of):
    """An exception is in force up to the midnight, UTC, with which its day begins."""
    early = PolicyException(digest=b"e" * 32, until=date(2027, 1, 1), reason="x")
    late = PolicyException(digest=b"l" * 32, until=date(2027, 3, 1), reason="y")
    chosen = PolicySet(
        config_of(
            Policy(name="a", exceptions=(late, early)), Policy(name="b", exceptions=(early,))
        ),
        SUBJECTS,
    )
    first, second = at(early.until), at(late.until)

    def in_force(now: float) -> list[tuple[bytes, ...]]:
        return [policy.exceptions for policy in chosen.kernel_policies(now).policies]

    assert [(), (late.digest, early.digest), (early.digest,)] == in_force(first - 0.001)
    assert [(), (late.digest,), ()] == in_force(first)
    assert [(), (), ()] == in_force(second)
    assert [first, second, second, None] == [
        chosen.next_expiry(now) for now in (0, first, second - 1, second)
    ]
    assert first == chosen.kernel_policies(0).next_expiry
    assert () == chosen.expired(first - 0.001)
    assert (("a", early), ("b", early)) == chosen.expired(first)


def test_excepted(config_of):
    """An exception counts for its own policy, while it is in force, and never for the strictest."""
    entry = PolicyException(digest=b"e" * 32, until=date(2027, 1, 1), reason="x")
    chosen = PolicySet(config_of(Policy(name="a", exceptions=(entry,)), Policy(name="b")), SUBJECTS)
    end = at(entry.until)

    assert [False, True, False] == [
        chosen.excepted(number, entry.digest, end - 1) for number in range(3)
    ]
    assert not chosen.excepted(1, entry.digest, end)
    assert not chosen.excepted(1, b"f" * 32, end - 1)
