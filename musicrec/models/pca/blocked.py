"""PCA as one Spark stage: listeners are shuffled once into blocks, a task keeps each, all run side by side."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import BarrierTaskContext, StorageLevel
from pyspark.sql import DataFrame

from musicrec.errors import InputError, NonFiniteError, TooLittleError
from musicrec.logs import Logger
from musicrec.models.embedding import EmbeddingModel
from musicrec.models.pca.params import PcaParams
from musicrec.models.remarks import Remark, hear_remarks, no_remark
from musicrec.models.side_by_side import meeting, slots, why_not_side_by_side
from musicrec.models.task_pairs import narrow_pairs, read_pairs
from musicrec.models.task_rows import ITEMS, SCHEMA, USERS, items_in, report_row, reports_in, users_in, vector_rows

Ints32 = NDArray[np.int32]
Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]


def fit_blocked(
    interactions: DataFrame, params: PcaParams, seed: int, log: Logger | None
) -> tuple[EmbeddingModel, Floats64, float]:
    """The embedding, the eigenvalues of the scatter matrix, falling [k], and their sum over all there are.

    See `pca.fit_pca`.
    """
    session = interactions.sparkSession
    alone = why_not_side_by_side(session)
    if alone and log:
        log.warning("pca: one task does all", reason=alone)
    most = 1 if alone else slots(session)
    blocks = min(params.blocks or most, most)
    pairs = narrow_pairs(interactions).repartition(blocks, "user_idx")
    with hear_remarks(session, log, "pca: passes, at most", params.max_iterations) as remark:
        # The shuffle ends the stage of side-by-side tasks: what reads the result need not run all of them again.
        rows = pairs.mapInArrow(_task(params, seed, remark, blocks, meeting(session)), SCHEMA, barrier=blocks > 1)
        rows = rows.repartition(blocks, "idx").persist(StorageLevel.MEMORY_AND_DISK)
        try:
            reports = reports_in(rows)
            _check(reports, params)
        except BaseException:
            rows.unpersist()
            raise
    embedding = EmbeddingModel("pca", users_in(rows), items_in(rows), _figures(reports), (rows,))
    return embedding, np.array(reports[0]["values"]), float(reports[0]["scatter"])


def _check(reports: list[dict[str, Any]], params: PcaParams) -> None:
    """Raise what the tasks found wrong."""
    bad = sum(report["bad"] for report in reports)
    if not sum(report["interactions"] for report in reports):
        raise InputError("interactions", "at least one to learn from", "none")
    if bad:
        raise InputError("interactions", "finite weights", f"{bad} others")
    first = reports[0]
    rows, items, components = first["listeners"], first["items"], params.components
    if rows < 2:
        raise TooLittleError("pca", "two listeners or more", str(rows))
    if components > min(rows, items):
        expected = f"at most {min(rows, items)} ({rows} listeners, {items} items)"
        raise InputError("pca.components", expected, str(components))
    if not first["scatter"] > 0:
        expected = "listeners that differ" if params.center else "weights other than 0"
        raise TooLittleError("pca", expected, f"{rows} with the same weights")
    wrong = sum(report["not_finite"] for report in reports)
    if wrong:
        raise NonFiniteError(f"model pca: {wrong} vectors hold NaN or infinity after the fit")


def _figures(reports: list[dict[str, Any]]) -> dict[str, float]:
    first = reports[0]
    figures = {name: float(first[name]) for name in ("passes", "missing", "residual", "listeners", "items")}
    figures["explained_variance_ratio"] = float(np.sum(first["values"]) / first["scatter"])
    figures["interactions"] = float(sum(report["interactions"] for report in reports))
    figures["peak_mb_of_a_task"] = max(report["peak_mb"] for report in reports)
    for name in first["seconds"]:
        figures[f"seconds_{name}"] = max(report["seconds"][name] for report in reports)
    return figures


def _task(
    params: PcaParams, seed: int, remark: Remark, blocks: int, near: str | None
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def fit(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from musicrec.models.collective import Collective

        context = BarrierTaskContext.get() if blocks > 1 else None
        ring, (users, items, weights) = Collective.join_meanwhile(context, near, lambda: read_pairs(batches))
        report: dict[str, Any] = {"interactions": len(users), "bad": int((~np.isfinite(weights)).sum())}
        with ring:
            worst = ring.reduce(np.array([report["bad"], items.max(initial=-1)], np.int64), np.maximum)
            if worst[0] or worst[1] < 0:
                yield report_row(report)
                return
            from musicrec.models.pca.block import make_block

            block = make_block(ring, users, items, weights, int(worst[1]), params.center)
            del users, items, weights
            report |= {"listeners": block.listeners, "items": len(block.item_idx), "scatter": block.scatter}
            enough = min(block.listeners, len(block.item_idx)) >= params.components
            if block.listeners < 2 or not enough or not block.scatter > 0:
                yield report_row(report)
                return
            yield from _fit(ring, block, params, seed, remark if ring.rank == 0 else no_remark, report)

    return fit


def _fit(
    ring: Any, block: Any, params: PcaParams, seed: int, remark: Remark, report: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    from musicrec.models.collective import even_bounds
    from musicrec.models.pca.block import decompose

    found = decompose(
        ring,
        block,
        params.components,
        params.oversampling,
        params.max_iterations,
        params.tolerance,
        seed,
        remark,
    )
    own = ring.own(even_bounds(len(block.item_idx), ring.size))
    not_finite = sum(int((~np.isfinite(side).all(axis=1)).sum()) for side in (found.users, found.items[own]))
    yield from vector_rows(USERS, block.user_idx, found.users)
    yield from vector_rows(ITEMS, block.item_idx[own], found.items[own], block.mean[own])
    yield report_row(
        report
        | {
            "not_finite": not_finite,
            "values": found.directions.values.tolist(),
            "passes": found.directions.passes,
            "missing": found.directions.missing,
            "residual": found.directions.residual,
            "seconds": found.seconds,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
