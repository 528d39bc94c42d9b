"""Accuracy by published protocols.

    python -m benchmarks.accuracy PROTOCOL FOLDER [--models als,knn,popular,pca,lstm,attention,ncf,dot_bias]
        [--preset P] [--set als.rank=64] [--stage valid|test] [--seed N[,N...]] [--json FILE]

PROTOCOL and its files: see benchmarks/protocols.py. Settings come from benchmarks/presets/PROTOCOL.toml, or from the
preset of that name or path, then from --set. They are chosen with `--stage valid`, which holds out a part of the
training data; `--stage test` reads the test once a model. Prints, and writes as a list of objects, `model`, the
protocol's two figures and `seconds` of the fit; `engine` is the model too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import csr_matrix

from benchmarks import neural_models, neural_pairs
from benchmarks.measure import ROOT, Row, benchmark_session, measured, print_rows, write_json
from benchmarks.protocols import PROTOCOLS, Stage, load_task
from benchmarks.tasks import Ints, Pairs, Scorer, Scores, Task
from musicrec.entry import ended_with
from musicrec.errors import ConfigError
from musicrec.models.als.fit import AlsParams, fit_als
from musicrec.models.blocks import read_vectors
from musicrec.models.embedding import EmbeddingModel, collect_items
from musicrec.models.knn.fit import fit_knn, neighbours_matrix
from musicrec.models.knn.matrix import KnnParams
from musicrec.models.pca.fit import PcaParams, fit_pca
from musicrec.params import Params
from musicrec.toml_values import unknown_key

Settings = Mapping[str, Mapping[str, Any]]
Chosen = TypeVar("Chosen", bound=Params)
Fit = Callable[[DataFrame, Task, Settings, int], Scorer]


@click.command()
@click.argument("protocol", type=click.Choice(PROTOCOLS))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--models", default="als,knn,popular", show_default=True)
@click.option("--preset", help="Name in benchmarks/presets, or path of a TOML file; PROTOCOL where not given.")
@click.option("--set", "overrides", multiple=True, metavar="MODEL.KEY=VALUE", help="Override a setting.")
@click.option("--stage", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--seed", "seeds", default="1", show_default=True, help="One, or several with commas: then the mean too.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    protocol: str,
    folder: Path,
    models: str,
    preset: str | None,
    overrides: tuple[str, ...],
    stage: Stage,
    seeds: str,
    json_path: Path | None,
) -> None:
    """Fit models on a protocol's training data and judge them as it says."""

    def work() -> None:
        names = models.split(",")
        unknown = next((name for name in names if name not in {**FITS, **NEURAL}), None)
        if unknown is not None:
            raise ConfigError("--models", f"some of {', '.join([*FITS, *NEURAL])}", unknown)
        settings = read_settings(preset or protocol, overrides)
        numbers = [seed_of(word) for word in seeds.split(",")]
        # Before a session starts, which takes longer than to see that a file is wrong.
        tasks = [load_task(protocol, folder, stage, seed) for seed in numbers]
        session = benchmark_session(driver_memory="6g") if set(names) - set(NEURAL) else None
        rows = []
        for seed, task in zip(numbers, tasks, strict=True):
            rows += [{**judge(session, name, task, settings, seed), "seed": seed} for name in names]
        if session is not None:
            session.stop()
        rows += [mean_of([row for row in rows if row["model"] == name]) for name in names if len(numbers) > 1]
        rows = [{**row, "protocol": protocol, "stage": stage} for row in rows]
        write_json(rows, json_path)
        print_rows(
            rows,
            f"{protocol}, {stage}: {tasks[0].users:,} listeners, {tasks[0].items:,} items, "
            f"{len(tasks[0].train):,} pairs",
        )

    ended_with(work)


def seed_of(word: str) -> int:
    """A seed of the command line.

    Raises
    ------
    ConfigError : it is no whole number from 0 on.
    """
    if not word.strip().isdecimal():
        raise ConfigError("--seed", "whole numbers with commas", word)
    return int(word)


def judge(session: SparkSession | None, name: str, task: Task, settings: Settings, seed: int) -> Row:
    """Fit one model and judge it; the neural ones need no session."""
    if name in NEURAL:
        scorer, seconds, peak = measured(name, lambda: NEURAL[name](task, settings, seed))
    else:
        assert session is not None
        interactions = as_interactions(session, task.train)
        scorer, seconds, peak = measured(name, lambda: FITS[name](interactions, task, settings, seed))
    return {"engine": name, "model": name, **task.judge(scorer), "seconds": seconds, "peak_mb": peak}


def mean_of(rows: list[Row]) -> Row:
    """The mean of each figure over seeds."""
    numbers = {name for name, value in rows[0].items() if isinstance(value, float)}
    means = {name: float(np.mean([row[name] for row in rows])) for name in numbers}
    return {**rows[0], **means, "seed": "mean"}


def as_interactions(session: SparkSession, pairs: Pairs) -> DataFrame:
    """DataFrame (user_idx, item_idx, weight = 1)."""
    cells = [pa.array(column, pa.int32()) for column in (pairs.users, pairs.items)]
    table = pa.table([*cells, pa.array(np.ones(len(pairs)))], ["user_idx", "item_idx", "weight"])
    return session.createDataFrame(table)


def read_settings(preset: str, overrides: Sequence[str]) -> Settings:
    """Settings by model, from a preset and `model.key=value`.

    Raises
    ------
    ConfigError : no such preset, not TOML, or an override of another form.
    """
    where = Path(preset) if preset.endswith(".toml") else ROOT / "benchmarks" / "presets" / f"{preset}.toml"
    try:
        settings = tomllib.loads(where.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"preset {preset}", f"a TOML file at {where}", str(error)) from None
    for override in overrides:
        key, _, value = override.partition("=")
        *path_to, name = key.split(".")
        if not (path_to and all(path_to) and name and value):
            raise ConfigError(f"--set {override}", "model.key=value", "something else")
        place = settings
        for part in path_to:
            place = place.setdefault(part, {})
        try:
            place[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            place[name] = value
    return settings


def params_of(kind: type[Chosen], model: str, settings: Settings) -> Chosen:
    """The model's checked settings.

    Raises
    ------
    ConfigError : an unknown key or a wrong value.
    """
    try:
        return kind.model_validate(settings.get(model, {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([model, *(str(part) for part in first["loc"])])
        if first["type"] == "extra_forbidden":
            raise unknown_key(key, [f"{model}.{name}" for name in kind.model_fields], "--preset or --set") from None
        raise ConfigError(key, first["msg"], str(first["input"])) from None


def _als(interactions: DataFrame, task: Task, settings: Settings, seed: int) -> Scorer:
    model = fit_als(interactions, params_of(AlsParams, "als", settings), seed)
    return vector_scorer(model, task)


def _pca(interactions: DataFrame, task: Task, settings: Settings, seed: int) -> Scorer:
    return vector_scorer(fit_pca(interactions, params_of(PcaParams, "pca", settings), seed).embedding, task)


def _knn(interactions: DataFrame, task: Task, settings: Settings, seed: int) -> Scorer:
    """Item-item: a score is the sum of the similarities to the listener's items that have it as a neighbour."""
    similar = neighbours_matrix(fit_knn(interactions, params_of(KnnParams, "knn", settings)), task.items)
    ones = np.ones(len(task.train))
    heard = csr_matrix((ones, (task.train.users, task.train.items)), (task.users, task.items))
    # Row i holds i's neighbours: an item is scored by the listener's items among its own neighbours.
    transposed = similar.T.tocsr()

    def score(users: Ints) -> Scores:
        return np.asarray((heard[users] @ transposed).toarray(), dtype=np.float32)

    return score


def _popular(interactions: DataFrame, task: Task, settings: Settings, seed: int) -> Scorer:
    counts = np.bincount(task.train.items, minlength=task.items).astype(np.float32)
    return lambda users: np.tile(counts, (len(users), 1))


def vector_scorer(model: EmbeddingModel, task: Task) -> Scorer:
    """Products of vectors; an item that the model does not know comes after all it knows, a listener's are all 0."""
    users = model.user_vectors.toArrow()
    items = collect_items(model.item_vectors)
    width = items.vectors.shape[1]
    of_user: NDArray[np.float32] = np.zeros((task.users, width), np.float32)
    of_user[users["user_idx"].to_numpy()] = read_vectors(users["vector"].combine_chunks())
    unknown = np.setdiff1d(np.arange(task.items), items.item_idx)

    def score(rows: Ints) -> Scores:
        scores = np.empty((len(rows), task.items), np.float32)
        scores[:, items.item_idx] = of_user[rows] @ items.vectors.T + items.bias
        scores[:, unknown] = np.finfo(np.float32).min
        return scores

    return score


def _lstm(task: Task, settings: Settings, seed: int) -> Scorer:
    return neural_models.next_track(task, params_of(neural_models.LstmSettings, "lstm", settings), seed)


def _attention(task: Task, settings: Settings, seed: int) -> Scorer:
    return neural_models.next_track(task, params_of(neural_models.AttentionSettings, "attention", settings), seed)


def _ncf(task: Task, settings: Settings, seed: int) -> Scorer:
    return neural_pairs.ncf(task, params_of(neural_pairs.NcfSettings, "ncf", settings), seed)


def _dot_bias(task: Task, settings: Settings, seed: int) -> Scorer:
    return neural_pairs.dot_bias(task, params_of(neural_pairs.DotBiasSettings, "dot_bias", settings), seed)


FITS: dict[str, Fit] = {"als": _als, "knn": _knn, "popular": _popular, "pca": _pca}
NEURAL: dict[str, Callable[[Task, Settings, int], Scorer]] = {
    "lstm": _lstm,
    "attention": _attention,
    "ncf": _ncf,
    "dot_bias": _dot_bias,
}


if __name__ == "__main__":
    main()
