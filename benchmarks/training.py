"""Speed of training the LSTM, by loss and size of the catalogue.

    python -m benchmarks.training [--items 2000,16000,200000] [--losses full,sampled] [--windows 100000]
        [--batch-size 256] [--dim 64] [--seconds 10] [--json FILE]

Windows of 50 plays, drawn by Zipf's law over the catalogue, lie on disk as a snapshot and come through the reader that
the nightly has; the loop is the nightly's too. On a GPU where there is one. After some steps to warm up, as many are
taken as fill `--seconds`. Prints, and writes as a list of objects: `engine` (the loss), `items`, `events_per_s`,
`wait_share` (of the steps' time in which no batch was ready), `memory_mb` (the process' peak, or the GPU's), `device`.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.measure import Row, print_rows, write_json
from benchmarks.reader import write_snapshot_files
from musicrec.entry import ended_with
from musicrec.io.sequences import SnapshotSource, open_snapshot
from musicrec.logs import Ticker, make_logger
from musicrec.models.neural.kinds import make_model
from musicrec.models.neural.losses import LossParams
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.meter import Batch
from musicrec.models.neural.processes import ALONE
from musicrec.models.neural.training import train
from musicrec.models.neural.training_params import TrainingParams

_LENGTH = 50
_NEGATIVES = 512
_WARM_UP = 2


@click.command()
@click.option("--items", default="2000,16000,200000", show_default=True, help="Sizes of the catalogue.")
@click.option("--losses", default="full,sampled", show_default=True, help="full: softmax; sampled: 512 negatives.")
@click.option("--windows", default=100_000, show_default=True)
@click.option("--batch-size", default=256, show_default=True, help="Windows in a step.")
@click.option("--dim", default=64, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of steps, for each row.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(
    items: str, losses: str, windows: int, batch_size: int, dim: int, seconds: float, json_path: Path | None
) -> None:
    """Train for some seconds with each loss and catalogue."""

    def work() -> None:
        rows = []
        for size in map(int, items.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                write_snapshot_files(Path(folder), zipf_windows(windows, size), size)
                source = SnapshotSource(open_snapshot(Path(folder)), batch_size, seed=1)
                for loss in losses.split(","):
                    rows.append(measure(loss, size, source, dim, seconds))
        write_json(rows, json_path)
        print_rows(rows, f"Training the LSTM: {batch_size} windows of {_LENGTH} in a step, {dim} wide")

    ended_with(work)


def zipf_windows(windows: int, items: int) -> np.ndarray:
    """[windows × 50] plays, item k with a probability of about 1 / (k + 1)."""
    draws = np.random.default_rng(1).random((windows, _LENGTH))
    return np.minimum(np.exp(draws * np.log(items + 1)) - 1, items - 1).astype(np.int32)


class SomeSteps:
    """The first steps of a source."""

    def __init__(self, source: SnapshotSource, steps: int) -> None:
        self._source, self._steps = source, min(steps, source.steps())

    def steps(self) -> int:
        """As many as were asked for, or there are."""
        return self._steps

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The source's."""
        return self._source.batches(epoch, start)


def measure(loss: str, items: int, source: SnapshotSource, dim: int, seconds: float) -> Row:
    """Events a second of one loss and catalogue."""
    negatives = {"full": 0, "sampled": _NEGATIVES}[loss]
    shape = LstmParams(dim=dim, loss=LossParams(negatives=negatives))
    model = make_model(items, shape, seed=1)
    device = ALONE.device()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def run(steps: int) -> tuple[float, int, float]:
        some = SomeSteps(source, steps)
        ticker = Ticker(make_logger("training"), f"{loss}, {items:,} items", steps, None, shown=False)
        epoch = train(model, some, TrainingParams(epochs=1), ticker).history[0]
        return epoch.seconds, epoch.events, epoch.waited

    run(_WARM_UP)
    a_step = run(_WARM_UP)[0] / _WARM_UP
    taken, events, waited = run(max(round(seconds / a_step), _WARM_UP))
    memory = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else _peak_mb()
    place = torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return {
        "engine": loss,
        "items": items,
        "events_per_s": round(events / taken),
        "wait_share": round(waited, 4),
        "memory_mb": round(memory),
        "device": place,
        "seconds": round(taken, 2),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
