"""Which shared fault explains the trouble of many nodes."""

from __future__ import annotations

from collections.abc import Mapping

from controller.domain.correlation import (
    AT_LEAST,
    CENTRE,
    COMMUNE,
    FEEDER,
    NETWORK,
    POWER,
    UPLINK,
    Outage,
    Shared,
    Trouble,
    holds,
    outages,
)

C1 = frozenset({"a1", "a2", "a3", "a4", "a5"})
C2 = frozenset({"b1", "b2", "b3", "b4", "b5"})
C3 = frozenset({"c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"})
ALL = C1 | C2 | C3
COMMUNES = (Shared(COMMUNE, "c1", C1), Shared(COMMUNE, "c2", C2), Shared(COMMUNE, "c3", C3))
SITE = (*COMMUNES, Shared(CENTRE, CENTRE, ALL))


def trouble(
    silent: Mapping[str, float] | None = None,
    dark: Mapping[str, float] | None = None,
    on_battery: frozenset[str] = frozenset(),
    known: frozenset[str] = ALL,
) -> Trouble:
    return Trouble(known, silent or {}, dark or {}, on_battery)


def at(nodes: str, *times: float) -> dict[str, float]:
    return dict(zip(nodes.split(), times, strict=True))


def test_sixty_percent_and_three_within_two_minutes() -> None:
    (outage,) = outages(SITE, trouble(silent=at("a1 a2 a3", 0, 60, 120)))
    assert outage == Outage(COMMUNE, "c1", NETWORK, frozenset({"a1", "a2", "a3"}))


def test_a_second_too_far_apart_is_no_outage() -> None:
    assert outages(SITE, trouble(silent=at("a1 a2 a3", 0, 60, 121))) == ()


def test_two_nodes_are_never_an_outage_even_if_there_are_no_more() -> None:
    pair = frozenset({"x1", "x2"})
    assert AT_LEAST == 3
    assert outages((Shared(COMMUNE, "x", pair),), trouble(silent=at("x1 x2", 0, 0), known=pair)) == ()


def test_less_than_sixty_percent_is_no_outage() -> None:
    assert outages(SITE, trouble(silent=at("c1 c2 c3 c4 c5", 0, 0, 0, 0, 0))) == ()
    assert len(outages(SITE, trouble(silent=at("c1 c2 c3 c4 c5 c6", 0, 0, 0, 0, 0, 0)))) == 1


def test_nodes_that_were_never_there_or_failed_long_before_do_not_count_against_it() -> None:
    assert len(outages(SITE, trouble(silent=at("c1 c2 c3", 0, 0, 0), known=ALL - {"c6", "c7", "c8", "c9"}))) == 1
    long_dead = at("c4 c5 c6 c7 c8", -9000, -8000, -7000, -6000, -5000)
    assert len(outages(SITE, trouble(silent={**long_dead, **at("c1 c2 c3", 0, 0, 0)}))) == 1


def test_half_of_them_on_battery_makes_it_power() -> None:
    silent = at("a1 a2 a3 a4", 0, 0, 0, 0)
    assert outages(SITE, trouble(silent=silent, on_battery=frozenset({"a1", "a2"})))[0].cause == POWER
    assert outages(SITE, trouble(silent=silent, on_battery=frozenset({"a1"})))[0].cause == NETWORK


def test_mains_lost_in_a_commune_is_power_before_anyone_is_silent() -> None:
    (outage,) = outages(SITE, trouble(dark=at("a1 a2 a3", 0, 1, 2)))
    assert (outage.subject, outage.cause) == ("c1", POWER)


def test_half_of_all_nodes_is_the_centre_and_explains_the_communes() -> None:
    silent = dict.fromkeys(C1 | C2, 0.0)
    (outage,) = outages(SITE, trouble(silent=silent))
    assert (outage.scope, outage.nodes) == (CENTRE, C1 | C2)


def test_half_of_all_nodes_over_two_minutes_are_two_communes() -> None:
    silent = {**dict.fromkeys(C1, 0.0), **dict.fromkeys(C2, 90.0)}
    assert {outage.subject for outage in outages(SITE, trouble(silent=silent))} == {"c1", "c2"}


def test_a_site_of_one_commune_blames_the_commune() -> None:
    site = (Shared(COMMUNE, "c1", C1), Shared(CENTRE, CENTRE, C1))
    (outage,) = outages(site, trouble(silent=dict.fromkeys(C1, 0.0), known=C1))
    assert outage.scope == COMMUNE


def test_a_feeder_that_is_one_commune_is_told_as_the_commune() -> None:
    site = (*SITE, Shared(FEEDER, "371", C1))
    (outage,) = outages(site, trouble(dark=dict.fromkeys(C1, 0.0)))
    assert (outage.scope, outage.subject) == (COMMUNE, "c1")


def test_a_feeder_over_two_communes_is_one_outage() -> None:
    site = (*SITE, Shared(FEEDER, "371", C1 | C2))
    (outage,) = outages(site, trouble(dark=dict.fromkeys(C1 | C2, 0.0)))
    assert (outage.scope, outage.subject, outage.cause) == (FEEDER, "371", POWER)


def test_an_uplink_over_many_communes_is_one_network_outage() -> None:
    more = {f"d{n}": frozenset(f"d{n}-{m}" for m in range(4)) for n in range(20)}
    behind = frozenset().union(*(more[f"d{n}"] for n in range(8)))
    everything = frozenset().union(*more.values())
    site = (
        *(Shared(COMMUNE, name, nodes) for name, nodes in more.items()),
        Shared(UPLINK, "mast", behind),
        Shared(CENTRE, CENTRE, everything),
    )
    (outage,) = outages(site, trouble(silent=dict.fromkeys(behind, 0.0), known=everything))
    assert (outage.scope, outage.subject, outage.cause) == (UPLINK, "mast", NETWORK)


def test_a_power_cut_is_not_hidden_by_a_network_outage_of_the_same_nodes() -> None:
    site = (*SITE, Shared(UPLINK, "mast", C1))
    found = outages(site, trouble(dark=dict.fromkeys(C1, 0.0), silent=dict.fromkeys(C1, 50.0)))
    assert (COMMUNE, POWER) in {(outage.scope, outage.cause) for outage in found}


def test_an_outage_holds_while_its_share_is_bad_whenever_they_failed() -> None:
    commune = COMMUNES[0]
    assert holds(NETWORK, commune, trouble(silent=at("a1 a2 a3", 0, 5000, 9000)))
    assert not holds(NETWORK, commune, trouble(silent=at("a1 a2", 0, 0)))
    assert holds(POWER, commune, trouble(silent=at("a1", 0), dark=at("a2 a3", 0, 0)))


def test_a_second_feeder_of_a_commune_is_told_as_that_feeder_when_the_first_has_long_been_dark() -> None:
    feeders = (Shared(FEEDER, "f1", frozenset({"a1", "a2"})), Shared(FEEDER, "f2", frozenset({"a3", "a4", "a5"})))
    (outage,) = outages((*SITE, *feeders), trouble(dark=at("a1 a2 a3 a4 a5", 0, 1, 900, 901, 902)))
    assert (outage.scope, outage.subject) == (FEEDER, "f2")


def test_a_commune_whose_feeders_fail_together_is_one_outage() -> None:
    feeders = (Shared(FEEDER, "f1", frozenset({"a1", "a2"})), Shared(FEEDER, "f2", frozenset({"a3", "a4", "a5"})))
    (outage,) = outages((*SITE, *feeders), trouble(dark=at("a1 a2 a3 a4 a5", 0, 1, 2, 3, 4)))
    assert (outage.scope, outage.subject) == (COMMUNE, "c1")
