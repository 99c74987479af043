"""When a child of a gated cgroup may send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.config import NewWorkloads
from dlp.enforcement.admission import LINGER_S, SETTLED_S, Child, Standing
from dlp.workloads.cgroup import Cgroup
from dlp.workloads.occupants import Occupants

CLOSED, OPEN = NewWorkloads.CLOSED, NewWorkloads.OPEN
ENFORCED, AWAITED, UNLISTED = Standing.ENFORCED, Standing.AWAITED, Standing.UNLISTED


class Story:
    """A child, decided about again and again as the gatekeeper does."""

    def __init__(self, *, new: NewWorkloads = CLOSED, inherited: bool = False) -> None:
        self.child = Child(Cgroup("/g/a", 9), 0.0, admitted=inherited, inherited=inherited)
        self.now = 0.0
        self._new = new

    def then(
        self, stands: dict[int, Standing], *, age: float = 0.0, of: dict | None = None
    ) -> bool:
        """Processes run in the namespaces of `stands`; `of`: how others stand."""
        known = stands | (of or {})
        found = Occupants(frozenset(stands), age)
        self.child.admitted = self.child.may_send(
            found, lambda inode: known.get(inode, UNLISTED), self._new, self.now
        )
        return self.child.admitted


def test_listed_waits_for_its_enforcement():
    """A listed namespace is admitted when it is enforced, however old its processes are."""
    story = Story()

    assert not story.then({1: AWAITED}, age=100)
    assert story.then({1: ENFORCED}, age=0)


@pytest.mark.parametrize(("new", "expected"), [(CLOSED, False), (OPEN, True)])
def test_unlisted_is_admitted_once_that_is_known(new, expected):
    """A namespace that is not listed waits until no listing is to be expected; open does not."""
    story = Story(new=new)

    assert expected is story.then({1: UNLISTED}, age=SETTLED_S - 0.1)
    assert story.then({1: UNLISTED}, age=SETTLED_S)


def test_open_does_not_let_listed_ones_out():
    """The gate is for listed namespaces under `open` too."""

    assert not Story(new=OPEN).then({1: AWAITED}, age=100)


def test_start_of_a_container():
    """From the host's namespace over one without a name to one that is listed: never early."""
    story = Story()

    assert not story.then({})
    assert not story.then({1: UNLISTED}, age=0.01)
    assert not story.then({2: UNLISTED}, age=0.02)
    assert not story.then({2: AWAITED}, age=0.03)
    assert story.then({2: ENFORCED}, age=0.04)


def test_all_of_several_namespaces():
    """One that is awaited keeps the child in, whatever the others are."""
    story = Story()

    assert not story.then({1: ENFORCED, 2: AWAITED}, age=100)
    assert story.then({1: ENFORCED, 2: ENFORCED}, age=100)
    assert story.then({1: ENFORCED, 3: UNLISTED}, age=100)


def test_what_was_seen_counts():
    """A process that steps out of an awaited namespace, to come back, gains nothing."""
    story = Story()
    story.then({1: AWAITED}, age=100)

    assert not story.then({2: UNLISTED}, age=100, of={1: AWAITED})
    assert story.then({2: UNLISTED}, age=100, of={1: ENFORCED})


def test_a_namespace_that_is_gone_is_not_awaited():
    """What is not listed any more keeps nobody in."""
    story = Story()
    story.then({1: AWAITED}, age=100)

    assert story.then({2: UNLISTED}, age=100)


def test_enforced_once():
    """A device's fault later cuts nobody off; a namespace of that number made anew waits."""
    story = Story()
    story.then({1: ENFORCED})

    assert story.then({1: AWAITED})
    story.then({2: ENFORCED})
    assert not story.then({1: AWAITED})


def test_listed_later():
    """A namespace that is listed while the child runs waits until it is enforced."""
    story = Story()
    story.then({1: UNLISTED}, age=100)

    assert not story.then({1: AWAITED}, age=101)
    assert story.then({1: ENFORCED}, age=102)


def test_admitted_by_an_earlier_process():
    """What ran when the gateway was restarted goes on; what comes later waits."""
    story = Story(inherited=True)

    assert story.then({1: AWAITED})
    assert not story.then({1: AWAITED, 2: AWAITED})


def test_empty():
    """What an ended process still has to send leaves; after a while the child is as new."""
    story = Story()
    story.then({1: ENFORCED})

    assert story.then({})
    story.now += LINGER_S - 1
    assert story.then({})
    story.now += 1
    assert not story.then({})
    assert not story.then({1: AWAITED}, age=100)
    assert not Story().then({})


@given(
    steps=st.lists(
        st.tuples(
            st.dictionaries(st.integers(1, 3), st.sampled_from(Standing), max_size=3),
            st.floats(0, 3),
        ),
        max_size=8,
    ),
    new=st.sampled_from(NewWorkloads),
)
def test_never_in_an_awaited_namespace(steps, new):
    """A child with a process in a namespace that was never enforced, and is listed, is kept in."""
    story = Story(new=new)
    enforced: set[int] = set()
    for stands, age in steps:
        may_send = story.then(stands, age=age)
        enforced = {one for one in stands if one in enforced or stands[one] is ENFORCED}
        awaited = {one for one in stands if stands[one] is AWAITED} - enforced
        assert not (awaited and may_send)
