"""A folder of files -> Settings, or every mistake in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from broadcasts.model import Broadcast
from controller.domain.escalation import AlertSettings
from controller.domain.site import Settings, Site
from controller.settings.context import Context
from controller.settings.folder import Folder, open_folder
from controller.settings.problems import Problems
from controller.settings.schema import alerts, broadcasts, calendar, duty, faults, nodes, site, sounds
from controller.settings.schema.nodes import Network
from controller.settings.suggest import did_you_mean


def load(folder: str | Path, *, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and validate the configuration in `folder`.

    Raises ConfigError with every mistake of every file, by file and line; nothing else, whatever the files
    hold. `environ` is where `env:NAME` secrets are looked up.
    """
    problems = Problems()
    opened = open_folder(folder, problems)
    context = Context(opened.path, environ)
    place, network = _site(opened, context), _network(opened, context)
    doubts = _calendar(opened, context)
    queued = _broadcasts(opened, context)
    rules, told = _faults(opened, context), _alerts(opened, context)
    problems.raise_if_any()
    assert place is not None
    assert network is not None
    assert told is not None
    return Settings(
        folder=str(opened.path),
        site=place,
        nodes=network.nodes,
        zones=network.zones,
        broadcasts=queued,
        faults=rules.faults,
        metrics=rules.metrics,
        models=rules.models,
        alerts=told,
        warnings=(*doubts, *_warnings(network, told), *_strange_models(network, rules)),
        digest=opened.digest(context.files),
        files=tuple(str(path) for path in (*opened.files, *sorted(context.files))),
        calendar=context.calendar,
        guards=network.guards_of(place.guards),
    )


def _site(opened: Folder, context: Context) -> Site | None:
    sheet = opened.sheets.get("site.yaml")
    if sheet is None:
        return None
    place, held = site.read(sheet, context), sounds.read(sheet, context)
    return replace(place, emergency_sounds=held) if place else None


def _calendar(opened: Folder, context: Context) -> list[str]:
    """Puts the calendar into `context`; warnings about it."""
    sheet = opened.sheets.get("calendar.yaml")
    if sheet is None:
        return []
    context.calendar, warnings = calendar.read(sheet)
    return warnings


def _network(opened: Folder, context: Context) -> Network | None:
    sheet = opened.sheets.get("nodes.yaml")
    if sheet is None:
        return None
    context.names = nodes.names_in(sheet)
    network = nodes.read(sheet, context)
    if network.nodes and len(network.nodes) == len(sheet.root["nodes"]):
        context.reach = {name: frozenset({name}) for name in network.nodes}
        context.reach |= {name: frozenset(zone.nodes) for name, zone in network.zones.items()}
    return network


def _broadcasts(opened: Folder, context: Context) -> dict[str, Broadcast]:
    found: dict[str, Broadcast] = {}
    first: dict[str, str] = {}
    for file, sheet in opened.sheets.items():
        if file.startswith("broadcasts"):
            for broadcast in broadcasts.read(sheet, context, first):
                found[broadcast.id] = broadcast
    return _standing(opened, context, first, found)


def _standing(
    opened: Folder, context: Context, named: Iterable[str], found: dict[str, Broadcast]
) -> dict[str, Broadcast]:
    """The broadcasts with what the site's table adds to their ranks."""
    sheet = opened.sheets.get("site.yaml")
    table = site.ranks(sheet, named, context) if sheet else {}
    return {id: replace(one, standing=table[id]) if id in table else one for id, one in found.items()}


def _faults(opened: Folder, context: Context) -> faults.Rules:
    sheet = opened.sheets.get("faults.yaml")
    found = faults.read(sheet, context) if sheet else faults.Rules()
    if sheet and len(found.faults) == len(sheet.root.get("faults") or ()):
        context.codes = frozenset(rule.code for rule in found.faults)
    return found


def _alerts(opened: Folder, context: Context) -> AlertSettings | None:
    sheet = opened.sheets.get("alerts.yaml")
    return alerts.read(sheet, context) if sheet else None


def _warnings(network: Network, told: AlertSettings) -> list[str]:
    """What is allowed and hardly meant."""
    warnings = [
        f"nodes.yaml: commune '{zone.id}' has no node"
        for zone in network.zones.values()
        if zone.is_commune and not zone.nodes
    ]
    everywhere = any(not person.communes for person in told.people)
    served = {name for person in told.people for name in person.communes}
    warnings += [
        f"alerts.yaml: nobody is told about faults in commune '{zone.id}'"
        for zone in network.zones.values()
        if zone.is_commune and not everywhere and zone.id not in served
    ]
    return warnings + duty.warnings(told.people)


def _strange_models(network: Network, rules: faults.Rules) -> list[str]:
    """Models that a slip of the pen would take rules from, without any other sign of it."""
    there = {node.model for node in network.nodes.values()}
    known = there | rules.models.keys()
    warnings = [
        f"faults.yaml: the rule '{rule.code}' is for model '{model}', and no node is{did_you_mean(model, known)}"
        for rule in rules.faults
        for model in sorted(rule.models - known)
    ]
    meant = {model: did_you_mean(model, rules.models) for model in sorted(there - rules.models.keys())}
    return warnings + [
        f"nodes.yaml: faults.yaml describes no model '{model}'{hint}" for model, hint in meant.items() if hint
    ]
