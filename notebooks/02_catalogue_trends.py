# Databricks notebook source
# MAGIC %md
# MAGIC # Artists, trends and what is offered
# MAGIC Which artists belong together, what songs are like by year, decade and genre, what goes with popularity, and how
# MAGIC varied the lists are. Everything was computed by the nightly; here it is only drawn.
# MAGIC
# MAGIC Reads gold tables alone, those of `analyse` first; a table that no job has written yet is named and its picture left
# MAGIC out. On Databricks set the widgets; elsewhere run `python notebooks/02_catalogue_trends.py` with
# MAGIC `MUSICREC_LAKEHOUSE_ROOT` set or from the folder that holds `lakehouse/`: the figures are then saved under
# MAGIC `<lakehouse_root>/figures`.

# COMMAND ----------

import os
from pathlib import Path

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from pyspark.sql import functions as F

from musicrec.io.tables import Lakehouse
from musicrec.schemas import TABLES

lakehouse_root = os.environ.get("MUSICREC_LAKEHOUSE_ROOT", "lakehouse")
catalog = os.environ.get("MUSICREC_CATALOG", "")
if "dbutils" in globals():
    dbutils.widgets.text("lakehouse_root", lakehouse_root)
    dbutils.widgets.text("catalog", catalog)
    lakehouse_root, catalog = dbutils.widgets.get("lakehouse_root"), dbutils.widgets.get("catalog")

if "spark" not in globals():
    from musicrec.spark import build_session

    plt.switch_backend("Agg")
    conf = {"spark.sql.shuffle.partitions": "4"}
    spark = build_session("catalogue-trends", Path(__file__).resolve().parent.parent / "conf", conf)

if "display" not in globals():

    def display(shown):
        """Print a table, save a figure."""
        if not isinstance(shown, plt.Figure):
            shown.show(60, truncate=False)
            return
        folder = Path(lakehouse_root) / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{shown.get_label().replace(' ', '_')}.png"
        shown.savefig(path)
        print(path)


# The tables' times are in UTC; a session that was there has its workspace's zone.
spark.conf.set("spark.sql.session.timeZone", "UTC")
lakehouse = Lakehouse(spark, lakehouse_root, catalog or None)


def rows_of(name, *columns):
    """A small gold table as pandas; without rows where no job has written it."""
    if not lakehouse.exists(name):
        print(f"{name}: no job has written it")
        return pd.DataFrame(columns=columns or list(TABLES[name].columns))
    table = lakehouse.read(name)
    return (table.select(*columns) if columns else table).toPandas()


# COMMAND ----------

# MAGIC %md ## How figures look
# MAGIC One ink for data, a light one for what surrounds it, grey for what frames it. A title says what is to be seen.

# COMMAND ----------

INK, LIGHT, GREY = "#1f5a7a", "#9cc3d5", "#5f6b73"
PALETTE = ("#1f5a7a", "#c8553d", "#5b8c5a", "#8e6c8a", "#d99a2b", "#4aa3a2", "#a05a2c", "#7a7f85")
plt.rcParams.update(
    {
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.12,
        "figure.constrained_layout.h_pad": 0.1,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "figure.titlesize": 13,
        "font.size": 9,
    }
)
thousands = FuncFormatter(lambda value, _: f"{value:,.0f}")


def new_figure(name, rows=1, columns=1, size=(9, 4.5), **options):
    """A figure under `name`, and its axes as a flat list."""
    figure, axes = plt.subplots(rows, columns, figsize=size, num=name, clear=True, squeeze=False, **options)
    return figure, list(axes.flat)


def show(figure):
    """Display once: a figure left open would be drawn again under the cell."""
    display(figure)
    plt.close(figure)


def name_rows(axis, names, title, xlabel):
    """A row a name, from the top down."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set(title=title, xlabel=xlabel)


def horizontal_bars(axis, names, values, labels, title, xlabel, color=INK):
    """Bars from the top down, each with its value written at its end."""
    bars = axis.barh(range(len(names)), values, color=color, height=0.72)
    axis.bar_label(bars, labels, padding=3, color=GREY, fontsize=8)
    axis.margins(x=0.14)
    name_rows(axis, names, title, xlabel)


def intervals(axis, names, rows, value, title, xlabel):
    """A point a row with its interval, from the top down."""
    place = np.arange(len(rows))
    axis.hlines(place, rows["low"], rows["high"], color=LIGHT, linewidth=5, label="95 % interval")
    axis.plot(rows[value], place, "o", color=INK, markersize=5)
    axis.grid(axis="y", color="#e6eaec")
    axis.set_axisbelow(True)
    name_rows(axis, names, title, xlabel)


# COMMAND ----------

# MAGIC %md ## The network of artists
# MAGIC The artists with the highest PageRank and their strongest ties: on one song, with one listener, in one session; then
# MAGIC those of them who are played. A tie's weight is the logarithm of the lift, how much more often two artists meet than
# MAGIC if they were put together by chance, so that the most played are not everyone's neighbours.

# COMMAND ----------

SHOWN, TIES = 40, 3
NAME = np.array([1.25, 0.3])  # the room of a name, in inches
nodes = rows_of("gold.artist_nodes").dropna(subset=["pagerank"])
nodes = nodes.sort_values(["pagerank", "artist_key"], ascending=[False, True], ignore_index=True)
edges = lakehouse.read("gold.artist_edges")


def strongest_ties(keys, ties):
    """pandas (artist_key, other_key, weight): the pairs among `keys` that are among the first of either."""
    among = F.col("artist_key").isin(keys) & F.col("other_key").isin(keys)
    weighted = edges.where(among).groupBy("artist_key", "other_key").agg(F.sum(F.log2("lift")).alias("weight")).toPandas()
    pairs = weighted.sort_values(["weight", "artist_key", "other_key"], ascending=[False, True, True], ignore_index=True)
    met, kept = dict.fromkeys(keys, 0), []
    for pair in pairs.itertuples():
        ends = (pair.artist_key, pair.other_key)
        if min(met[key] for key in ends) < ties:
            kept.append(pair.Index)
        for key in ends:
            met[key] += 1
    return pairs.loc[kept]


def spread_out(keys, ties, width, height, seed):
    """Places of the artists on a sheet: as springs draw them, then moved until no name lies on another."""
    graph = nx.Graph()
    graph.add_nodes_from(sorted(keys))
    graph.add_weighted_edges_from(ties[["artist_key", "other_key", "weight"]].itertuples(index=False))
    found = nx.spring_layout(graph, k=2.2 / max(len(keys), 1) ** 0.5, iterations=300, seed=seed)
    at = np.array([found[key] for key in sorted(keys)]).reshape(-1, 2)
    # Half by rank along each side: springs alone leave a crowd in the middle and empty corners.
    ranks = np.argsort(np.argsort(at, axis=0, kind="stable"), axis=0, kind="stable") / max(len(keys) - 1, 1) * 2 - 1
    sheet = (0.35 * at / max(np.abs(at).max(), 1e-9) + 0.65 * ranks) * (width / 2, height / 2)
    for _ in range(500):
        apart = sheet[:, None, :] - sheet[None, :, :]
        overlap = np.maximum(NAME - np.abs(apart), 0).min(axis=2)
        np.fill_diagonal(overlap, 0)
        if not overlap.any():
            break
        # Up and down, where names need least room.
        way = np.where(apart[:, :, 1] != 0, np.sign(apart[:, :, 1]), np.sign(np.subtract.outer(range(len(keys)), range(len(keys)))))
        sheet[:, 1] += (np.where(overlap > 0, NAME[1] - np.abs(apart[:, :, 1]), 0) * way).sum(axis=1) * 0.3
    return dict(zip(sorted(keys), sheet))


def short(name, most=20):
    """A name that fits."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def draw_network(name, shown, what):
    """The artists of some rows of gold.artist_nodes, and their strongest ties."""
    if shown.empty:
        print(f"no {what}")
        return
    ties = strongest_ties(list(shown["artist_key"]), TIES)
    places = spread_out(list(shown["artist_key"]), ties, 11.5, 7, seed=4)
    figure, (axis,) = new_figure(name, size=(12.5, 8.6))
    most = ties["weight"].max() if len(ties) else 1.0
    for tie in ties.itertuples():
        (x0, y0), (x1, y1) = places[tie.artist_key], places[tie.other_key]
        axis.plot([x0, x1], [y0, y1], color=LIGHT, linewidth=0.4 + 2.4 * tie.weight / most, alpha=0.7, zorder=1)
    shown = shown.assign(size=30 + 400 * (shown["pagerank"] / shown["pagerank"].max()) ** 2)
    groups = [own for _, own in shown.groupby("community", sort=True)]
    for own in groups:
        color = PALETTE[min(int(own["community"].iloc[0]), len(PALETTE) - 1)]
        at = np.array([places[key] for key in own["artist_key"]])
        more = f" and {len(own) - 1} more" if len(own) > 1 else ""
        label = f"{short(own['artist'].iloc[0])}{more}"
        axis.scatter(*at.T, s=own["size"], color=color, edgecolor="white", linewidth=1, zorder=2, label=label)
    for node in shown.itertuples():
        box = {"boxstyle": "round,pad=0.08", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
        below = (0, -node.size**0.5 / 2 - 1)
        axis.annotate(short(node.artist), places[node.artist_key], below, textcoords="offset points", ha="center", va="top", fontsize=8, color="#2b3338", bbox=box, zorder=3)
    legend = axis.legend(frameon=False, title="communities, by their first artist", loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
    for handle in legend.legend_handles:
        handle.set_sizes([60])
    axis.set_axis_off()
    axis.margins(0.06)
    around = ", ".join(own["artist"].iloc[0] for own in groups[:4])
    axis.set(title=f"The {len(shown)} best connected {what} are of {len(groups)} communities, around {around}")
    axis.text(0, 1, f"size: PageRank; lines: the {len(ties)} strongest ties, width: log2 of the lift", transform=axis.transAxes, va="top", color=GREY)
    axis.set_xlabel("places have no unit")
    show(figure)


draw_network("artist network", nodes.head(SHOWN), "artists")

# COMMAND ----------

draw_network("network of played artists", nodes[nodes["plays"] > 0].head(SHOWN), "artists among those who are played")

# COMMAND ----------

# MAGIC %md ## Who meets far more often than by chance
# MAGIC The strongest pairs of each kind, after shrinkage: a pair that met once by luck is not among them.

# COMMAND ----------

KINDS = {"song": "on one song", "listener": "with one listener", "session": "in one session"}
best = {kind: edges.where(F.col("kind") == kind).orderBy(F.desc("lift"), "artist_key", "other_key").limit(12).toPandas() for kind in KINDS}
figure, axes = new_figure("strongest pairs", 3, 1, (9.5, 10), sharex=False)
for axis, (kind, where) in zip(axes, KINDS.items()):
    rows = best[kind]
    names = [f"{row.artist} + {row.other}" for row in rows.itertuples()]
    labels = [f"{row.lift:.1f}×  ({row.together:,} times, {row.expected:,.2g} expected)" for row in rows.itertuples()]
    title = f"{names[0]} are {rows['lift'].iloc[0]:.1f} times as often {where} as by chance" if names else f"No pairs {where}"
    horizontal_bars(axis, names, rows["lift"], labels, title, "lift (times as often as by chance, shrunk)" if kind == "session" else "")
    axis.axvline(1, color=GREY, linewidth=0.8)
    axis.margins(x=0.42)
show(figure)

# COMMAND ----------

# MAGIC %md ## Popularity and duration by year
# MAGIC Medians and the middle half of the songs first released in a year; years with few songs are not in the table.

# COMMAND ----------

trend_rows = rows_of("gold.trends")
MEASURES = {"minutes": "duration (minutes)", "popularity": "popularity (0 to 100)"}


def trend(grouping, measure):
    """The rows of one grouping and measure, by value."""
    return trend_rows[(trend_rows["grouping"] == grouping) & (trend_rows["measure"] == measure)].sort_values("value")


def highest_and_last(rows, value, unit):
    """A value at its highest and at the end, in words."""
    if len(rows) < 2:
        return "too few groups to compare"
    peak, last = rows.loc[rows[value].idxmax()], rows.iloc[-1]
    return f"highest in {peak['value']} ({peak[value]:.1f}{unit}), {last[value]:.1f} in {last['value']}"


figure, axes = new_figure("by year", 1, 2, (11.5, 4.4))
for axis, (measure, label) in zip(axes, MEASURES.items()):
    rows = trend("year", measure)
    years = rows["value"].astype(int).to_numpy()
    # A year that is left out is a gap, not a line across it.
    whole = rows.assign(year=years).set_index("year").reindex(range(years.min(), years.max() + 1)) if len(rows) else rows
    axis.fill_between(whole.index, whole.get("q25", []), whole.get("q75", []), color=LIGHT, alpha=0.6, linewidth=0, label="middle half")
    axis.plot(whole.index, whole.get("median", []), color=INK, linewidth=2, marker="o", markersize=2.5, label="median")
    unit = " min" if measure == "minutes" else ""
    axis.set(title=f"Median {label.partition(' (')[0]}: {highest_and_last(rows, 'median', unit)}", xlabel="year of first release", ylabel=label)
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
axes[0].legend(frameon=False, loc="lower left")
show(figure)

# COMMAND ----------

# MAGIC %md ## Popularity and duration by genre
# MAGIC Mean and its 95 % interval; a song counts in each of its genres.

# COMMAND ----------

popular_first = trend("genre", "popularity").sort_values(["mean", "value"], ascending=[False, True])
most_songs = popular_first.sort_values(["n", "value"], ascending=[False, True]).head(24)["value"]
popular_first = popular_first[popular_first["value"].isin(most_songs)]
lasting = trend("genre", "minutes").set_index("value").reindex(popular_first["value"]).reset_index()
names = [f"{row.value} ({row.n:,})" for row in popular_first.itertuples()]
figure, axes = new_figure("by genre", 1, 2, (11.5, 1.5 + 0.26 * max(len(names), 4)), sharey=True)
ends = f"Most popular: {popular_first['value'].iloc[0]}\nLeast: {popular_first['value'].iloc[-1]}" if len(names) > 1 else "Popularity by genre"
intervals(axes[0], names, popular_first, "mean", ends, "mean popularity (0 to 100)")
longest = lasting.loc[lasting["mean"].idxmax(), "value"] if lasting["mean"].notna().any() else "none"
intervals(axes[1], names, lasting, "mean", f"Longest songs: {longest}", "mean duration (minutes)")
axes[0].set_ylabel("genre (songs)")
axes[0].legend(frameon=False, loc="lower right")
show(figure)

# COMMAND ----------

# MAGIC %md ## Genres by decade
# MAGIC The share of a decade's songs that have a genre. What a catalogue holds of a decade is its choice: these are shares
# MAGIC of the catalogue, not of what was released.

# COMMAND ----------

shares = rows_of("gold.genre_shares")
totals = shares.groupby("genre")["n"].sum().sort_values(ascending=False)
drawn = list(totals.index[: len(PALETTE)])
decades = sorted(shares["decade"].unique())
figure, axes = new_figure("genre shares", 2, 4, (12, 5.6), sharex=True, sharey=True)
of_decade = shares.groupby("decade")["songs"].max()
for axis in axes:
    axis.set_visible(False)
for axis, genre in zip(axes, drawn):
    rows = shares[shares["genre"] == genre].set_index("decade").reindex(decades)
    axis.set_visible(True)
    axis.fill_between(decades, rows["low"].astype(float), rows["high"].astype(float), color=LIGHT, alpha=0.7, linewidth=0)
    axis.plot(decades, rows["share"].fillna(0), color=INK, marker="o", markersize=4)
    peak = rows["share"].idxmax()
    axis.set(title=f"{genre}\nmost in the {peak}s: {rows['share'].max():.0%}")
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.set_xticks(decades, [f"{decade}s" for decade in decades], rotation=45, ha="right")
    axis.tick_params(labelbottom=True)
for axis in axes[::4]:
    axis.set_ylabel("share of the decade's songs")
axes[0].set_ylim(bottom=0)  # the axes share it
figure.suptitle("Genres come and go: share of each decade's songs, with its 95 % interval", fontsize=11)
counted = ", ".join(f"{decade}s {n:,}" for decade, n in of_decade.items())
figure.supxlabel(f"decade of first release (songs: {counted})", color=GREY, fontsize=9)
show(figure)

# COMMAND ----------

# MAGIC %md ## What songs sounded like, by decade
# MAGIC Mean and its 95 % interval.

# COMMAND ----------

UNITS = {"loudness": "dB", "tempo": "beats per minute", "mode": "share in major"}
sounds = [name for name in trend_rows["measure"].unique() if name not in MEASURES]
figure, axes = new_figure("sound by decade", 2, 5, (13, 5.6))
for axis in axes:
    axis.set_visible(False)
changes = {"up": [], "down": [], "no clear change": []}
for axis, measure in zip(axes, sorted(sounds)):
    rows = trend("decade", measure)
    if rows.empty:
        continue
    axis.set_visible(True)
    at = rows["value"].astype(int)
    axis.fill_between(at, rows["low"], rows["high"], color=LIGHT, alpha=0.8, linewidth=0)
    axis.plot(at, rows["mean"], color=INK, marker="o", markersize=4)
    risen = rows["mean"].iloc[-1] - rows["mean"].iloc[0]
    apart = max(rows["low"].iloc[[0, -1]]) > min(rows["high"].iloc[[0, -1]])  # the two intervals do not meet
    word = "no clear change" if not apart else "up" if risen > 0 else "down"
    changes[word].append(measure)
    axis.set(title=f"{measure.capitalize()}\n{word}", ylabel=UNITS.get(measure, "0 to 1"))
    axis.set_xticks(at, [f"{decade}s" for decade in at], rotation=45, ha="right")
found = "; ".join(f"{word}: {', '.join(names)}" for word, names in changes.items() if names and word != "no clear change")
figure.suptitle(f"From the first decade to the last, {found or 'nothing has clearly changed'}", fontsize=11)
figure.supxlabel("decade of first release", color=GREY, fontsize=9)
show(figure)

# COMMAND ----------

# MAGIC %md ## Top artists

# COMMAND ----------

top = rows_of("gold.top_artists").sort_values(["by", "rank"])
figure, axes = new_figure("top artists", 1, 2, (12, 6.2))
played = top[top["by"] == "plays"].head(20)
labels = [f"{row.plays:,} by {row.listeners:,}" for row in played.itertuples()]
title = f"Most played: {played['artist'].iloc[0]}" if len(played) else "No plays"
horizontal_bars(axes[0], played["artist"], played["plays"], labels, title, "plays, by how many listeners")
axes[0].xaxis.set_major_formatter(thousands)
popular = top[top["by"] == "popularity"].head(20)
names = [f"{row.artist} ({row.songs:,})" for row in popular.itertuples()]
title = f"Most popular in the catalogue: {popular['artist'].iloc[0]}" if len(popular) else "No popularity"
intervals(axes[1], names, popular, "popularity", title, "mean popularity of the artist's songs (0 to 100; in brackets how many)")
show(figure)

# COMMAND ----------

# MAGIC %md ## What goes with popularity
# MAGIC Spearman's rank correlation over the songs, each once. It says what goes together, not why.

# COMMAND ----------

rho = rows_of("gold.feature_correlations").sort_values(["rho", "feature"], ascending=[False, True], ignore_index=True)
figure, (axis,) = new_figure("correlation with popularity", size=(9, 1.5 + 0.26 * max(len(rho), 4)))
title = "No features yet"
if len(rho):
    most = rho.loc[rho["rho"].abs().idxmax()]
    weak = ", which is weak" if abs(most["rho"]) < 0.3 else ""
    title = f"{most['feature'].replace('_', ' ').capitalize()} is tied most to popularity: ρ = {most['rho']:+.2f}{weak}"
songs = f"{rho['n'].min():,} to {rho['n'].max():,} songs" if len(rho) else "no songs"
intervals(axis, [name.removesuffix("_ms").replace("_", " ") for name in rho["feature"]], rho, "rho", title, f"Spearman's ρ with popularity, 95 % interval ({songs})")
axis.axvline(0, color=GREY, linewidth=0.8)
show(figure)

# COMMAND ----------

# MAGIC %md ## What a prediction of popularity hangs on
# MAGIC Of the model that is published: how much R² is lost on held-out tracks when one feature is shuffled.

# COMMAND ----------

drivers = rows_of("gold.popularity_drivers", "feature", "rank", "r2_lost", "deviation", "model").sort_values("rank")
if len(drivers):
    figure, (axis,) = new_figure("popularity drivers", size=(9, 1.5 + 0.26 * min(len(drivers), 20)))
    shown = drivers.head(20).assign(low=lambda d: d["r2_lost"] - 1.96 * d["deviation"], high=lambda d: d["r2_lost"] + 1.96 * d["deviation"])
    title = f"Without {shown['feature'].iloc[0].replace('_', ' ')} the {shown['model'].iloc[0]} model loses most: {shown['r2_lost'].iloc[0]:.3f} of R²"
    intervals(axis, [name.replace("_", " ") for name in shown["feature"]], shown, "r2_lost", title, "R² lost on held-out tracks when the feature is shuffled (± 1.96 deviations over the shuffles)")
    axis.axvline(0, color=GREY, linewidth=0.8)
    show(figure)

# COMMAND ----------

# MAGIC %md ## Groups of tracks that sound alike

# COMMAND ----------

POINTS = 4000
clusters = rows_of("gold.clusters", "cluster", "name", "tracks", "x", "y").sort_values("cluster")
if len(clusters):
    placed = lakehouse.read("gold.track_clusters").select("cluster", "x", "y", "track_id")
    points = placed.orderBy(F.xxhash64("track_id"), "track_id").limit(POINTS).toPandas()
    figure, (axis,) = new_figure("clusters", size=(10, 7))
    for place, cluster in enumerate(clusters.itertuples()):
        own = points[points["cluster"] == cluster.cluster]
        axis.scatter(own["x"], own["y"], s=6, color=PALETTE[place % len(PALETTE)], alpha=0.35, linewidth=0)
        axis.scatter([], [], s=40, color=PALETTE[place % len(PALETTE)], label=f"{cluster.cluster}: {cluster.name} ({cluster.tracks:,})")
        label = {"ha": "center", "va": "center", "fontsize": 8, "fontweight": "bold", "color": "#2b3338"}
        axis.text(cluster.x, cluster.y, str(cluster.cluster), bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8}, **label)
    axis.legend(frameon=False, title="cluster (tracks)", loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2)
    largest = clusters.loc[clusters["tracks"].idxmax()]
    share = largest["tracks"] / clusters["tracks"].sum()
    axis.set(title=f"{len(clusters)} groups of sound; the largest, {share:.0%} of the tracks: {largest['name']}", xlabel="first principal component", ylabel="second principal component")
    show(figure)

# COMMAND ----------

# MAGIC %md ## How varied the lists are
# MAGIC Of each listener's newest list: the share of its most frequent artist. And of each model: how good its lists are
# MAGIC beside how varied.

# COMMAND ----------

offers = lakehouse.read("gold.recommendations")
newest = offers.agg(F.max("as_of")).first()[0]
by_artist = offers.where(F.col("as_of") == newest).groupBy("shelf", "user_id", "artist").agg(F.count("*").alias("n"))
lists = by_artist.groupBy("shelf", "user_id").agg((F.max("n") / F.sum("n")).alias("share"), F.count("*").alias("artists")).toPandas()
evaluation = rows_of("gold.evaluation")
evaluation = evaluation[evaluation["as_of"] == evaluation["as_of"].max()]
k = evaluation[evaluation["k"] > 0]["k"].min()
figure, axes = new_figure("variety of lists", 1, 2, (12, 4.8))
edges_of_bins = np.linspace(0, 1, 21)
shelves = sorted(lists["shelf"].unique())
for place, shelf in enumerate(shelves):
    own = lists[lists["shelf"] == shelf]["share"]
    heights, _ = np.histogram(own, edges_of_bins)
    width = 0.05 / max(len(shelves), 1)
    axes[0].bar(edges_of_bins[:-1] + (place + 0.5) * width, heights / max(len(own), 1), width * 0.9, color=PALETTE[place % len(PALETTE)], label=f"{shelf} (median {own.median():.0%}, {len(own):,} lists)")
axes[0].legend(frameon=False, title="shelf")
above = (lists["share"] > 0.3).mean() if len(lists) else 0.0
axes[0].axvline(0.3, color=GREY, linewidth=0.8, linestyle="--")
axes[0].set(title=f"{above:.0%} of the lists are over 30 % one artist", xlabel="share of the list's most frequent artist", ylabel="share of lists", xlim=(0, 1))
axes[0].xaxis.set_major_formatter(PercentFormatter(1))
axes[0].yaxis.set_major_formatter(PercentFormatter(1))
wide = evaluation[(evaluation["shelf"] == "discover") & (evaluation["k"] == k)].pivot_table(index="model", columns="metric", values="value")
if {"ndcg", "diversity"} <= set(wide.columns):
    axes[1].scatter(wide["diversity"], wide["ndcg"], s=45, color=INK, zorder=2)
    # Names of models that lie close stand one below the other, in the order of their points.
    texts, taken = wide.sort_values("ndcg", ascending=False), []
    height = max(wide["ndcg"].max() - wide["ndcg"].min(), 1e-9) / 16
    for model in texts.itertuples():
        y = model.ndcg
        while any(abs(y - other) < height and abs(model.diversity - x) < 0.2 * np.ptp(wide["diversity"]) for x, other in taken):
            y -= height / 4
        taken.append((model.diversity, y))
        axes[1].annotate(model.Index, (model.diversity, model.ndcg), (model.diversity + 0.03 * max(np.ptp(wide["diversity"]), 1e-9), y), va="center", color="#2b3338", fontsize=8)
    axes[1].margins(x=0.2, y=0.12)
    axes[1].set(title=f"Best lists: {wide['ndcg'].idxmax()}; most varied: {wide['diversity'].idxmax()}", xlabel=f"diversity@{k} (share of pairs by different artists)", ylabel=f"NDCG@{k} on the test days")
else:
    axes[1].set(title="No evaluation yet", xlabel=f"diversity@{k}")
show(figure)
