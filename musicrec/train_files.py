"""Train a next-track model from a folder of files, without Spark: what a machine with a GPU runs.

    python -m musicrec.train_files FOLDER
    torchrun --nproc-per-node 2 -m musicrec.train_files FOLDER

FOLDER holds `job.json` and snapshots, as the nightly leaves them under `files/<model>/`; see
musicrec/pipelines/sequence_job.py. The model comes to lie in FOLDER/model. Run again after a stop, it goes on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import torch
from torch import distributed

from musicrec.errors import MusicrecError
from musicrec.logs import make_logger
from musicrec.models.neural.processes import ALONE, Processes
from musicrec.pipelines.sequence_job import run_job


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    """Train the job in FOLDER."""
    processes = ALONE
    if "RANK" in os.environ:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        processes = Processes(distributed.get_rank(), distributed.get_world_size())
    log = make_logger("train_files")
    try:
        done = run_job(folder, log, processes)
    except MusicrecError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    finally:
        if processes.world > 1:
            distributed.destroy_process_group()
    if processes.rank == 0:
        last = done.history[done.best_epoch]
        rate, waited = round(last.events / last.seconds), round(last.waited, 4)
        log.info("trained", epochs=done.best_epoch + 1, loss=last.train_loss, events_per_s=rate, waited=waited)


if __name__ == "__main__":
    main()
