"""Pictures of a training run: its history, and the range test of the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from musicrec.models.neural.checkpoint import Epoch
from musicrec.models.neural.lr_find import LrFound


def plot_history(history: Sequence[Epoch], best_epoch: int, title: str, path: Path) -> None:
    """Loss and validation figures by epoch, as an image at `path`; the epoch that was kept is marked."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    epochs = [epoch.epoch for epoch in history]
    loss_axes = figure.subplots()
    loss_axes.plot(epochs, [epoch.train_loss for epoch in history], color="C0", marker="o", label="training loss")
    if any("valid_loss" in epoch.figures for epoch in history):
        losses = [epoch.figures.get("valid_loss", float("nan")) for epoch in history]
        loss_axes.plot(epochs, losses, color="C0", linestyle="--", marker="o", label="validation loss")
    loss_axes.set(xlabel="epoch", ylabel="loss per event", title=title)
    loss_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    names = sorted({name for epoch in history for name in epoch.figures} - {"valid_loss"})
    figure_axes = loss_axes.twinx()
    for number, name in enumerate(names, 1):
        values = [epoch.figures.get(name, float("nan")) for epoch in history]
        figure_axes.plot(epochs, values, color=f"C{number}", marker=".", label=name)
    if names:
        figure_axes.set(ylabel="validation", ylim=(0, None))
        loss_axes.axvline(best_epoch, color="grey", linewidth=0.8, label="kept")
    lines = [line for axes in (loss_axes, figure_axes) for line in axes.get_legend_handles_labels()[0]]
    loss_axes.legend(handles=lines, loc="upper center", ncols=len(lines), bbox_to_anchor=(0.5, -0.12), frameon=False)
    _save(figure, path)


def plot_lr_find(found: LrFound, path: Path) -> None:
    """Loss by learning rate, as an image at `path`; the suggested rate is marked."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses)
    axes.axvline(found.suggested, color="grey", linewidth=0.8, label=f"suggested: {found.suggested:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss per event (running mean)")
    axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
