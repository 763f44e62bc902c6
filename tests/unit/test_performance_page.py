"""The page of figures: what is not measured anew stays on it."""

from __future__ import annotations

from benchmarks.plots import PAGE, sections_of, summary

PAGE_OF_TWO = """\
# Performance

## Targets: 9 of 9 held

| benchmark | figure | value | target | |
|---|---|--:|--:|---|
| [a](#a) | old | 1 s | <= 2 | held |

## a

About a.

| figure | value | unit | least to most | target | |
|---|--:|---|---|--:|---|
| speed, 10 nodes | 1,234 | 1/s | 1,000 to 2,000 (n=5) | >= 1000 | held |
| lost | 2 |  |  | <= 0 | **missed** |
| nodes | 10 | nodes |  |  |  |

## b

Not measured here: `make bench ONLY=b`.
"""


def test_sections_of_benchmarks_are_found_and_the_summary_is_none() -> None:
    found = sections_of(PAGE_OF_TWO)
    assert list(found) == ["a", "b"]
    assert "".join([PAGE_OF_TWO.partition("## a")[0], found["a"], "\n", found["b"]]) == PAGE_OF_TWO


def test_the_summary_lists_every_figure_with_a_target() -> None:
    lines = list(summary(sections_of(PAGE_OF_TWO)))
    assert "1 of 2 held" in lines[0]
    assert "| [a](#a) | speed, 10 nodes | 1,234 1/s | >= 1000 | held |" in lines
    assert "| [a](#a) | lost | 2  | <= 0 | **missed** |" in lines


def test_the_page_in_the_repository_agrees_with_itself() -> None:
    page = PAGE.read_text()
    assert "\n".join(summary(sections_of(page))).strip() in page
