"""Links of TCX: first in the chain, pinned, replaced in place; and their pins."""

import os
from pathlib import Path

import pytest

from dlp.datapath import libbpf, links
from dlp.datapath.links import Hook, NoDeviceError, Pins
from dlp.datapath.rtnetlink import Netlink
from dlp.errors import KernelError
from tests.netlab import DEVICE, inside, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

if not links.supported():
    pytest.skip("TCX needs kernel 6.6", allow_module_level=True)

NEXT = bytes.fromhex("b7000000ffffffff9500000000000000")  # return TC_ACT_UNSPEC


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def index(pair):
    """Of the workload's device; the test's thread stays in its namespace."""
    with inside(pair.inner):
        netlink = Netlink()
        found = next(link.index for link in netlink.links() if link.name == DEVICE)
        netlink.close()
        yield found


@pytest.fixture
def programs():
    """Makes programs, each a copy of its own; closed at the end."""
    made: list[int] = []

    def make(name: str = "test") -> int:
        made.append(libbpf.load_program(name, NEXT))
        return made[-1]

    yield make
    for fd in made:
        os.close(fd)


@pytest.fixture
def linked(index, programs):
    """A link on the device's egress."""
    fd = links.create(programs(), index, Hook.EGRESS)
    yield fd
    os.close(fd)


@pytest.fixture
def pins(links_path):
    """An empty directory's."""
    return Pins(links_path)


# -- links -----------------------------------------------------------------------------------------


def test_first_in_the_chain(index, linked, programs):
    """Each new link goes before those that are there."""
    second = links.create(programs(), index, Hook.EGRESS)
    order = [one.link for one in links.order(index, Hook.EGRESS)]
    ids = [links.info(each).id for each in (second, linked)]
    os.close(second)

    assert ids == order


def test_what_is_told_of_a_link(index, linked):
    """Its device, its hook and its program."""
    found = links.info(linked)
    ((program, number),) = [(one.program, one.link) for one in links.order(index, Hook.EGRESS)]

    assert (index, Hook.EGRESS, program, number) == (
        found.index,
        found.hook,
        found.program,
        found.id,
    )
    assert "test" == links.program_name(found.program)
    assert (number, "test") in list(links.everywhere(Hook.EGRESS))
    assert number not in dict(links.everywhere(Hook.INGRESS))


def test_updated_in_place(index, linked, programs):
    """Another program takes the place of the link's; the link is the same."""
    before = links.info(linked)
    links.update(linked, programs("other"))
    after = links.info(linked)

    assert before.id == after.id
    assert "other" == links.program_name(after.program)


def test_same_program_twice(index, programs):
    """One copy can be on a device once only."""
    program = programs()
    first = links.create(program, index, Hook.EGRESS)
    with pytest.raises(KernelError, match="File exists"):
        links.create(program, index, Hook.EGRESS)
    os.close(first)


def test_detached(index, linked, programs):
    """It hangs on no device then, and takes no other program; once more is no error."""
    links.detach(linked)
    links.detach(linked)

    assert 0 == links.info(linked).index
    assert () == links.order(index, Hook.EGRESS)
    with pytest.raises(KernelError, match="severed"):
        links.update(linked, programs())


def test_cut_by_its_id(index, linked):
    """Whoever holds it; one that is gone is told."""
    number = links.info(linked).id

    assert links.cut(number)
    assert () == links.order(index, Hook.EGRESS)
    assert not links.cut((1 << 31) - 1)


def test_device_that_is_gone(index, linked, pair, programs):
    """An error of its own for questions, and a link that hangs on nothing."""
    sh(f"ip -n {pair.inner} link del {DEVICE}")

    assert 0 == links.info(linked).index
    with pytest.raises(NoDeviceError):
        links.order(index, Hook.EGRESS)
    with pytest.raises(KernelError):
        links.create(programs(), index, Hook.EGRESS)


def test_no_link_at_all(programs):
    """A descriptor of something else is refused."""
    with pytest.raises(KernelError):
        links.info(programs())


# -- pins ------------------------------------------------------------------------------------------


def kept(pins: Pins) -> list[str]:
    return sorted(path.name for path in pins.directory.iterdir())


def test_pinned(index, linked, pins):
    """By namespace, device, hook and id; another process finds it."""
    pins.prepare()
    number = pins.add(linked, f"77-{index}-egress")
    others = Pins(pins.directory)
    fd = others.open(number)

    assert [f"77-{index}-egress-{number}"] == kept(pins)
    assert number in others
    assert [number] == list(others)
    assert Hook.EGRESS is others.hook(number)
    assert fd is not None
    assert number == links.info(fd).id
    os.close(fd)


def test_pin_outlives_the_descriptor(index, programs, pins):
    """The link is there for as long as its pin is."""
    pins.prepare()
    fd = links.create(programs(), index, Hook.EGRESS)
    number = pins.add(fd, f"77-{index}-egress")
    os.close(fd)
    during = [one.link for one in links.order(index, Hook.EGRESS)]
    pins.update(number, programs("other"))
    gone = pins.detach(number)

    assert [number] == during
    assert gone
    assert () == links.order(index, Hook.EGRESS)
    assert [] == kept(pins)
    assert not pins.detach(number)


def test_others_pins_are_left(index, linked, pins):
    """What lies beside links under another kind of name is not ours to touch."""
    pins.prepare()
    libbpf.pin(linked, pins.directory / "gate-5")
    others = Pins(pins.directory)
    others.sweep()

    assert [] == list(others)
    assert ["gate-5"] == kept(pins)
    (pins.directory / "gate-5").unlink()


def test_sweep(index, linked, pair, pins):
    """Links whose device is gone are unpinned, others stay."""
    pins.prepare()
    number = pins.add(linked, f"77-{index}-egress")
    before = pins.sweep()
    sh(f"ip -n {pair.inner} link del {DEVICE}")

    assert [] == before
    assert [number] == pins.sweep()
    assert [] == kept(pins)
    assert number not in pins


def test_pin_that_another_removed(index, linked, programs, pins):
    """It is told, and forgotten."""
    pins.prepare()
    number = pins.add(linked, f"77-{index}-egress")
    (pins.directory / kept(pins)[0]).unlink()

    assert pins.info(number) is None
    with pytest.raises(KernelError, match="its pin is gone"):
        pins.update(number, programs())
    assert [number] == pins.sweep()


def test_no_bpffs(tmp_path: Path):
    """Where links cannot be pinned, that is said before one is made, with what to do."""
    with pytest.raises(KernelError, match="lies in no BPF file system") as raised:
        Pins(tmp_path / "links").prepare()

    assert "mounted" in raised.value.remedy


def test_read_only(tmp_path: Path):
    """A bpffs that cannot be written in is told likewise."""
    sh(f"mount -t bpf bpf {tmp_path}")
    try:
        sh(f"mount -o remount,ro {tmp_path}")
        with pytest.raises(KernelError, match="cannot be made: Read-only"):
            Pins(tmp_path / "links").prepare()
    finally:
        sh(f"umount {tmp_path}")


def test_missing_directory(tmp_path: Path):
    """Nothing is pinned where nothing is."""

    assert [] == list(Pins(tmp_path / "none"))
