"""What is `auto`, as numbers, by the amount of data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from musicrec.models.neural.attention import AttentionParams
from musicrec.models.neural.losses import LossParams
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.plan import Amount, Plan, make_plan
from musicrec.models.neural.training_params import NextTrackTraining

NARROW = LstmParams(dim=32)
# (items, plays, windows): the sample's seven days; a quarter of a million plays, in short sessions and in windows that
# are full; a million; ten million.
SAMPLE, QUARTER, RADIO = Amount(2_129, 32_019, 1_035), Amount(19_661, 220_139, 23_272), Amount(20_081, 247_257, 5_163)
MILLION, TEN_MILLION = Amount(27_832, 880_000, 110_000), Amount(178_183, 9_000_000, 1_000_000)


def numbers(plan: Plan) -> tuple[int, int, int, int, int]:
    training = plan.training
    return plan.negatives, training.batch_size, training.epochs, training.max_windows, plan.max_items


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (SAMPLE, (0, 16, 8, 0, 0)),
        (Amount(19_661, 30_000, 1_000), (0, 16, 8, 0, 0)),
        (QUARTER, (512, 32, 6, 0, 0)),
        (RADIO, (512, 8, 7, 0, 0)),
        (MILLION, (512, 64, 2, 0, 0)),
        (TEN_MILLION, (512, 256, 2, 0, 100_000)),
        (Amount(400, 9_000_000, 1_000_000), (0, 256, 2, 0, 0)),
        (Amount(12, 60, 12), (0, 4, 8, 0, 0)),
        (Amount(1, 1, 1), (0, 4, 8, 0, 0)),
        (Amount(0, 0, 0), (0, 4, 8, 0, 0)),
    ],
)
def test_loss_batch_epochs_and_windows_follow_from_the_data(
    amount: Amount, expected: tuple[int, int, int, int, int]
) -> None:
    plan = make_plan(NARROW, NextTrackTraining(), amount)
    windows = plan.training.max_windows
    assert (*numbers(plan)[:3], 0, numbers(plan)[4]) == expected
    # Where two epochs over everything are too many, windows are left out, in whole batches.
    assert (windows > 0) == (amount.plays > 1_000_000)
    assert windows % plan.training.batch_size == 0


amounts = st.builds(
    lambda items, windows, a_window, has_gpu: Amount(items, windows * a_window, windows, has_gpu),
    st.integers(1, 2_000_000),
    st.integers(1, 3_000_000),
    st.integers(1, 99),
    st.booleans(),
)
models = st.one_of(
    st.builds(LstmParams, dim=st.sampled_from([8, 32, 64, 256]), tied=st.booleans()),
    st.builds(AttentionParams, dim=st.sampled_from([8, 64, 128]), blocks=st.integers(1, 4)),
)


@given(amounts, models, st.sampled_from([5.0, 60.0, 600.0]))
def test_the_estimate_is_within_the_seconds(amount: Amount, model: Any, seconds: float) -> None:
    plan = make_plan(model, NextTrackTraining(seconds=seconds), amount)
    smallest = make_plan(
        model, NextTrackTraining(seconds=seconds, epochs=2, max_windows=plan.training.batch_size), amount
    )
    assert plan.seconds <= max(seconds, smallest.seconds)


@given(amounts, models, st.integers(2, 10))
def test_more_data_never_gets_more_epochs_nor_more_of_its_windows(amount: Amount, model: Any, times: int) -> None:
    more = Amount(amount.items * times, amount.plays * times, amount.windows * times, amount.has_gpu)
    # One batch size and one loss: a larger batch makes an epoch cheaper, and so does the step to negatives.
    model = model.model_copy(update={"loss": LossParams(negatives=512)})
    training = NextTrackTraining(batch_size=64)
    few, many = make_plan(model, training, amount).training, make_plan(model, training, more).training
    assert many.epochs <= few.epochs
    share, less = ((t.max_windows or a.windows) / a.windows for t, a in ((few, amount), (many, more)))
    assert less <= share + 64 / more.windows + 64 / amount.windows


@given(
    amounts,
    models,
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 90),
            "batch_size": st.integers(1, 512),
            "max_windows": st.integers(0, 10_000),
        },
    ),
    st.fixed_dictionaries({}, optional={"negatives": st.integers(0, 5000), "max_items": st.integers(0, 10_000)}),
)
def test_what_is_given_stays_key_by_key(
    amount: Amount, model: Any, given_training: dict[str, int], given_model: dict[str, int]
) -> None:
    training = NextTrackTraining.model_validate({"learning_rate": 0.5, "clip_norm": 3.0, **given_training})
    loss = LossParams.model_validate({k: v for k, v in given_model.items() if k == "negatives"})
    updates: dict[str, Any] = {k: v for k, v in given_model.items() if k == "max_items"}
    plan = make_plan(model.model_copy(update={**updates, "loss": loss}), training, amount)
    made = plan.training.model_dump()
    kept = {**given_training, "learning_rate": 0.5, "clip_norm": 3.0}
    assert {name: made[name] for name in kept} == kept
    found = {"negatives": plan.negatives, "max_items": plan.max_items}
    assert {name: found[name] for name in given_model} == given_model
    shape = plan.shape(model)
    assert (shape.loss.negatives, shape.max_items) == (plan.negatives, plan.max_items)


def test_a_gpu_affords_more_and_attention_is_planned_alike() -> None:
    one, other = (make_plan(NARROW, NextTrackTraining(), Amount(19_661, 220_139, 23_272, gpu)) for gpu in (False, True))
    assert (one.training.epochs, other.training.epochs) == (6, 8)
    assert other.seconds < one.seconds
    attention = make_plan(AttentionParams(dim=32), NextTrackTraining(), QUARTER)
    assert attention.negatives == 512
    assert attention.seconds <= 60
    assert make_plan(AttentionParams(dim=32), NextTrackTraining(), SAMPLE).negatives == 0


def test_several_trainers_share_a_batch_evenly() -> None:
    assert make_plan(NARROW, NextTrackTraining(), QUARTER, trainers=3).training.batch_size == 33


@pytest.mark.parametrize("value", [-1, 0, 1.5, "many", True, None, [2]])
def test_what_is_neither_auto_nor_a_count_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match=r'epochs\n.*must be "auto" or a whole number from 1 on'):
        NextTrackTraining.model_validate({"epochs": value})
