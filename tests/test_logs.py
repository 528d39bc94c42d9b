from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from musicrec import logs
from musicrec.logs import Ticker, make_logger, shown_score


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    return now


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_many_short_steps_give_a_line_each_ten_seconds_with_the_time_left(clock: list[float]) -> None:
    stream = io.StringIO()
    ticker = Ticker(make_logger("run-1", as_json=True, stream=stream), "training", 100, None)
    for _ in range(50):
        clock[0] += 0.5
        ticker.move(1, loss=0.25)
    found = lines(stream)
    # The first at once, then at 10.5 and 20.5 seconds.
    assert [(line["step"], line["left_s"]) for line in found] == [(1, 50), (21, 40), (41, 30)]
    assert {(line["run_id"], line["of"], line["loss"]) for line in found} == {("run-1", 100, 0.25)}


def test_steps_of_an_earlier_run_do_not_count_for_the_time_left(clock: list[float]) -> None:
    stream = io.StringIO()
    ticker = Ticker(make_logger("run-1", as_json=True, stream=stream), "training", 100, None)
    ticker.skip(80, resumed_at_epoch=4)
    clock[0] += 20
    ticker.move(10, loss=0.5)
    assert [(line["step"], line.get("left_s")) for line in lines(stream)] == [(80, None), (90, 20)]


def test_a_bar_keeps_the_metric_beside_the_loss() -> None:
    bar = Progress(TextColumn("{task.fields[figures]}"), console=Console(file=io.StringIO()))
    ticker = Ticker(make_logger("run-1"), "training", 10, bar)
    ticker.move(4, loss=2.0)
    ticker.tell(epoch=0, ndcg_at_10=0.125)
    ticker.move(1, loss=1.5, sequences_per_s=70)
    task = bar.tasks[0]
    assert task.completed == 5
    assert task.fields["figures"] == "loss 1.5  epoch 0  ndcg_at_10 0.125  sequences_per_s 70"


def test_work_that_others_show_is_silent() -> None:
    stream = io.StringIO()
    ticker = Ticker(make_logger("run-1", stream=stream), "training", 10, None, shown=False)
    ticker.move(1)
    ticker.tell(loss=1.0)
    assert stream.getvalue() == ""


def test_a_score_is_printed_with_digits_that_tell_at_any_scale() -> None:
    scores = (0.02837, 0.0, -1.5, 8.123e-12, -2.5e-5, 123456789.0)
    assert [shown_score(score) for score in scores] == [
        "0.0284",
        "0.0000",
        "-1.5000",
        "8.12e-12",
        "-2.50e-05",
        "1.23e+08",
    ]
    assert shown_score(0.63249, 3) == "0.632"
