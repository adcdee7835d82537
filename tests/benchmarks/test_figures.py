"""The arithmetic of benchmarks: medians, pairs, verdicts, and how figures are shown."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import OURS, Bar, Row, difference_of_pairs, interval_of_ratios, judge, plain_number, ratio_of_pairs
from benchmarks.report import BEGIN, END, merge, put_page, render_benchmark, render_page, render_summary, to_json

MACHINE = dict.fromkeys(("processor", "cores", "memory_gb", "system", "file_system", "python", "commit"), "x")
BAR = Bar("hello", "two steps", 0.15, "s")
times = st.floats(min_value=0.001, max_value=1000)


def test_a_bar_is_met_at_its_limit_and_missed_above_it():
    assert judge(BAR, [Row("hello", OURS, "s", [0.14, 0.15, 9.0])]) == "met"
    assert judge(BAR, [Row("hello", OURS, "s", [0.14, 0.151, 0.2])]) == "missed"


def test_a_bar_that_asks_for_so_much_is_missed_below_it_and_says_so():
    least = Bar("f1", "how good", 0.25, "", at_least=True)
    assert judge(least, [Row("f1", OURS, "", [0.25])]) == "met"
    assert judge(least, [Row("f1", OURS, "", [0.249])]) == "missed"
    assert "how good: ≥ 0.250: MISSED" in render_benchmark("what", [least], [Row("f1", OURS, "", [0.249])])


def test_the_interval_of_ratios_is_students_of_their_logarithms():
    low, high = interval_of_ratios([0.98, 1.0, None, 1.02, 1.0]) or (0, 0)
    # logs: mean -0.0000500, s 0.0163313, t(3) 3.182
    assert (low, high) == (pytest.approx(0.97430, abs=1e-4), pytest.approx(1.02626, abs=1e-4))
    assert interval_of_ratios([1.0, None]) is None


def test_an_interval_stands_beside_the_figure_on_the_terminal_and_on_the_page():
    bar = Bar("training-x", "samples", 0.97, "of x", at_least=True)
    row = Row("training-x", OURS, "of x", [0.98, 1.0], interval=(0.968, 1.021))
    assert "95%: 0.968 to 1.02" in render_benchmark("what", [bar], [row])
    result = {"machine": MACHINE, "started_at": "2026-11-29", "load_before": 0, "load_after": 0, "results": [to_json("x", [bar], [row])]}
    assert "| samples | ≥ 0.970 of x | 0.990 of x (95%: 0.968 to 1.02) | met |" in render_page(result)


def test_a_bar_without_our_own_figure_is_not_measured():
    others = [Row("hello", "luigi", "s", [0.1]), Row("map-200", OURS, "s", [0.1]), Row("hello", OURS, "s", [], note="it failed")]
    assert judge(BAR, others) == "not measured"


def test_a_round_in_which_a_contender_took_no_part_counts_for_nothing():
    row = Row("hello", "zenml", "s", [3.0, None, 1.0, None], cpu_s=[None, None, 2.0, None])
    assert (row.value, row.minimum, row.cpu_median_s) == (2.0, 1.0, 2.0)


def test_ratios_are_taken_pair_by_pair_and_not_between_medians():
    assert ratio_of_pairs([2.0, 20.0, 4.0], [1.0, 10.0, 1.0]) == 2.0  # the medians' would be 4
    assert ratio_of_pairs([None, 6.0], [1.0, 2.0]) == 3.0
    assert ratio_of_pairs([None, 6.0], [1.0, None]) is None


@given(st.lists(st.tuples(times, st.floats(min_value=0.1, max_value=10)), min_size=1))
def test_noise_that_hits_both_of_a_pair_leaves_the_ratio_alone(rounds):
    ratio = ratio_of_pairs([3 * base * noise for base, noise in rounds], [base * noise for base, noise in rounds])
    assert ratio == pytest.approx(3)


@given(st.lists(st.tuples(times, times), min_size=1))
def test_the_slope_of_a_chain_is_the_median_of_the_rounds_own_slopes(rounds):
    short, long = [a for a, _ in rounds], [b for _, b in rounds]
    slopes = difference_of_pairs(long, short, 1000 / 98)
    assert median(slopes) == pytest.approx(median((b - a) * 1000 / 98 for a, b in rounds))


def test_a_slope_needs_both_ends():
    assert difference_of_pairs([5.0, None, 5.0], [1.0, 1.0, None]) == [4.0, None, None]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.15234, "s", "0.152 s"),
        (58.123, "MB", "58.1 MB"),
        (4.0, "ms", "4.00 ms"),
        (8.0, "lines", "8 lines"),
        (12345.6, "ms", "12,346 ms"),
        (0.0, "×", "0.00 ×"),
        (None, "s", "–"),
    ],
)
def test_a_figure_is_shown_with_three_digits_and_its_unit(value, unit, shown):
    assert plain_number(value, unit) == shown


def test_a_benchmark_is_shown_with_ours_first_the_verdict_and_what_failed():
    rows = [
        Row("hello", "joblib", "s", [0.31], ratio=2.5),
        Row("hello", "ray", "s", [], note="exit status 1"),
        Row("hello", OURS, "s", [0.12, 0.13], cpu_s=[0.1, 0.1], load=1.5),
    ]
    text = render_benchmark("hello: two steps", [BAR], rows)
    lines = text.splitlines()
    assert lines[2].strip() == "hello: two steps: ≤ 0.150 s: MET"
    assert [line.split()[0] for line in lines[3:]] == [OURS, "joblib", "ray"]
    assert "2.5 × ours" in lines[4]
    assert lines[5].endswith("exit status 1")


def test_the_summary_counts_met_missed_and_unmeasured_bars():
    bars = [BAR, Bar("map", "a map", 1, "s"), Bar("resume", "go on", 1, "s")]
    rows = [Row("hello", OURS, "s", [0.1]), Row("map", OURS, "s", [2.0])]
    assert render_summary([(bars, rows)]).startswith("Bars: 1 met, 1 missed, 1 not measured")


def test_the_page_has_a_line_for_each_bar_with_the_others_beside_it():
    rows = [Row("hello", "luigi", "s", [0.2, 0.3]), Row("hello", OURS, "s", [0.12, 0.14])]
    result = {"machine": MACHINE, "started_at": "2026-11-24T12:00:00+00:00", "load_before": 0.5, "load_after": 1.0}
    page = render_page({**result, "results": [to_json("hello", [BAR], rows)]})
    assert "| two steps | ≤ 0.150 s | 0.130 s (0.120 s) | met | luigi 0.250 |" in page.splitlines()


def test_of_several_result_files_the_later_ones_benchmarks_count_in_the_order_of_the_suite():
    first = {
        "machine": {"commit": "a1"},
        "results": [{"benchmark": "map", "n": 1}, {"benchmark": "hello", "n": 1}],
        "load_before": 0.5,
        "load_after": 1,
    }
    later = {"machine": {"commit": "b2"}, "results": [{"benchmark": "map", "n": 2}], "load_before": 0.7, "load_after": 2}
    merged = merge([first, later], ["hello", "chain", "map"])
    assert merged["results"] == [{"benchmark": "hello", "n": 1}, {"benchmark": "map", "n": 2}]
    assert merged["machine"]["commit"] == "a1, b2"
    assert (merged["load_before"], merged["load_after"]) == (0.5, 2)


def test_only_what_stands_between_the_marks_of_a_page_is_replaced():
    begin, end = BEGIN.format(section="b"), END.format(section="b")
    others = "\n".join(mark.format(section="a") for mark in (BEGIN, END))
    text = f"{others}\n{begin}\nold\n{end}\nz\n"
    assert put_page(text, "b", "new") == f"{others}\n{begin}\n\nnew\n\n{end}\nz\n"
    with pytest.raises(ValueError, match="the page has no"):
        put_page("nothing here", "b", "new")
