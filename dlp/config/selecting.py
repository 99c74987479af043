"""Which signatures a rule names: by id, by what they are, or by both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from fnmatch import fnmatchcase, translate

from dlp.config.model import Config, Rule, Selection
from dlp.config.problems import PolicyFileError, did_you_mean, shown
from dlp.errors import ConfigError
from dlp.model import Subject

# Each value of these keys must be one that some signature has; a severity that none has is
# no mistake as long as the selection names something.
_TOLD = ("category", "tag", "framework")


def any_of(globs: Sequence[str]) -> Callable[[str], bool]:
    """A predicate for "one of the globs fits"; no globs fit all."""
    if not globs:
        return lambda _: True
    match = re.compile("|".join(f"(?:{translate(glob)})" for glob in globs)).match
    return lambda text: match(text) is not None


def named_by(rule: Rule) -> Callable[[Subject], bool]:
    """A predicate for "the rule names this signature"."""
    fits, selection = any_of(rule.signatures), rule.select
    if selection is None:
        return lambda subject: fits(subject.id)
    return lambda subject: fits(subject.id) and selects(selection, subject)


def selects(selection: Selection, subject: Subject) -> bool:
    """Whether every key given fits a signature, each by any of its values."""
    return all(
        not values or any(_has(subject, key, value) for value in values)
        for key, values in _keys(selection)
    )


def check_signatures(config: Config, subjects: Sequence[Subject]) -> None:
    """Raises PolicyFileError if a rule names no signature, by a glob or by a selection."""
    found = [
        problem
        for index, entry in enumerate(config.policies)
        for number, rule in enumerate(entry.rules)
        for problem in _problems(config, f"policies[{index}].rules[{number}]", rule, subjects)
    ]
    if found:
        raise PolicyFileError(found)


def _problems(
    config: Config, key: str, rule: Rule, subjects: Sequence[Subject]
) -> Iterator[ConfigError]:
    told = False
    for problem in (
        *_of_globs(config, key, rule, subjects),
        *_of_values(config, key, rule, subjects),
    ):
        told = True
        yield problem
    if rule.select is not None and not told and not any(map(named_by(rule), subjects)):
        both = " and its globs" if rule.signatures else ""
        yield ConfigError(
            f"no signature fits all keys of the selection{both}",
            remedy="leave a key out, or add values; `dlp signatures list` shows what there is",
            place=config.place(f"{key}.select"),
        )


def _of_globs(
    config: Config, key: str, rule: Rule, subjects: Sequence[Subject]
) -> Iterator[ConfigError]:
    ids = [subject.id for subject in subjects]
    for position, glob in enumerate(rule.signatures):
        if any(fnmatchcase(name, glob) for name in ids):
            continue
        packs = sorted({name.split(".", 1)[0] for name in ids})
        near = did_you_mean(glob, ids) or did_you_mean(glob, [f"{pack}.*" for pack in packs])
        yield _missing(
            config,
            f"{key}.signatures",
            position,
            f"no signature matches {shown(glob)}",
            near or f"`dlp signatures list` shows all; packs loaded: {', '.join(packs)}",
        )


def _of_values(
    config: Config, key: str, rule: Rule, subjects: Sequence[Subject]
) -> Iterator[ConfigError]:
    for name, values in _keys(rule.select or Selection()):
        for position, value in enumerate(values):
            if name not in _TOLD or any(_has(subject, name, value) for subject in subjects):
                continue
            known = sorted({one for subject in subjects for one in _values(subject, name)})
            yield _missing(
                config,
                f"{key}.select.{name}",
                position,
                f"no signature has the {name} {shown(value)}",
                did_you_mean(value, known) or f"there are: {', '.join(known) or 'none'}",
            )


def _missing(config: Config, key: str, position: int, message: str, remedy: str) -> ConfigError:
    place = config.place(f"{key}[{position}]")
    if place.line is None:  # written as a single text
        place = config.place(key)
    return ConfigError(message, remedy=remedy, place=place)


def _keys(selection: Selection) -> Iterable[tuple[str, tuple[str, ...]]]:
    return ((field.name, getattr(selection, field.name)) for field in fields(selection))


def _has(subject: Subject, key: str, value: str) -> bool:
    values = _values(subject, key)
    if key == "framework":
        return any(one == value or one.startswith(f"{value}-") for one in values)
    return value in values


def _values(subject: Subject, key: str) -> tuple[str, ...]:
    match key:
        case "tag":
            return subject.tags
        case "framework":
            return subject.controls
        case "category":
            return (subject.category,)
        case "confidence":
            return (subject.confidence,)
    return (subject.severity,)
