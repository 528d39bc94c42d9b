"""ALS's default settings beside tuned ones, on data of many sizes.

    python -m benchmarks.als_defaults FOLDER [--data sample,hetrec] [--trials 24] [--rank 64] [--seed 1] [--json FILE]

FOLDER holds the published files: `lastfm-hetrec`, `gowalla`, `ml-1m`; what is not there is left out, and said so. What
each data set is: `benchmarks/als_cases.py`. Tuned is the best of `--trials` settings (the default, half of the others
drawn, half near the best so far) on the validation part, at the same rank; all figures are the NDCG@10 of the test.
`per pair` is what settings of the loss of Rendle et al. (2021) that are right for the sample give when they are carried
over: a weight of each unobserved pair, penalties that count it. `implicit` is that library's ALS as it comes, with as
many factors.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.als_cases import Case, Lesson, cases, sizes_of
from benchmarks.measure import Row, print_rows, write_json
from benchmarks.tasks import Ints, Scorer, Scores
from musicrec.entry import ended_with
from musicrec.errors import InputError, MusicrecError
from musicrec.models.als.alone import Vectors, fit_alone
from musicrec.models.als.params import AlsParams
from musicrec.models.als.scale import Scale

# What is searched: bounds, by a factor but for the exponent.
_UNOBSERVED, _REGULARIZATION, _EXPONENT = (0.03, 3.0), (0.3, 8.0), (0.0, 1.0)
_NEAR = 0.15  # of the logarithm's range, or of the exponent's
_JUDGED = 1500  # listeners, in the search


class PerPair(AlsParams):
    """The loss of Rendle et al. (2021), in its own units: α₀, alpha and λ = λ₀ (n + α₀ m)."""

    others: dict[int, int] = {}  # noqa: RUF012 (pydantic copies it)
    pair_weight: float = 1.0
    alpha: float = 3.0
    per_pair: float = 0.05

    def unobserved_weight(self, scale: Scale) -> float:
        """α₀, in mean weights of an interaction."""
        return self.pair_weight / (self.alpha * scale.mean_weight)

    def penalties(self, counts: NDArray[np.int64], scale: Scale) -> NDArray[np.float32]:
        """λ of vectors with `counts` interactions each; m is the other side's size."""
        reach = counts + self.pair_weight * self.others[len(counts)]
        return np.asarray(self.per_pair * reach / (self.alpha * scale.mean_weight), dtype=np.float32)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", help="Names with commas; all where not given.")
@click.option("--trials", default=24, show_default=True)
@click.option("--rank", default=64, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(folder: Path, data: str | None, trials: int, rank: int, seed: int, json_path: Path | None) -> None:
    """Compare the default with the best of a search on each data set."""

    def work() -> None:
        known = cases(folder, seed)
        rows = []
        for name in data.split(",") if data else list(known):
            if name not in known:
                raise InputError("--data", f"some of {', '.join(known)}", name)
            try:
                case = known[name]()
            except InputError as error:
                click.echo(f"{name} is left out: {error}")
                continue
            rows.append(row_of(case, AlsParams(rank=rank), trials, seed))
            print_rows(rows[-1:], f"{name}, rank {rank}, seed {seed}")
        write_json(rows, json_path)
        print_rows(rows, "NDCG@10 of the test")

    ended_with(work)


def row_of(case: Case, default: AlsParams, trials: int, seed: int) -> Row:
    """The table's row of a data set."""
    best = tuned(case, default, trials, seed)
    listeners, items, pairs = sizes_of(case.test)
    began = time.perf_counter()
    found = judge(case.test, default, seed)
    seconds = time.perf_counter() - began
    other = judge(case.test, best, seed)
    beside = implicit_scorer(case.test, default.rank, seed)
    return {
        "engine": case.name,
        "listeners": listeners,
        "items": items,
        "pairs": pairs,
        "default": found,
        "tuned": other,
        "share": found / other,
        "per_pair": judge(case.test, per_pair(case.test, default.rank), seed),
        "implicit": case.test.task.judge(beside)["ndcg_at_10"],
        "seconds": seconds,
        "settings": f"{best.unobserved:.3g}, {best.regularization:.3g}, {best.regularization_exponent:.2g}",
    }


def tuned(case: Case, default: AlsParams, trials: int, seed: int) -> AlsParams:
    """The best on the validation part of the default and `trials` - 1 others."""
    lessons = [lesson.judged_on(_JUDGED, seed) for lesson in case.valid]
    rng = np.random.default_rng(seed)
    best, highest = default, -math.inf
    for number in range(trials):
        params = default if number == 0 else drawn(best, rng) if number <= trials // 2 else near(best, rng)
        reached = float(np.mean([judge(lesson, params, seed) for lesson in lessons]))
        if reached > highest:
            best, highest = params, reached
    return best


def drawn(params: AlsParams, rng: np.random.Generator) -> AlsParams:
    """Settings from anywhere in the space; the rank and what else is not searched stay."""
    unobserved, regularization = (math.exp(rng.uniform(*np.log(bounds))) for bounds in (_UNOBSERVED, _REGULARIZATION))
    return _with(params, unobserved, regularization, rng.uniform(*_EXPONENT))


def near(params: AlsParams, rng: np.random.Generator) -> AlsParams:
    """Settings a step away."""
    first, second, third = rng.normal(0, _NEAR, 3)
    return _with(
        params,
        params.unobserved * (_UNOBSERVED[1] / _UNOBSERVED[0]) ** first,
        params.regularization * (_REGULARIZATION[1] / _REGULARIZATION[0]) ** second,
        float(np.clip(params.regularization_exponent + third, *_EXPONENT)),
    )


def _with(params: AlsParams, unobserved: float, regularization: float, exponent: float) -> AlsParams:
    own = {"unobserved": unobserved, "regularization": regularization, "regularization_exponent": exponent}
    return params.model_copy(update=own)


def judge(lesson: Lesson, params: AlsParams, seed: int) -> float:
    """NDCG@10 of a fit; 0 for one that leaves no vectors."""
    train = lesson.task.train
    try:
        model = fit_alone(train.users.astype(np.int32), train.items.astype(np.int32), lesson.weights, params, seed)
    except MusicrecError:
        return 0.0
    return lesson.task.judge(scorer_of(lesson, model))["ndcg_at_10"]


def scorer_of(lesson: Lesson, model: Vectors) -> Scorer:
    """Products of vectors; items that no one has in training come last, a listener without a vector is 0."""
    task = lesson.task
    users: Scores = np.zeros((task.users, model.users.shape[1]), np.float32)
    users[model.user_idx] = model.users
    unknown = np.setdiff1d(np.arange(task.items), model.item_idx)

    def score(rows: Ints) -> Scores:
        scores = np.empty((len(rows), task.items), np.float32)
        scores[:, model.item_idx] = users[rows] @ model.items.T
        scores[:, unknown] = np.finfo(np.float32).min
        return scores

    return score


def per_pair(lesson: Lesson, rank: int) -> PerPair:
    """The sample's earlier settings, for this data's numbers of listeners and items."""
    listeners, items, _ = sizes_of(lesson)
    width = int(lesson.task.train.items.max()) + 1
    return PerPair(rank=rank, iterations=8, others={listeners: items, width: listeners})


def implicit_scorer(lesson: Lesson, rank: int, seed: int) -> Scorer:
    """implicit's ALS, nothing but its factors set."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    task = lesson.task
    matrix = csr_matrix((lesson.weights, (task.train.users, task.train.items)), shape=(task.users, task.items))
    fit: Any = AlternatingLeastSquares(factors=rank, random_state=seed)
    with threadpool_limits(1, user_api="blas"):  # as implicit asks for
        fit.fit(matrix, show_progress=False)
    heard = np.flatnonzero(np.bincount(task.train.items, minlength=task.items)).astype(np.int32)
    everyone = np.arange(task.users, dtype=np.int32)
    return scorer_of(lesson, Vectors(everyone, fit.user_factors, heard, fit.item_factors[heard]))


if __name__ == "__main__":
    main()
