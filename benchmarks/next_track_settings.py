"""Settings of a next-track model on the windows of a night: how good after each epoch, and how much work.

    python -m benchmarks.next_track_settings LAKEHOUSE/files/lstm [--try "negatives=0 batch_size=32 epochs=4"] ...
        [--seed 1] [--json FILE]

FOLDER is what `train_sequence` left behind: each set of settings is trained on its `train`, judged on its `valid`. A
set of settings names `negatives` and `max_items`, keys of the shape (`dim`, …) and of the training (`epochs`,
`batch_size`, `learning_rate`, `schedule`, …); the rest is as the defaults of `TrainingParams`, with a rate of 7e-3. One
thread, so that a second of CPU is one. Prints, and writes as a list of objects, `engine` (the settings), `steps` of an
epoch, `cpu_s` of an epoch (training and judging), and `ndcg_at_10` after each.
"""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from pydantic import ValidationError

from benchmarks.measure import Row, print_rows, write_json
from musicrec.entry import ended_with
from musicrec.errors import ConfigError
from musicrec.io.sequences import Snapshot, SnapshotSource, open_snapshot
from musicrec.logs import Ticker, make_logger
from musicrec.models.neural.kinds import make_model
from musicrec.models.neural.losses import LossParams
from musicrec.models.neural.lstm import LstmParams
from musicrec.models.neural.next_track import Places
from musicrec.models.neural.training import train
from musicrec.models.neural.training_params import TrainingParams
from musicrec.pipelines.sequence_job import judge_windows

_JUDGED_AT_ONCE = 256


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--try", "tries", multiple=True, default=("negatives=0",), help="Settings, with blanks between them.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the rows here.")
def main(folder: Path, tries: tuple[str, ...], seed: int, json_path: Path | None) -> None:
    """Train with each set of settings, one after the other."""

    def work() -> None:
        torch.set_num_threads(1)
        known, valid = open_snapshot(folder / "train"), open_snapshot(folder / "valid")
        asked = [(text, *settings_of(text)) for text in tries]
        rows = [measure(text, shape, training, known, valid, seed) for text, shape, training in asked]
        write_json(rows, json_path)
        print_rows(rows, f"{known.rows:,} windows to learn from, {valid.rows:,} to judge by, {known.n_items:,} items")

    ended_with(work)


def settings_of(text: str) -> tuple[LstmParams, TrainingParams]:
    """The shape and the training that `key=value`s say.

    Raises
    ------
    ConfigError : an unknown key or a wrong value.
    """
    try:
        given = {
            key: tomllib.loads(f"v = {value}")["v"] for key, _, value in (part.partition("=") for part in text.split())
        }
        loss = {key: given.pop(key) for key in ("negatives", "uniform_share") if key in given}
        of_shape = {key: given.pop(key) for key in list(given) if key in LstmParams.model_fields}
        shape: dict[str, Any] = {"dim": 32, **of_shape, "loss": LossParams.model_validate({"negatives": 0, **loss})}
        training = {"learning_rate": 7e-3, "epochs": 4, "batch_size": 32, "patience": 99, **given}
        return LstmParams.model_validate(shape), TrainingParams.model_validate(training)
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("--try", "settings as key=value, with blanks between them", f"{text!r}: {error}") from None


def measure(text: str, shape: LstmParams, training: TrainingParams, known: Snapshot, valid: Snapshot, seed: int) -> Row:
    """The figures of one set of settings."""
    model = make_model(known.n_items, shape, seed, by_plays(known))
    torch.manual_seed(seed)
    source = SnapshotSource(known, training.batch_size, seed)
    ticker = Ticker(make_logger("settings"), text, training.epochs * source.steps(), None, shown=False)
    started = time.process_time()
    done = train(model, source, training, ticker, judge_windows(SnapshotSource(valid, _JUDGED_AT_ONCE, None)))
    seconds = (time.process_time() - started) / len(done.history)
    ndcg = " ".join(f"{epoch.figures['ndcg_at_10']:.4f}" for epoch in done.history)
    return {"engine": text, "steps": source.steps(), "cpu_s": round(seconds, 2), "ndcg_at_10": ndcg}


def by_plays(snapshot: Snapshot) -> Places:
    """The items of the windows, most played first."""
    counts = np.zeros(snapshot.n_items, np.int64)
    for items, _ in SnapshotSource(snapshot, 4096, None).batches(0):
        counts += np.bincount(items[items >= 0].numpy(), minlength=snapshot.n_items)
    order: Places = np.argsort(-counts, kind="stable")
    return order


if __name__ == "__main__":
    main()
