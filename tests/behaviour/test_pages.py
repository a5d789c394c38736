"""The pages to read: what stands first, what is said once, as many digits as are known, and nothing but HTML."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
import torch

from zoogan.evaluation.metrics.lookup import collect_headlines
from zoogan.evaluation.reports.comparison import EvaluatedRun, group_entrants, make_columns
from zoogan.evaluation.reports.comparison_text import choose_headlines
from zoogan.evaluation.reports.page import render_comparison, render_report
from zoogan.evaluation.reports.report import Key, MeasuredRun, Report, Value
from zoogan.evaluation.reports.report_tables import (
    CARDS,
    MANY,
    list_facts,
    make_cards,
    make_sections,
    split_shared_clauses,
)
from zoogan.evaluation.reports.scale import (
    NumberWithInterval,
    Scale,
    count_decimals,
    format_interval,
    format_number,
    make_scale,
)
from zoogan.interfaces import Ratio
from zoogan.plugins.host import get_zoo

HEADLINES = collect_headlines(get_zoo().registry)
PICTURE = {"Eyeglasses": torch.zeros(3, 4, 4, dtype=torch.uint8)}
SHUT = {"meta", "img", "br", "col", "wbr", "line", "circle"}  # elements without an end


class Page(HTMLParser):
    """The elements of a page in order, its text, and which elements were never closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in SHUT:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        self.text += " " if tag in ("td", "th", "dt") else ""

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def each(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.found if found == tag]


def value(
    name: str, number: float | None, low: float | None = None, high: float | None = None, attribute: str | None = None,
    note: str = "", metric: str = "", resizer: str = "none", backbone: str | None = None,
) -> Value:  # fmt: skip
    metric = metric or name.partition(".")[0]
    key = Key(
        name=name, metric=metric, attribute=attribute, options={}, backbone=backbone, weights="5" * 64, resizer=resizer,
        reference=None, n=70, source="drawn", split="test", faces="f" * 64, image_size=16, seed=0,
        versions={"zoogan": "1", metric: "2"},
    )  # fmt: skip
    return Value(
        name=name, metric=metric, attribute=attribute, value=number, low=low, high=high, n=70, better="lower",
        note=note, kind="ratio", key=key,
    )  # fmt: skip


def report(*values: Value, run: str = "one", **changes: Any) -> Report:
    about = MeasuredRun(
        run=run, method="known", recipe=None, config=run, seed=0, iteration=12000, images=48000,
        attributes=("Eyeglasses",), parameters={"generator": 8}, edits_per_second=100.0, device="cpu",
    )  # fmt: skip
    fields = {"judge": None, "titles": {"success": "Success: the judge sees it"}, "skipped": {}} | changes
    return Report(date="2026-11-21T10:00:00", about=about, faces=70, values=list(values), **fields)


def told(number: float, low: float | None = None, high: float | None = None) -> tuple[str, str]:
    shown: NumberWithInterval = value("a", number, low, high)
    return format_number(number, count_decimals(shown)), format_interval(shown, count_decimals(shown))


# ---- numbers ----


@pytest.mark.parametrize(
    ("number", "low", "high", "expected"),
    [
        (0.6208, 0.5853, 0.6621, ("0.621", "0.585 to 0.662")),
        (0.003473, 0.003188, 0.003784, ("0.00347", "0.00319 to 0.00378")),
        (36.74, 36.11, 37.42, ("36.7", "36.1 to 37.4")),
        (61.96, 46.54, 77.37, ("62", "47 to 77")),
        (0.14, 0.0312, 0.2488, ("0.14", "0.03 to 0.25")),
        (0.9863, 0.9625, 1.0013, ("0.986", "0.963 to 1.001")),
        (1.0, 1.0, 1.0, ("1.000", "1.000 to 1.000")),
        (0.0, 0.0, 0.0, ("0", "0 to 0")),
        (-0.001, -0.5, 0.4, ("0.00", "−0.50 to 0.40")),
        (4076.3, None, None, ("4,076", "")),
        (3e-9, None, None, ("3.00e-09", "")),
    ],
)
def test_page_numbers_show_significant_digits(
    number: float, low: float | None, high: float | None, expected: tuple[str, str]
) -> None:
    assert told(number, low, high) == expected


@pytest.mark.parametrize(
    ("numbers", "from_zero", "ends"),
    [
        ((0.62, 0.58, 0.84), True, ("0", "1")),
        ((0.0312, 0.03, 0.0324), True, ("0", "0.04")),
        ((-3.0, -8.0, 2.0), True, ("-10", "5")),
        ((0.612, 0.554, 0.655), False, ("0.55", "0.7")),
        ((829.0, 781.0, 864.0), False, ("780", "880")),
    ],
)
def test_page_scales_have_round_ends(
    numbers: tuple[float, float, float], from_zero: bool, ends: tuple[str, str]
) -> None:
    scale = make_scale([value("a", *numbers)], from_zero)
    assert scale is not None and scale.ends == ends
    assert all(0 <= scale.at(number) <= 100 for number in numbers)


def test_page_omits_uninformative_scales() -> None:
    assert make_scale([]) is None
    assert make_scale([value("a", 5.0)]) is None, "no interval"
    assert make_scale([value("a", 0.0, 0.0, 0.0)]) is None
    assert make_scale([value("a", 0.1 + 0.2, 0.3, 0.3)], from_zero=False) is None, "one number, but for its last bit"
    assert Scale(2.0, 4.0).at(3.0) == 50


# ---- what a table says ----


def test_page_states_shared_facts_once() -> None:
    eye = {"attribute": "Eyeglasses", "backbone": "judge x"}
    once, own = split_shared_clauses([
        value("a", 1, note="k=5; judge 0.9", **eye), value("a.b", 1, note="k=5; judge 0.9; odd", **eye),
        value("a", 1, note="k=5; judge 0.8", attribute="Male", backbone="judge x"),
    ])  # fmt: skip
    assert once == ["k=5", "measured with judge x, none, sha256 55555555", "Eyeglasses, judge 0.9"]
    assert own == ["", "odd", "judge 0.8"], "a single row says its own"


def test_page_rows_of_one_unit_share_a_scale() -> None:
    (section,) = make_sections(
        report(value("t.in.l1", 0.3, 0.2, 0.31), value("t.out.l1", 0.01, 0.01, 0.02), value("t.psnr", 30, 29, 31))
    )
    scales = [row.scale.ends for row in section.rows if row.scale]
    assert scales == [("0", "0.4"), ("0", "0.4"), ("0", "40")]


def test_page_folds_many_attributes() -> None:
    many = [value("part", 0.5, attribute=str(k)) for k in range(MANY)]
    (few,) = make_sections(report(*many))
    assert len(few.rows) == MANY and not few.folded
    page = Page(render_report(report(*many, value("part", 0.4)), HEADLINES, {}))
    (section,) = make_sections(report(*many, value("part", 0.4)))
    assert [row.number for row in section.rows] == ["0.400"] and len(section.folded) == MANY
    assert len(page.each("details")) == 1 and f"{MANY} rows" in page.text


def test_headlines_use_joint_or_single_attribute() -> None:
    shown = make_cards(report(
        value("success", 0.9, attribute="Eyeglasses", note="x; judge: 0.99"), value("edit_error", 0.2, attribute="A"),
        value("edit_error", 0.4, attribute="B"), value("edit_error", 0.3), value("fid", 8, attribute="A"),
        value("fid", 9, attribute="B"), value("identity.l1", None),
    ), HEADLINES)  # fmt: skip
    assert [(card.label, card.row.number, card.yardstick) for card in shown] == [
        ("Edit error", "0.300", ""), ("Success", "0.900", "judge: 0.99"),
    ]  # fmt: skip
    names = ("edit_error", "success", "preservation", "outside_truth.l1", "cycle.l1", "fid", "identity.l1")
    assert len(make_cards(report(*[value(name, 1.0) for name in names]), HEADLINES)) == CARDS == len(names) - 1


def test_headlines_keep_their_order() -> None:
    names = {
        place: [name for name, _ in sorted(places, key=lambda item: item[1])]
        for place in ("report_place", "comparison_place")
        if (places := [(name, at) for name, h in HEADLINES.items() if (at := getattr(h, place)) is not None])
    }
    assert names["report_place"] == [
        "edit_error", "layout.changed", "layout.kept", "layout.iou", "success", "layout.success",
        "layout.reference.iou", "composite.inside.l1", "composite.basis.success", "preservation", "outside_truth.l1",
        "composite.outside.l1", "composite.basis.outside.l1", "cycle.l1", "fid", "fd_squeezenet",
        "prdc_squeezenet.coverage", "frequency.mean", "mask_agreement.miou", "part_leak.shape", "part_leak.texture",
        "identity.l1", "outside_mask.l1",
    ]  # fmt: skip
    assert names["comparison_place"] == [
        "edit_error", "layout.changed", "layout.kept", "layout.iou", "success", "layout.success",
        "layout.reference.iou", "composite.inside.l1", "composite.basis.success", "preservation", "outside_truth.l1",
        "composite.outside.l1", "composite.basis.outside.l1", "outside_mask.l1", "identity.l1", "cycle.l1",
        "fd_squeezenet", "kd_squeezenet", "fid", "frequency.mean", "frequency.worst", "mask_agreement.miou",
        "part_leak.shape", "part_leak.texture",
    ]  # fmt: skip


def test_page_facts_list_libraries_and_faces() -> None:
    found = list_facts(report(value("success", 1, attribute="A"), value("fid", 1, attribute="B")))
    assert found["versions"] == "zoogan 1, success 2, fid 2" and found["images seen"] == "48,000"
    assert found["sets of faces"] == "A 70, sha256 ffffffffffff; B 70, sha256 ffffffffffff"


# ---- whole pages ----


def check_page(page: Page) -> None:
    """One file of well-formed HTML that anybody can read: nothing fetched or run, headings in order, all named."""
    assert not page.open and not Counter(tag for tag, _ in page.found) & Counter(["script", "link", "iframe"])
    for _, attributes in page.found:
        assert (attributes.get("src") or "data:").startswith("data:") and "href" not in attributes
    levels = [int(tag[1]) for tag, _ in page.found if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    assert all(image["alt"] for image in page.each("img"))
    assert len(page.each("caption")) == len(page.each("table")) == len(page.each("tbody"))
    boxes = [a for a in page.each("div") if a.get("class") == "scroll"]
    assert len(boxes) == len(page.each("table")) and all(box["aria-label"] for box in boxes)
    assert all("scope" in a or not a for a in page.each("th"))


def measured() -> list[Value]:
    eye = {"attribute": "Eyeglasses", "backbone": "judge x"}
    return [
        value("success", 0.91234, 0.85, 0.96, note="judge: 0.97", **eye),
        value("success.adding", 0.8, 0.7, 0.9, note="judge: 0.97", **eye),
        value("cycle.l1", 0.02, 0.019, 0.021, metric="reconstruction", attribute="Eyeglasses"),
    ]


def test_report_page_renders() -> None:
    judge = {
        "backbone": "tiny", "source": "drawn", "segmentation": {"mean_iou": 0.5571, "pixel_accuracy": 0.9},
        "pose_error": {"yaw": 1.79, "pitch": 2.0, "roll": 0.9},
        "table": {"<Male>": {"faces": 2000.0, "positives": 965.0, "balanced_accuracy": 0.96274, "error": 0.004248,
                             "recall": 1.0, "specificity": 0.97}},
    }  # fmt: skip
    page = Page(render_report(report(*measured(), judge=judge, skipped={"fid": "no weights"}), HEADLINES, PICTURE))
    check_page(page)
    text = " ".join(page.text.split())
    assert "0.912 0.850 to 0.960" in text and "0.91234" not in text
    assert text.count("measured with judge x") == 1 and text.count("judge: 0.97") + text.count("Judge: 0.97") == 2
    assert "Success success the judge sees it" in text, "the title in two, and the key"
    assert "All of Eyeglasses." in text and "fid no weights" in text
    assert "<Male> 0.963 ± 0.004" in text and "mean IoU 0.557" in text and "yaw off by 1.8 degrees" in text
    assert text.index("0.912") < text.index("All measures"), "the headline first"
    widths = [a.get("class") for a in page.each("col")]
    assert widths == ["name", "value", "interval", None, "count"] * 2, "all tables of one width"


def test_empty_report_page_explains_why() -> None:
    page = Page(render_report(report(skipped={"fid": "no weights"}), HEADLINES, {}))
    check_page(page)
    assert "no weights" in page.text and "All measures" not in page.text


def compared(run: str, shift: float, resizer: str = "none") -> EvaluatedRun:
    values, statistics = [], []
    for old in measured():
        key = old.key.model_copy(update={"resizer": resizer}) if old.key.backbone else old.key
        numbers = torch.linspace(0, 1, 70).double() * 0.1 + (old.value or 0) + shift
        statistics.append(Ratio.from_values(torch.arange(70), numbers))
        values.append(old.model_copy(update={"key": key, "value": float(numbers.mean())}))
    return EvaluatedRun(report(*values, run=run), list(statistics))


@pytest.mark.slow
def test_comparison_page_renders() -> None:
    entrants = group_entrants([compared("one", 0.0), compared("two", 0.5), compared("three", 0.1, resizer="bicubic")])
    columns = make_columns(entrants)
    first = choose_headlines(columns, HEADLINES)
    page = Page(render_comparison(entrants, columns, first, PICTURE, "zoo compare one two three"))
    check_page(page)
    text = " ".join(page.text.split())
    assert "success Eyeglasses ↓: not comparable with the other: resizer: bicubic / none" in text
    assert "Comparison of 3 runs" in text and "zoo compare one two three" in text and "12,000" in text
    best = [a for a in page.each("span") if a.get("class") == "best"]
    assert len(best) == 5, "success and cycle of the first table; success, success.adding and cycle of the others"
    widths = [a.get("class") for a in page.each("col")]
    assert widths == ["name", "run", "run", "run", None, "count"] * 3
