"""Run a training job in this process, or in several that add up their gradients."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pyspark.ml.torch.distributor import TorchDistributor

from musicrec.errors import InputError, MusicrecError
from musicrec.logs import Logger, make_logger
from musicrec.models.neural.processes import one_of_several
from musicrec.pipelines.sequence_job import Fitted, fitted, run_job

_ERROR = "error.json"


def run_trainers(folder: Path, trainers: int, log: Logger) -> Fitted:
    """Train a job's model by `trainers` processes on the driver's machine: NCCL where it has GPUs, gloo where not.

    Raises
    ------
    InputError : there are GPUs, but fewer than trainers.
    MusicrecError : what `run_job` raises; of several trainers, with its message and exit code.
    """
    if trainers == 1:
        return run_job(folder, log)
    gpus = torch.cuda.device_count()
    if 0 < gpus < trainers:
        raise InputError("trainers", f"at most as many as GPUs ({gpus})", str(trainers))
    (folder / _ERROR).unlink(missing_ok=True)
    distributor = TorchDistributor(num_processes=trainers, local_mode=True, use_gpu=gpus > 0)
    try:
        distributor.run(train_together, str(folder.absolute()))
    except RuntimeError as error:
        # It says no more than that a process failed; the process has left a line behind, if it knew why.
        raise _failure(folder) from error
    return fitted(folder)


def _failure(folder: Path) -> MusicrecError:
    path = folder / _ERROR
    if not path.is_file():
        return MusicrecError(f"trainers: a process of the training in {folder} failed; the log above has its error")
    said = json.loads(path.read_text(encoding="utf-8"))
    failure = MusicrecError(said["message"])
    failure.exit_code = said["exit_code"]
    return failure


def train_together(folder: str) -> None:
    """What each of several trainers runs; torchrun says by the environment which one it is."""
    with one_of_several() as processes:
        if torch.cuda.is_available():
            torch.cuda.set_device(processes.device())
        else:
            torch.set_num_threads(1)  # the trainers share the cores
        try:
            run_job(Path(folder), make_logger("trainers"), processes)
        except MusicrecError as error:
            said = {"message": str(error), "exit_code": error.exit_code}
            (Path(folder) / _ERROR).write_text(json.dumps(said), encoding="utf-8")
            raise
