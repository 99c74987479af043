"""The releases of a running gateway, with everything but the kernel and the processes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from dlp.config import load
from dlp.enforcement.candidates import Sample
from dlp.enforcement.loaded import make
from dlp.enforcement.releases import Releases
from dlp.enforcement.restored import restore
from dlp.enforcement.vault import Vault
from dlp.errors import (
    ConfigError,
    ConflictError,
    KernelError,
    PackError,
    ReleaseError,
    StoreError,
    UsageError,
)
from dlp.model import Action
from dlp.releases.canary import Canary
from dlp.releases.life import State
from dlp.signatures.compiler import compile_packs
from dlp.signatures.subjects import subjects
from dlp.store.verdicts import VerdictStore
from tests.releases.conftest import OTHER, PACK, Makes

FILE_PACK = PACK.replace("own", "base").replace("LONGKEY", "BASEKEY")
POLICY = """\
version: 1
state_dir: {dir}/state
signatures: [./base.yaml]
releases: {{trust: root.json{more}}}
workloads: {{netns: [web, db]}}
policies:
  - name: default
    rules: [{{signatures: ["*"], action: drop}}]
"""
THEN = datetime.now(UTC) + timedelta(days=9)


def pack(word="LONGKEY", name="own"):
    return {name: PACK.replace("own", name).replace("LONGKEY", word).encode()}


async def chunks(raw, size=1000):
    for at in range(0, len(raw), size):
        yield raw[at : at + size]


@contextlib.asynccontextmanager
async def compile_here(packs, *, cache):
    yield Here(packs)


class Here:
    """The compiler in this process."""

    def __init__(self, packs):
        self.packs = packs

    async def subjects(self):
        return subjects(self.packs)

    async def image(self, held):
        return compile_packs(self.packs, held=held)


class Host:
    """A gateway without a kernel: what runs is what was switched to last."""

    def __init__(self, directory, makes):
        self.directory = directory
        self.makes = makes
        self.config = directory / "dlp.yaml"
        (directory / "base.yaml").write_text(FILE_PACK)
        (directory / "root.json").write_bytes(makes.root_bytes)
        self.write()
        self.failure = None
        self.switches = []
        self.incidents = []
        self.asked = asyncio.Event()  # a switch has begun
        self.gate = asyncio.Event()
        self.gate.set()

    def write(self, more=""):
        self.config.write_text(POLICY.format(dir=self.directory, more=more))

    async def start(self):
        config = load(self.config)
        self.store = await VerdictStore.open(config.verdicts_file)
        self.vault = Vault(config.releases_dir)
        self.restored = await restore(config, self.store.releases, self.vault)
        self.loaded = make(config, self.restored.sets)
        self.releases = Releases(
            self.store.releases,
            self.vault,
            self.restored,
            loaded=lambda: self.loaded,
            switch=self.switch,
            compile_=compile_here,
            tell=self.incidents.append,
            log=structlog.get_logger(),
        )

    async def switch(self, loaded):
        self.asked.set()
        await self.gate.wait()
        if self.failure is not None and loaded.sets.release == self.failure:
            raise KernelError("the kernel refuses")
        self.switches.append(loaded)
        self.loaded = loaded

    async def restart(self):
        await self.store.close()
        await self.start()

    async def upload(self, version, packs=None, **more):
        raw = self.makes.release(version, packs or pack(), **{"expires": THEN, **more})
        return await self.releases.upload(chunks(raw), by="token ci")

    async def states(self):
        return {one.version: one.state.value for one in await self.releases.all()}

    def files(self):
        return sorted(path.name for path in (self.directory / "state/releases").glob("*"))

    def ids(self):
        return [one.id for one in self.loaded.image.signatures]


@pytest.fixture(scope="session")
def fresh():
    makes = Makes()
    makes.root.signed.expires = THEN.replace(microsecond=0)
    makes.root.sign(makes.keys[0].signer)
    return makes


@pytest.fixture
async def host(tmp_path, fresh):
    made = Host(tmp_path, fresh)
    await made.start()
    yield made
    await made.store.close()


async def test_way(host):
    """Uploaded, shadow, canary, live: each step is in the audit with who took it."""
    release = await host.upload(7)
    assert (State.COMPILED, 1, ("own",)) == (
        release.state,
        release.signatures,
        tuple(one.name for one in release.packs),
    )
    assert ["base.key.long"] == host.ids()

    await host.releases.shadow(7, by="token a")
    assert ["base.key.long", "own.key.long"] == host.ids()
    await host.releases.activate(7, canary=Canary(netns=("web",)), by="token b")
    live = await host.releases.activate(7, canary=None, by="token c")

    assert ["own.key.long"] == host.ids()
    assert (State.LIVE, 0) == (live.state, live.before)
    assert [
        ("token ci", "upload", "", "uploaded"),
        ("token ci", "verify", "uploaded", "verified"),
        ("token ci", "compile", "verified", "compiled"),
        ("token a", "shadow", "compiled", "shadow"),
        ("token b", "activate", "shadow", "canary"),
        ("token c", "activate", "canary", "live"),
    ] == [(one.who, one.what, one.before, one.after) for one in reversed(live.steps)]


async def test_shadow_does_nothing(host):
    """In shadow the candidate's rules are marked, in a canary its workloads have its policies."""
    await host.upload(7)
    await host.releases.shadow(7, by="x")
    rows = host.loaded.policies.kernel_policies(0.0).policies
    assert 2 == len(rows)
    assert [(False, Action.DROP), (True, Action.DROP)] == [
        (row.shadow, row.action) for row in rows[1].rules.values()
    ]

    await host.releases.activate(7, canary=Canary(netns=("w*",)), by="x")
    policies = host.loaded.policies
    web, db = policies.resolve("web", None), policies.resolve("db", None)
    rows = policies.kernel_policies(0.0).policies
    assert {1: False} == {index: row.shadow for index, row in rows[web].rules.items()}
    assert {0: False, 1: True} == {index: row.shadow for index, row in rows[db].rules.items()}
    assert policies.names[web] == policies.names[db] == "default"


async def test_idempotent(host):
    """The same archive, the same step again: the same release, nothing switched, no step."""
    first = await host.upload(7)
    raw = host.makes.release(7, pack(), expires=THEN)
    assert first == await host.releases.upload(chunks(raw), by="other")
    for call in (
        lambda: host.releases.shadow(7, by="x"),
        lambda: host.releases.activate(7, canary=Canary(percent=5), by="x"),
        lambda: host.releases.activate(7, canary=None, by="x"),
        lambda: host.releases.rollback(7, reason="", by="x"),
    ):
        once, switched = await call(), len(host.switches)
        assert once == await call()
        assert switched == len(host.switches)


async def test_rollback(host):
    """A rollback brings back what was live before, at last the policy file's packs."""
    for version, word in ((7, "LONGKEY"), (8, "ELSEKEY")):
        await host.upload(version, pack(word))
        await host.releases.activate(version, canary=None, by="x")
    assert {8: "live", 7: "superseded"} == await host.states()

    await host.releases.rollback(8, reason="false alarms", by="ops")
    assert {8: "superseded", 7: "live"} == await host.states()
    assert "LONGKEY" in host.loaded.image.signatures[0].regex
    await host.releases.rollback(7, reason="", by="ops")
    assert {8: "superseded", 7: "superseded"} == await host.states()
    assert ["base.key.long"] == host.ids()
    assert "false alarms" == (await host.releases.get(8)).reason


async def test_archives(host):
    """So many rollbacks in a row as are asked for have their archive; other archives go."""
    host.write(", rollbacks: 2")
    await host.restart()
    archives = {}
    for version in range(1, 6):
        archives[version] = host.makes.release(version, pack(f"KEY{version}KEY"), expires=THEN)
        await host.releases.upload(chunks(archives[version]), by="ci")
        await host.releases.activate(version, canary=None, by="x")
    (host.directory / "state/releases/99.dlp").write_bytes(b"of an upload that was killed")
    await host.releases.rollback(5, reason="", by="x")
    assert ["3.dlp", "4.dlp"] == [name for name in host.files() if name.endswith(".dlp")]

    await host.releases.rollback(4, reason="", by="x")
    with pytest.raises(ReleaseError) as caught:
        await host.releases.rollback(3, reason="", by="x")
    assert "missing" == caught.value.reason
    assert "KEY3KEY" in host.loaded.image.signatures[0].regex

    again = await host.releases.upload(chunks(archives[2]), by="ci")
    assert (2, State.SUPERSEDED) == (again.version, again.state)
    await host.releases.rollback(3, reason="", by="x")
    assert "KEY2KEY" in host.loaded.image.signatures[0].regex


async def test_no_way_back(host):
    """What was once installed bounds what may come: old versions neither return nor arrive."""
    await host.upload(7)
    await host.upload(9, pack("NINEKEY"))
    await host.releases.activate(9, canary=None, by="x")
    assert "superseded" == (await host.states())[7]

    for call in (host.releases.shadow(7, by="x"), host.releases.activate(7, canary=None, by="x")):
        with pytest.raises(ConflictError) as caught:
            await call
        assert "superseded" == caught.value.state
    await host.releases.rollback(9, reason="", by="x")
    with pytest.raises(ReleaseError) as refused:
        await host.upload(8)
    assert "old" == refused.value.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signers": (0,)}, "threshold"),
        ({"signers": (0, "stranger")}, "unknown_key"),
        ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
    ],
)
async def test_refused(host, change, reason):
    """A refused upload leaves its reason in the audit and nothing else."""
    with pytest.raises(ReleaseError) as caught:
        await host.upload(7, **change)

    assert reason == caught.value.reason
    assert ({}, []) == (await host.states(), host.files())
    (step,) = await host.store.releases.steps()
    assert (0, "upload", "rejected") == (step.version, step.what, step.after)
    assert [] == host.switches


async def test_large_and_cut(host):
    """An upload above the limit, and one that breaks off, leave no file behind."""

    async def endless():
        while True:
            yield bytes(1 << 20)

    async def cut():
        yield b"abc"
        raise ConnectionResetError

    with pytest.raises(ReleaseError) as caught:
        await host.releases.upload(endless(), by="x")
    assert "too_large" == caught.value.reason
    with pytest.raises(ConnectionResetError):
        await host.releases.upload(cut(), by="x")
    assert [] == host.files()
    assert State.COMPILED is (await host.upload(7)).state


async def test_bad_packs(host):
    """Packs that do not compile or that the policies do not fit are rejected, and may come anew."""
    wrong = pack()
    wrong["own"] = wrong["own"].replace(b'"LONGKEY-ABC"', b'"LONGKEY-ABCDEFGHIJ12"')
    with pytest.raises(PackError) as caught:
        await host.upload(7, wrong)
    assert "release-7/packs/own.yaml" == str(caught.value.place.file)
    assert {7: "rejected"} == await host.states()
    with pytest.raises(ConflictError):
        await host.releases.activate(7, canary=None, by="x")

    assert State.COMPILED is (await host.upload(7)).state
    host.config.write_text(host.config.read_text().replace('["*"]', '["base.*"]'))
    await host.releases.reload(load(host.config))
    with pytest.raises(ConfigError):
        await host.upload(8, pack("ELSEKEY"))
    assert ["base.key.long"] == host.ids()


def at(old, new):
    """The pack with another text at one place."""
    assert old in PACK
    return PACK.replace(old, new)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n" + PACK
AGAIN = PACK + PACK.partition("signatures:\n")[2]
ENDLESS = at("[A-Z0-9]{12}(", "(?:[A-Z0-9]{12}|(?:A|A)+B)(").replace(
    '"LONGKEY-ABC"', f'"LONGKEY-{40 * "A"}"'
)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (at("    name: Long key", "    name: Long key\n    colour: red"), 7, "extra inputs"),
        (at("version: 1", "version: 1\ncolour: red"), 3, "extra inputs"),
        (ENDLESS, 10, "signature own.key.long: its samples cannot be tried within 2 s"),
        (at("regex: '", r"regex: '(a)\1"), 10, "signature own.key.long: regex uses a back-ref"),
        (at("{12}(", "{12}(("), 10, "signature own.key.long: regex does not parse"),
        (AGAIN, 13, "signature own.key.long is there twice, also at release-7/packs/own.yaml:5"),
        (at('"LONGKEY-ABC"', '"LONGKEY-ABCDEFGHIJ12"'), 12, "own.key.long: must_not_match[0] mat"),
        (at(', "LONGKEY-000000000000"', ""), 11, "own.key.long has fewer than 3 samples"),
        (at("must_match: [", "must_match: &a ["), 11, "YAML anchors and aliases are refused"),
        (BOMB, 1, "YAML anchors and aliases are refused"),
        (at("name: Long key", "name: !!python/name:os.system"), 6, "YAML tags are refused"),
        (at("severity: high", "severity: high\n    severity: low"), 8, "key is there twice"),
        ("pack: own\nx: " + 5000 * "[", 2, "exceeded maximum nesting depth"),
        ("pack: [own\n", 2, "is not YAML"),
    ],
)
async def test_bad_content(host, text, line, told):
    """Signed, and bad all the same: refused with file, line and signature; nothing changes."""
    await host.upload(6)
    await host.releases.activate(6, canary=None, by="x")
    before, ran = host.loaded, len(host.switches)

    with pytest.raises(PackError) as caught:
        await host.upload(7, {"own": text.encode()})

    place = caught.value.place
    assert ("release-7/packs/own.yaml", line) == (str(place.file), place.line)
    assert told in caught.value.message
    release = await host.releases.get(7)
    assert (State.REJECTED, str(caught.value)) == (release.state, release.reason)
    assert "LONGKEY-A" not in release.reason
    assert ({7: "rejected", 6: "live"}, before, ran) == (
        await host.states(),
        host.loaded,
        len(host.switches),
    )


async def test_other_content(host):
    """A version that is there is not replaced by another content."""
    await host.upload(7)

    with pytest.raises(ConflictError) as caught:
        await host.upload(7, pack("ELSEKEY"))
    assert "compiled" == caught.value.state


async def test_race(host):
    """Of two clients at one time one acts; the other is told so, with the state."""
    await host.upload(7)
    host.gate.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(host.releases.activate(7, canary=None, by="a"))
        await host.asked.wait()
        for call in (
            host.releases.activate(7, canary=None, by="b"),
            host.releases.shadow(7, by="b"),
            host.releases.rollback(7, reason="", by="b"),
        ):
            with pytest.raises(ConflictError) as caught:
                await call
            assert "compiled" == caught.value.state
        host.gate.set()

    assert State.LIVE is first.result().state
    assert 1 == len(host.switches)


class Slow(Here):
    """A compiler that waits to be let go on."""

    begun = gate = None

    async def image(self, held):
        self.begun.set()
        await self.gate.wait()
        return await super().image(held)


@pytest.fixture
def slow(host):
    """Uploads wait in the compiler until the event is set."""
    Slow.begun, Slow.gate = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def compiling(packs, *, cache):
        yield Slow(packs)

    usual, host.releases._runner._compile = host.releases._runner._compile, compiling
    yield Slow.gate
    host.releases._runner._compile = usual


async def arriving(host, group, version):
    """An upload that is being compiled."""
    Slow.begun.clear()
    task = group.create_task(host.upload(version, pack("ELSEKEY")))
    await Slow.begun.wait()
    return task


async def test_change_meanwhile(host, slow):
    """While one is compiled, what runs can be rolled back; a second upload is told to wait."""
    slow.set()
    await host.upload(7)
    await host.releases.activate(7, canary=None, by="x")
    slow.clear()
    async with asyncio.TaskGroup() as group:
        task = await arriving(host, group, 8)
        with pytest.raises(ConflictError, match="another upload"):
            await host.upload(9)
        with pytest.raises(ConflictError) as caught:
            await host.releases.activate(8, canary=None, by="x")
        assert "verified" == caught.value.state
        slow.set()
        await host.releases.rollback(7, reason="false alarms", by="x")

    assert State.COMPILED is task.result().state
    assert {8: "compiled", 7: "superseded"} == await host.states()


async def test_overtaken(host, slow):
    """One that is compiled while a newer one goes live is superseded, and stays so."""
    slow.set()
    await host.upload(9)
    slow.clear()
    async with asyncio.TaskGroup() as group:
        task = await arriving(host, group, 8)
        await host.releases.activate(9, canary=None, by="x")
        slow.set()

    assert State.SUPERSEDED is task.result().state
    assert {9: "live", 8: "superseded"} == await host.states()


async def test_interrupted(host, slow):
    """One whose compiler died with the gateway is compiled when it comes again."""
    async with asyncio.TaskGroup() as group:
        task = await arriving(host, group, 8)
        task.cancel()
    await host.restart()
    assert {8: "verified"} == await host.states()

    with pytest.raises(ConflictError, match="another content"):
        await host.upload(8)
    assert State.COMPILED is (await host.upload(8, pack("ELSEKEY"))).state


async def test_reloaded_meanwhile(host, slow):
    """What was compiled for another policy file is made anew before it runs."""
    async with asyncio.TaskGroup() as group:
        await arriving(host, group, 8)
        host.config.write_text(host.config.read_text().replace("drop", "alert"))
        host.releases._runner._compile, waits = compile_here, host.releases._runner._compile
        await host.releases.reload(load(host.config))
        host.releases._runner._compile = waits
        slow.set()
    await host.releases.activate(8, canary=None, by="x")

    (row,) = host.loaded.policies.kernel_policies(0.0).policies[1].rules.values()
    assert Action.ALERT is row.action


async def test_clients_at_once(host):
    """Whatever four clients ask for at one time: one set runs, as written, and each step is too."""
    for version in range(1, 11):
        await host.upload(version, pack(f"{'ABCDEFGHIJ'[version - 1]}KEYKEY"))
    answers = {"done": 0, "conflict": 0}

    async def slow(loaded):
        await asyncio.sleep(0.002)
        await Host.switch(host, loaded)

    host.releases._runner._switch = slow

    async def client(seed):
        chance = random.Random(seed)
        for turn in range(32):
            version = chance.randint(turn // 4 + 1, turn // 4 + 3)
            call = chance.choice(
                (
                    lambda n: host.releases.shadow(n, by=f"client {seed}"),
                    lambda n: host.releases.activate(n, canary=None, by=f"client {seed}"),
                    lambda n: host.releases.activate(
                        n, canary=Canary(percent=5), by=f"client {seed}"
                    ),
                    lambda n: host.releases.rollback(n, reason="", by=f"client {seed}"),
                )
            )
            try:
                await call(version)
                answers["done"] += 1
            except ConflictError:
                answers["conflict"] += 1
            await asyncio.sleep(chance.random() / 25)

    async with asyncio.TaskGroup() as group:
        for seed in range(4):
            group.create_task(client(seed))

    assert min(answers.values()) > 10
    states = await host.states()
    sets = host.loaded.sets
    running = [version for version, state in states.items() if state == "live"]
    assert running == ([sets.release] if sets.release else [])
    beside = [version for version, state in states.items() if state in {"shadow", "canary"}]
    assert beside == ([sets.beside.version] if sets.beside else [])
    for version in states:
        steps = list(reversed((await host.releases.get(version)).steps))
        assert ["", *(one.after for one in steps)][:-1] == [one.before for one in steps]
        assert states[version] == steps[-1].after
        assert all(one.who.startswith(("token ci", "client ")) for one in steps)


@pytest.mark.parametrize("what", ["shadow", "activate", "rollback"])
async def test_unwritten(host, monkeypatch, what):
    """A change that cannot be written down is undone: what ran runs, and may be changed again."""
    await host.upload(7)
    await host.releases.activate(7, canary=None, by="x")
    await host.upload(8, pack("ELSEKEY"))
    calls = {
        "shadow": lambda: host.releases.shadow(8, by="x"),
        "activate": lambda: host.releases.activate(8, canary=None, by="x"),
        "rollback": lambda: host.releases.rollback(7, reason="", by="x"),
    }

    async def full(*_):
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(host.store.releases, "record", full)
        with pytest.raises(StoreError):
            await calls[what]()
    assert {8: "compiled", 7: "live"} == await host.states()
    assert (7, None) == (host.loaded.sets.release, host.loaded.sets.beside)
    await host.releases.activate(8, canary=None, by="x")
    await host.releases.rollback(8, reason="", by="x")
    assert 7 == host.loaded.sets.release


async def test_load_failure(host):
    """A release that the kernel refuses is rejected, what ran runs on, and it is told."""
    await host.upload(7)
    await host.releases.activate(7, canary=None, by="x")
    await host.upload(8, pack("ELSEKEY"))
    host.failure = 8

    with pytest.raises(KernelError):
        await host.releases.activate(8, canary=None, by="x")

    assert {8: "rejected", 7: "live"} == await host.states()
    assert 7 == host.loaded.sets.release
    assert "kernel refuses" in (await host.releases.get(8)).reason
    assert ["load_failed"] == [one.what for one in host.incidents]


async def test_candidates(host):
    """A release that proposes more than twice what the one before did goes back by itself."""
    await host.upload(7)
    await host.releases.activate(7, canary=None, by="x")
    await host.upload(8, pack("ELSEKEY"))
    mb = 1_000_000
    for second in range(5):
        await host.releases.observe(Sample(float(second), 4000 * second, second * mb))
    await host.releases.activate(8, canary=None, by="x")
    await host.releases.observe(Sample(5.0, 16_000 + 7000, 5 * mb))
    assert {8: "live", 7: "superseded"} == await host.states()
    await host.releases.observe(Sample(6.0, 23_000 + 15_000, 6 * mb))

    assert {8: "rejected", 7: "live"} == await host.states()
    release = await host.releases.get(8)
    assert "candidates per MB, 8000 are allowed" in release.reason
    assert "gateway" == release.steps[0].who
    assert ["candidates"] == [one.what for one in host.incidents]


async def test_restart(host):
    """The live release and a canary survive a restart; nothing runs without being verified."""
    await host.upload(7)
    await host.releases.activate(7, canary=None, by="x")
    await host.upload(8, pack("ELSEKEY"))
    await host.releases.activate(8, canary=Canary(netns=("web",)), by="x")
    await host.restart()

    assert (7, 8) == (host.loaded.sets.release, host.loaded.sets.beside.version)
    assert Canary(netns=("web",)) == host.loaded.sets.beside.canary
    assert [] == host.releases.problems(time.time())


async def test_altered_at_rest(host):
    """An archive altered on disk is not run: what was live before is, and it is told."""
    for version, word in ((7, "LONGKEY"), (8, "ELSEKEY")):
        await host.upload(version, pack(word))
        await host.releases.activate(version, canary=None, by="x")
    for version, now in ((8, 7), (7, 0)):
        path = host.directory / f"state/releases/{version}.dlp"
        path.write_bytes(path.read_bytes().replace(b"For tests", b"for tests"))
        await host.restart()
        assert now == host.loaded.sets.release
        assert any(f"release {version}" in one for one in host.releases.problems(time.time()))
    assert {8: "rejected", 7: "rejected"} == await host.states()
    assert ["base.key.long"] == host.ids()


async def test_swapped_at_rest(host):
    """One release's archive under another's name is refused."""
    for version, word in ((7, "LONGKEY"), (8, "ELSEKEY")):
        await host.upload(version, pack(word))
    directory = host.directory / "state/releases"
    (directory / "8.dlp").write_bytes((directory / "7.dlp").read_bytes())

    with pytest.raises(ReleaseError, match="holds release 7"):
        await host.releases.activate(8, canary=None, by="x")


async def test_expiry(host):
    """A live release that expires stays live, and it is said once as an incident, and on."""
    await host.upload(7, expires=datetime.now(UTC) + timedelta(seconds=3600))
    await host.releases.activate(7, canary=None, by="x")
    later = time.time() + 3601

    assert [] == host.releases.problems(time.time())
    host.releases.expire(later)
    host.releases.expire(later)
    assert ["expired"] == [one.what for one in host.incidents]
    assert 1 == len(host.releases.problems(later))
    assert "release 7 has expired" in host.releases.problems(later)[0]
    assert {7: "live"} == await host.states()


async def test_reload(host):
    """A reload keeps the release that is live, and reads the file's packs where none is."""
    await host.upload(7)
    await host.releases.activate(7, canary=None, by="x")
    (host.directory / "base.yaml").write_text(FILE_PACK.replace("BASEKEY", "SOMEKEY"))
    await host.releases.reload(load(host.config))
    assert ["own.key.long"] == host.ids()

    await host.releases.rollback(7, reason="", by="x")
    await host.releases.reload(load(host.config))
    assert "SOMEKEY" in host.loaded.image.signatures[0].regex


async def test_diff(host):
    """The difference of two sets is told before any of the candidate has run."""
    await host.upload(7)

    found = await host.releases.diff(7)
    assert (("own.key.long",), ("base.key.long",), 0) == (found.added, found.removed, found.against)
    with pytest.raises(UsageError):
        await host.releases.diff(8)


async def test_no_trust(host):
    """A gateway that trusts nobody takes nothing."""
    host.config.write_text(host.config.read_text().replace("trust: root.json", ""))
    await host.restart()

    with pytest.raises(ConflictError, match="trusts nobody"):
        await host.upload(7)


async def test_development(host):
    """Packs and signatures go in unsigned where the file says so, until a release is live."""
    body = "\n".join(
        line[4:] for line in FILE_PACK.replace("BASEKEY", "EDITKEY").splitlines()[5:]
    ).encode()
    with pytest.raises(ConflictError, match="development mode is off"):
        await host.releases.put_signature("base.key.long", b"id: base.key.long\n" + body, by="x")
    host.write(", development: true")
    await host.restart()

    body = b"id: base.key.long\n" + body
    made = await host.releases.put_signature("base.key.long", body, by="x")
    assert ("base.key.long",) == made.signatures
    assert "EDITKEY" in host.loaded.image.signatures[0].regex
    await host.releases.put_pack("other", OTHER.encode(), by="x")
    assert ["base.key.long", "other.key.long"] == host.ids()
    assert any("signed by nobody" in one for one in host.releases.problems(time.time()))

    await host.restart()
    assert ["base.key.long", "other.key.long"] == host.ids()
    for name, text in (("other", b"x: ["), ("../x", OTHER.encode()), ("a.b.c", body)):
        with pytest.raises((PackError, UsageError)):
            await host.releases.put_pack(name, text, by="x")
    await host.upload(7)
    await host.releases.activate(7, canary=None, by="x")
    assert ["own.key.long"] == host.ids()
    await host.restart()
    assert ["own.key.long"] == host.ids()


async def test_failed_rollback(host):
    """Where what was live before cannot be loaded, what is live stays live, and says so."""
    for version, word in ((7, "LONGKEY"), (8, "ELSEKEY")):
        await host.upload(version, pack(word))
        await host.releases.activate(version, canary=None, by="x")
    host.failure = 7

    with pytest.raises(KernelError):
        await host.releases.rollback(8, reason="", by="x")
    assert {8: "live", 7: "superseded"} == await host.states()
    assert 8 == host.loaded.sets.release
