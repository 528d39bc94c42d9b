"""Blocked ALS as one Spark stage: listeners are shuffled once into blocks, a task fits each, all run side by side."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import BarrierTaskContext, StorageLevel
from pyspark.core.broadcast import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.errors import InputError, NonFiniteError
from musicrec.logs import Logger
from musicrec.models.als.params import AlsParams
from musicrec.models.embedding import EmbeddingModel, ItemMatrix
from musicrec.models.remarks import Remark, hear_remarks, no_remark
from musicrec.models.side_by_side import meeting, slots, why_not_side_by_side
from musicrec.models.task_pairs import narrow_pairs, read_pairs
from musicrec.models.task_rows import ITEMS, SCHEMA, USERS, items_in, report_row, reports_in, users_in, vector_rows

# Where no item's vector is longer, the penalties have outweighed all that was played: scores tell nothing apart, and a
# warm start would never leave 0.
_NOTHING_LEFT = 1e-6


def why_not_here(session: SparkSession, params: AlsParams) -> str | None:
    """Why blocks cannot run side by side in this session; None where they can."""
    most = slots(session)
    too_many = f"als.blocks = {params.blocks} is more than the {most} tasks that can run"
    return why_not_side_by_side(session) or (too_many if params.blocks > most else None)


def fit_blocked(
    interactions: DataFrame, params: AlsParams, seed: int, start: ItemMatrix | None, log: Logger | None
) -> EmbeddingModel | str:
    """The model, or why its item side cannot be held in every task; see `als.fit_als`."""
    from musicrec.models.als.item_kernels import GROUP

    if start is not None and start.vectors.shape[1] != params.rank:
        raise InputError("the item vectors to start from", f"rank {params.rank}", f"rank {start.vectors.shape[1]}")
    session = interactions.sparkSession
    blocks = params.blocks or slots(session)
    pairs = narrow_pairs(interactions).repartition(blocks, F.floor(F.col("user_idx") / GROUP))
    shared = session.sparkContext.broadcast(start) if start is not None else None
    iterations = params.warm_iterations if start is not None and params.warm_iterations else params.iterations
    with hear_remarks(session, log, "als: iterations", iterations) as remark:
        task = _task(params, seed, shared, iterations, remark, meeting(session))
        # The shuffle ends the stage of side-by-side tasks: what reads the result need not run all of them again.
        rows = pairs.mapInArrow(task, SCHEMA, barrier=True).repartition(blocks, "idx")
        rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            reports = reports_in(rows)
            reason = check_reports(reports, params)
        except BaseException:
            rows.unpersist()
            raise
    if shared is not None:
        shared.destroy()
    if reason:
        rows.unpersist()
        return reason
    return EmbeddingModel("als", users_in(rows), items_in(rows), _figures(reports), (rows,))


def check_reports(reports: list[dict[str, Any]], params: AlsParams) -> str | None:
    """Raise what the tasks found wrong; the reason where MLlib should take over."""
    total = sum(report["interactions"] for report in reports)
    bad = sum(report["bad"] for report in reports)
    if not total:
        raise InputError("interactions", "at least one to learn from", "none")
    if bad:
        raise InputError("interactions", "positive finite weights", f"{bad} others")
    first = reports[0]
    if "too_large" in first:
        return str(first["too_large"])
    wrong = sum(report["not_finite"] for report in reports)
    if wrong:
        raise NonFiniteError(f"model als: {wrong} vectors hold NaN or infinity after the fit")
    if max(report["longest_item"] for report in reports) < _NOTHING_LEFT:
        settings = f"als.regularization = {params.regularization}, als.unobserved = {params.unobserved}"
        raise InputError(settings, "penalties that leave vectors above 0", "all vectors of the fit at 0; lower them")
    return None


def _figures(reports: list[dict[str, Any]]) -> dict[str, float]:
    first = reports[0]
    figures = {name: float(first[name]) for name in ("loss", "listeners", "items", "iterations")}
    figures |= first["scale"]
    figures["interactions"] = float(sum(report["interactions"] for report in reports))
    figures["peak_mb_of_a_task"] = max(report["peak_mb"] for report in reports)
    for part in first["seconds"]:
        figures[f"seconds_{part}"] = max(report["seconds"][part] for report in reports)
    return figures


def _task(
    params: AlsParams,
    seed: int,
    start: Broadcast[ItemMatrix] | None,
    iterations: int,
    remark: Remark,
    near: str | None,
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def fit(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from musicrec.models.collective import Collective

        context = BarrierTaskContext.get()
        ring, (users, items, weights) = Collective.join_meanwhile(context, near, lambda: _ready(batches))
        bad = int((~(np.isfinite(weights) & (weights > 0))).sum())
        with ring:
            report = {"interactions": len(weights), "bad": bad}
            largest = ring.reduce(np.array([bad, items.max(initial=-1)], np.int64), np.maximum)
            width = int(largest[1]) + 1
            too_large = _too_large(width, params)
            if largest[0] or not width or too_large:
                yield report_row(report | ({"too_large": too_large} if too_large else {}))
                return
            say = remark if ring.rank == 0 else no_remark
            from musicrec.models.als.rows import make_block

            block = make_block(ring, users, items, weights, width)
            del users, items, weights
            yield from _fit(ring, block, params, seed, start.value if start else None, iterations, say, report)

    return fit


def _ready(batches: Iterable[pa.RecordBatch]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """This task's pairs; the compiled kernels are loaded too, while the tasks meet."""
    from musicrec.models.als.block import load_kernels

    pairs = read_pairs(batches)
    load_kernels()
    return pairs


def _too_large(width: int, params: AlsParams) -> str | None:
    from musicrec.models.als.items import BYTES_PER_CELL

    needed = width * params.rank * BYTES_PER_CELL >> 20
    if needed <= params.block_memory_mb:
        return None
    return (
        f"{width} items of rank {params.rank} take {needed} MB in every task, "
        f"over als.block_memory_mb = {params.block_memory_mb}"
    )


def _fit(
    ring: Any,
    block: Any,
    params: AlsParams,
    seed: int,
    start: ItemMatrix | None,
    iterations: int,
    remark: Remark,
    report: dict[str, Any],
) -> Iterator[pa.RecordBatch]:
    from musicrec.models.als import block as als_block
    from musicrec.models.collective import even_bounds

    items = als_block.first_items(block, params.rank, seed) if start is None else _placed(start, block.item_counts)
    found = als_block.alternate(ring, block, params, items, iterations, start is not None, remark)
    known = np.flatnonzero(block.item_counts).astype(np.int32)
    own = known[ring.own(even_bounds(len(known), ring.size))]
    not_finite = sum(int((~np.isfinite(side).all(axis=1)).sum()) for side in (found.users, found.items[own]))
    yield from vector_rows(USERS, block.user_idx, found.users)
    yield from vector_rows(ITEMS, own, found.items[own])
    yield report_row(
        report
        | {
            "not_finite": not_finite,
            "longest_item": float(np.sqrt((found.items[own] ** 2).sum(axis=1).max(initial=0.0))),
            "loss": found.loss,
            "listeners": block.listeners,
            "items": block.items,
            "iterations": iterations,
            "scale": block.scale.figures,
            "seconds": found.seconds,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )


def _placed(start: ItemMatrix, counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The earlier vectors at their items' places; new items and those without interactions are 0."""
    items = np.zeros((len(counts), start.vectors.shape[1]), np.float32)
    inside = start.item_idx < len(counts)
    items[start.item_idx[inside]] = start.vectors[inside]
    items[counts == 0] = 0
    return items
