"""The grammar of the policy file: which keys there are and what they may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from dlp.config.address import tcp_address
from dlp.config.model import (
    CANDIDATES_PER_MB,
    POLICIES,
    RELEASE_SIZE,
    ROLLBACKS,
    Api,
    AttachWay,
    Config,
    NewWorkloads,
    Policy,
    Releases,
    Workloads,
)
from dlp.config.policies import policy
from dlp.config.problems import PolicyFileError, Problems
from dlp.config.section import Section, Value
from dlp.config.source import Mapping, Node, Scalar, parse, read
from dlp.config.source import Sequence as ListNode
from dlp.errors import ConfigError, Place
from dlp.model import Mode

VERSION = 1

_UNIX_PATH = 107  # bytes of sun_path less its final NUL
_LEVELS = 64
_NETNS = re.compile(r"[^/\s*?\[\]\x00-\x1f\x7f]{1,255}")
_CGROUP = re.compile(r"(?:/[^/*?\x00-\x1f\x7f]{1,255}){1,64}")
_PACK = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_NEW = {choice.value: choice for choice in NewWorkloads}
_ATTACH = {choice.value: choice for choice in AttachWay}
_YES_NO = {"true": True, "false": False}
_DEFAULT = Config(file=Path(), signatures=(), policies=())


def load(path: Path) -> Config:
    """Read a policy file.

    Raises:
        ConfigError: it cannot be read, or is no YAML.
        PolicyFileError: all that is wrong with what it says.
    """
    problems = Problems(path)
    root = parse(read(path), problems)
    if not isinstance(root, Mapping):
        found = "is empty" if root is None or _is_null(root) else "does not hold a mapping"
        raise problems.failure(
            None if root is None else root.line,
            "",
            f"the file {found}",
            "begin with `version: 1`; deploy/dlp.yaml is an example",
        )
    section = Section(root, "", root.line, problems)
    config = _config(path, section)
    problems.raise_any()
    lines: dict[str, int] = {}
    _collect_lines(root, "", lines)
    config = replace(config, lines=lines)
    check_netns(config)
    return config


def with_netns(config: Config, names: Iterable[str]) -> Config:
    """The same with further namespaces listed, none twice.

    Raises:
        PolicyFileError: a name cannot be a namespace's, or no policy matches it.
    """
    netns = tuple(dict.fromkeys((*config.workloads.netns, *names)))
    extended = replace(config, workloads=replace(config.workloads, netns=netns))
    check_netns(extended)
    return extended


def check_netns(config: Config) -> None:
    """Raises PolicyFileError unless each listed namespace has a name and a policy.

    A policy with `cgroup:` is for some sockets of a namespace only; the others need one
    without.
    """
    found = []
    for number, name in enumerate(config.workloads.netns):
        place = config.place(f"workloads.netns[{number}]")
        if place.line is None:
            place = Place(config.file, None, "workloads.netns")
        if name in {".", ".."} or not _NETNS.fullmatch(name):
            message = "found a text that cannot name a network namespace"
            remedy = "write a name as `ip netns list` shows it; globs belong under `match:`"
            found.append(ConfigError(message, remedy=remedy, place=place))
        elif not any(
            _covers(entry.match.netns, name, entry.match.cgroup) for entry in config.policies
        ):
            message = f"no policy matches the namespace '{name}'"
            remedy = "add a policy at the end with `match: {}`, or widen a policy's `match.netns`"
            found.append(ConfigError(message, remedy=remedy, place=place))
    if found:
        raise PolicyFileError(found)


def _config(path: Path, root: Section) -> Config:
    with root:
        version = root.need("version", f"begin the file with `version: {VERSION}`")
        if version and not _is_version(version.node):
            version.expected(
                f"{VERSION}", f"write `version: {VERSION}`: this gateway reads no other"
            )
        state_dir = root.read("state_dir", _absolute, _DEFAULT.state_dir)
        api = root.read("api", _api, _DEFAULT.api)
        packs = root.need("signatures", "list packs, as [pci, pii, secrets]")
        workloads = root.read("workloads", _workloads, _DEFAULT.workloads)
        releases = root.read(
            "releases", lambda value: _releases(value, path.parent), _DEFAULT.releases
        )
        level = root.read("cgroup_level", lambda value: value.integer(0, _LEVELS, 0), 0)
        listed = root.need("policies", "add at least one policy")
    policies = []
    if listed:
        names: dict[str, int] = {}
        policies = [policy(value, names) for value in listed.items("policies")]
        if isinstance(listed.node, ListNode) and not 1 <= len(policies) <= POLICIES:
            listed.problem(
                f"found {len(policies)} policies, expected 1 to {POLICIES}",
                "add a policy" if not policies else "join policies: a match takes several globs",
            )
    return Config(
        file=path,
        state_dir=state_dir,
        api=api,
        signatures=_packs(packs, path.parent) if packs else (),
        workloads=workloads,
        releases=releases,
        cgroup_level=level,
        policies=tuple(policies),
        warnings=tuple(_warnings(api, releases, policies)),
    )


def _warnings(api: Api, releases: Releases, policies: Iterable[Policy]) -> Iterator[str]:
    if releases.development:
        yield (
            "releases.development lets an administrator's token put in signatures that nobody "
            "signed; leave it out where others depend on this gateway"
        )
    if api.tcp and not api.tcp.loopback:
        yield (
            "api.tcp listens beyond this host, and without TLS: its tokens and verdicts can be "
            "read on the way; put a TLS proxy before it, or bind it to 127.0.0.1"
        )
    for entry in policies:
        if entry.mode is not Mode.MONITOR:
            continue
        for name, given in (("escalate", entry.escalate is not None), ("kill", entry.kill)):
            if given:
                yield f"policy {entry.name} is in monitor mode: its `{name}` does nothing"


def _api(value: Value) -> Api:
    section = value.section()
    if section is None:
        return Api()
    with section:
        unix = section.read("unix", _socket, _DEFAULT.api.unix)
        tcp = section.read("tcp", tcp_address, None)
    return Api(unix=unix, tcp=tcp)


def _workloads(value: Value) -> Workloads:
    section = value.section()
    if section is None:
        return Workloads()
    with section:
        netns = section.read("netns", _names, _DEFAULT.workloads.netns)
        discover = section.get("discover")
        if discover and list(discover.items("names")):
            discover.problem(
                "discovery of containers is not in this version",
                "leave `discover: []` and list the namespaces under `netns`",
            )
        default = _DEFAULT.workloads
        new = section.read(
            "new_workloads", lambda word: word.choice(_NEW, default.new), default.new
        )
        gate = section.read("gate", _gates, default.gate)
        attach = section.read(
            "attach", lambda word: word.choice(_ATTACH, default.attach), default.attach
        )
    return Workloads(netns=netns, new=new, gate=gate, attach=attach)


def _releases(value: Value, base: Path) -> Releases:
    section = value.section()
    if section is None:
        return Releases()
    default = _DEFAULT.releases
    with section:
        return Releases(
            trust=section.read("trust", lambda path: _trust(path, base), default.trust),
            development=section.read(
                "development",
                lambda word: word.choice(_YES_NO, default.development),
                default.development,
            ),
            max_size=section.read(
                "max_size",
                lambda size: size.size(*RELEASE_SIZE, default.max_size),
                default.max_size,
            ),
            rollbacks=section.read(
                "rollbacks",
                lambda number: number.integer(*ROLLBACKS, default.rollbacks),
                default.rollbacks,
            ),
            max_candidates_per_mb=section.read(
                "max_candidates_per_mb",
                lambda number: number.integer(*CANDIDATES_PER_MB, 1),
                default.max_candidates_per_mb,
            ),
        )


def _trust(value: Value, base: Path) -> Path | None:
    text = value.text("the path of a trust")
    if text and not (base / text).is_file():
        value.problem(
            "there is no trust at this path",
            f"`dlp keys trust init` makes one; a relative path begins at {base.absolute()}",
        )
    return base / text if text else None


def _gates(value: Value) -> tuple[str, ...]:
    paths: list[str] = []
    for item in value.items("cgroup paths"):
        path = item.text("the path of a cgroup", "write it from the root of cgroup v2, as /docker")
        if not path:
            continue
        if not _CGROUP.fullmatch(path) or {".", ".."} & set(path.split("/")):
            item.problem(
                "found a text that is no path of a cgroup below the root",
                "write it from the root of cgroup v2, as /docker: no glob, no slash at its end",
            )
        elif path in paths:
            item.problem("this cgroup is listed twice", "remove one of the entries")
        paths.append(path)
    return tuple(paths)


def _names(value: Value) -> tuple[str, ...]:
    names: list[str] = []
    for item in value.items("names"):
        name = item.text("the name of a network namespace")
        if name and name in names:
            item.problem("this namespace is listed twice", "remove one of the entries")
        names.append(name)
    return tuple(name for name in names if name)


def _packs(value: Value, base: Path) -> tuple[str, ...]:
    packs: list[str] = []
    for item in value.items("packs"):
        name = item.text("a pack's name or path")
        if not name:
            continue
        is_path = "/" in name or name.endswith(".yaml")
        if name in packs:
            item.problem("this pack is listed twice", "remove one of the entries")
        elif is_path and not (base / name).is_file():
            item.problem(
                "there is no pack at this path",
                f"a relative path begins at {base.absolute()}",
            )
        elif not is_path and not _PACK.fullmatch(name):
            item.expected(
                "a pack's name or path", "write a name as pci, or a path as ./my-pack.yaml"
            )
        packs.append(name)
    if isinstance(value.node, ListNode) and not value.node.items:
        value.problem("found an empty list, expected packs", "list packs, as [pci, pii, secrets]")
    return tuple(packs)


def _absolute(value: Value) -> Path:
    text = value.text("an absolute path")
    if text and (not text.startswith("/") or "\0" in text):
        value.problem("found a relative path, expected an absolute one", "begin it with /")
    return Path(text)


def _socket(value: Value) -> Path:
    path = _absolute(value)
    if len(str(path).encode()) > _UNIX_PATH:
        value.problem(
            f"found a path of more than {_UNIX_PATH} bytes", "a socket needs a shorter path"
        )
    return path


def _covers(globs: tuple[str, ...], name: str, cgroups: tuple[str, ...]) -> bool:
    return not cgroups and (not globs or any(fnmatchcase(name, glob) for glob in globs))


def _is_version(node: Node) -> bool:
    return isinstance(node, Scalar) and node.plain and node.text == str(VERSION)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null


def _collect_lines(node: Node, key: str, lines: dict[str, int]) -> None:
    lines.setdefault(key, node.line)
    if isinstance(node, Mapping):
        for name, value in node.values.items():
            path = f"{key}.{name}" if key else name
            lines[path] = node.lines[name]
            _collect_lines(value, path, lines)
    elif isinstance(node, ListNode):
        for number, item in enumerate(node.items):
            _collect_lines(item, f"{key}[{number}]", lines)
