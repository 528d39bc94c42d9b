"""Train a next-track model from a folder of files, without Spark: what a machine with a GPU runs.

    python -m musicrec.train_files FOLDER
    torchrun --nproc-per-node 2 -m musicrec.train_files FOLDER

FOLDER holds `job.json` and snapshots, as the nightly leaves them under `files/<model>/`; see
musicrec/pipelines/sequence_job.py. The model comes to lie in FOLDER/model. Run again after a stop, it goes on.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from musicrec.errors import MusicrecError
from musicrec.logs import make_logger
from musicrec.models.neural.processes import ALONE, one_of_several
from musicrec.pipelines.sequence_job import run_job


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    """Train the job in FOLDER."""
    log = make_logger("train_files")
    with one_of_several() if "RANK" in os.environ else nullcontext(ALONE) as processes:
        try:
            done = run_job(folder, log, processes)
        except MusicrecError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
    if processes.rank == 0:
        last = done.history[done.best_epoch]
        rate, waited = round(last.events / last.seconds), round(last.waited, 4)
        log.info("trained", epochs=done.best_epoch + 1, loss=last.train_loss, events_per_s=rate, waited=waited)


if __name__ == "__main__":
    main()
