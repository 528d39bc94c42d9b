# Databricks notebook source
# MAGIC %md
# MAGIC # Who listens to what
# MAGIC The listens, the recordings they are of, and the Spotify tracks those are linked to: how much there is, what is
# MAGIC missing, how it is spread, and when people play. Everything is counted by Spark; only what is drawn comes back.
# MAGIC
# MAGIC Reads `silver.listens`, `silver.recordings`, `silver.tracks` and `silver.links`. On Databricks set the widgets;
# MAGIC elsewhere run `python notebooks/01_explore_listens.py` with `MUSICREC_LAKEHOUSE_ROOT` set or from the folder that
# MAGIC holds `lakehouse/`: the figures are then saved under `<lakehouse_root>/figures`.

# COMMAND ----------

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from pyspark.sql import functions as F

from musicrec.io.tables import Lakehouse
from musicrec.schemas import AUDIO_FEATURES

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
    spark = build_session("explore-listens", Path(__file__).resolve().parent.parent / "conf", conf)

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
listens = lakehouse.read("silver.listens")
recordings = lakehouse.read("silver.recordings")
tracks = lakehouse.read("silver.tracks")
links = lakehouse.read("silver.links")

# COMMAND ----------

# MAGIC %md ## How figures look
# MAGIC One ink for data, a light one for what it is compared with, grey for what frames it.

# COMMAND ----------

INK, LIGHT, GREY = "#1f5a7a", "#9cc3d5", "#5f6b73"
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


def horizontal_bars(axis, names, values, labels, title, xlabel, color=INK):
    """Bars from the top down, each with its value written at its end."""
    bars = axis.barh(range(len(names)), values, color=color, height=0.72)
    axis.bar_label(bars, labels, padding=3, color=GREY, fontsize=8)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axis.margins(x=0.12)
    axis.tick_params(axis="y", length=0)
    axis.set(title=title, xlabel=xlabel)


# COMMAND ----------

# MAGIC %md ## How much there is

# COMMAND ----------

listens_size = listens.agg(
    F.count("*").alias("listens"),
    F.count_distinct("user_id").alias("listeners"),
    F.count_distinct("recording_id").alias("recordings"),
    F.count_distinct("artist_id").alias("artists"),
    F.min("listened_at").alias("first"),
    F.max("listened_at").alias("last"),
)
display(listens_size)

# COMMAND ----------

# MAGIC %md ## Descriptive statistics
# MAGIC Of the tracks: popularity (0-100), duration in minutes, year and the audio features. Of the listens: plays by
# MAGIC listener and by recording. Quartiles are exact.

# COMMAND ----------


def describe(df, columns):
    """One row a column: count, missing, mean, standard deviation and the five-number summary."""
    rows = df.select(F.explode(F.array(*[
        F.struct(F.lit(place).alias("place"), F.lit(name).alias("column"), F.col(name).cast("double").alias("value"))
        for place, name in enumerate(columns)
    ])).alias("row")).select("row.*")
    quartiles = F.percentile("value", [0.0, 0.25, 0.5, 0.75, 1.0])
    return rows.groupBy("place", "column").agg(
        F.count("value").alias("count"),
        F.count_if(F.col("value").isNull()).alias("missing"),
        F.round(F.mean("value"), 3).alias("mean"),
        F.round(F.stddev("value"), 3).alias("std"),
        *[F.round(quartiles[i], 3).alias(name) for i, name in enumerate(("min", "q25", "median", "q75", "max"))],
    ).orderBy("place").drop("place")  # fmt: skip


minutes = (F.col("duration_ms") / 60_000).alias("minutes")
display(describe(tracks.select("*", minutes), ["popularity", "minutes", "year", *AUDIO_FEATURES]))

# COMMAND ----------

by_listener = listens.groupBy("user_id").agg(F.count("*").alias("plays_by_listener"))
by_recording = listens.groupBy("recording_id").agg(F.count("*").alias("plays_by_recording"))
display(describe(by_listener, ["plays_by_listener"]).union(describe(by_recording, ["plays_by_recording"])))

# COMMAND ----------

# MAGIC %md ## Missing values
# MAGIC Null, blank text or an empty list. Columns without any missing value are counted in the title.

# COMMAND ----------


def missing_shares(df):
    """(column, share of rows without a value), most first."""
    def is_missing(field):
        column, kind = F.col(field.name), field.dataType.typeName()
        empty = {"array": F.size(column) == 0, "string": F.trim(column.cast("string")) == ""}.get(kind, F.lit(False))
        return column.isNull() | empty

    shares = [F.mean(is_missing(field).cast("int")).alias(field.name) for field in df.schema]
    row = df.agg(*shares).first()
    return sorted(((name, share or 0.0) for name, share in row.asDict().items()), key=lambda pair: (-pair[1], pair[0]))


tables = {"silver.listens": listens, "silver.recordings": recordings, "silver.tracks": tracks, "silver.links": links}
found = {name: missing_shares(df) for name, df in tables.items()}
drawn = {name: [pair for pair in pairs if pair[1] > 0] for name, pairs in found.items()}
heights = [max(len(pairs), 1) + 1.5 for pairs in drawn.values()]
figure, axes = new_figure("missing values", 4, 1, (9, 0.24 * sum(heights) + 1), sharex=True, height_ratios=heights)
for axis, (name, pairs) in zip(axes, drawn.items()):
    title = f"{name}: {len(found[name]) - len(pairs)} of {len(found[name])} columns are complete"
    shares = [share for _, share in pairs]
    labels = [f"{share:.1%}" if share >= 0.001 else "< 0.1%" for share in shares]
    horizontal_bars(axis, [name for name, _ in pairs], shares, labels, title, "")
    axis.set_xlim(0, 1.08)
    axis.spines["left"].set_visible(bool(pairs))
axes[-1].xaxis.set_major_formatter(PercentFormatter(1))
axes[-1].set_xlabel("rows without a value")
figure.suptitle("Missing values")
show(figure)

# COMMAND ----------

# MAGIC %md ## Distributions of the audio features
# MAGIC Key and mode are categories; the rest are in the units that Spotify gives.

# COMMAND ----------

# feature → (lowest, highest, bins, unit)
BINS = {name: (0.0, 1.0, 25, "0 to 1") for name in AUDIO_FEATURES}
BINS |= {
    "key": (-1.5, 11.5, 13, "pitch class, ? = none found"),
    "mode": (-0.5, 1.5, 2, "scale"),
    "loudness": (-40.0, 5.0, 30, "dB"),
    "tempo": (40.0, 220.0, 30, "beats per minute"),
}


def feature_bins(df):
    """DataFrame (feature, bin, tracks) in one pass; what lies outside is counted in the first or last bin."""
    def bin_of(name):
        low, high, bins, _ = BINS[name]
        place = F.floor((F.col(name) - low) / (high - low) * bins)
        bin = F.when(F.col(name).isNotNull(), F.greatest(F.lit(0), F.least(F.lit(bins - 1), place)))
        return F.struct(F.lit(name).alias("feature"), bin.cast("int").alias("bin"))

    cells = df.select(F.explode(F.array(*map(bin_of, AUDIO_FEATURES))).alias("cell")).select("cell.*")
    return cells.where("bin IS NOT NULL").groupBy("feature", "bin").agg(F.count("*").alias("tracks"))


counts = {(row["feature"], row["bin"]): row["tracks"] for row in feature_bins(tracks).collect()}
figure, axes = new_figure("audio features", 3, 4, (12, 7.5))
for axis, name in zip(axes, AUDIO_FEATURES):
    low, high, bins, unit = BINS[name]
    width = (high - low) / bins
    heights = [counts.get((name, place), 0) for place in range(bins)]
    gap = 0.8 if name in ("key", "mode") else 1.0
    axis.bar(low + (np.arange(bins) + 0.5) * width, heights, width * gap, color=INK)
    axis.set(title=name, xlabel=unit, xlim=(low, high))
    axis.yaxis.set_major_formatter(thousands)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
axes[AUDIO_FEATURES.index("key")].set_xticks(range(-1, 12), ["?", "C", "", "D", "", "E", "F", "", "G", "", "A", "", "B"])
axes[AUDIO_FEATURES.index("mode")].set_xticks([0, 1], ["minor", "major"])
for axis in axes[::4]:
    axis.set_ylabel("tracks")
axes[-1].set_visible(False)
figure.suptitle("Distribution of the audio features")
show(figure)

# COMMAND ----------

# MAGIC %md ## How the audio features go together
# MAGIC Pearson correlation over the tracks that have both. Key is a circle and mode a yes or no: read their rows with care.

# COMMAND ----------

pairs = [(a, b) for i, a in enumerate(AUDIO_FEATURES) for b in AUDIO_FEATURES[:i]]
row = tracks.agg(*[F.corr(a, b).alias(f"{a} {b}") for a, b in pairs]).first()
correlation = np.eye(len(AUDIO_FEATURES))
for a, b in pairs:
    value = row[f"{a} {b}"]
    i, j = AUDIO_FEATURES.index(a), AUDIO_FEATURES.index(b)
    correlation[i, j] = correlation[j, i] = np.nan if value is None else value

figure, (axis,) = new_figure("correlation of audio features", size=(8.5, 7.5))
image = axis.imshow(correlation, cmap="RdBu_r", vmin=-1, vmax=1)
labels = [[f"{value:.2f}".replace("-0.00", "0.00") for value in line] for line in correlation]
for i, j in np.ndindex(correlation.shape):
    strong = abs(correlation[i, j]) > 0.55
    axis.text(j, i, labels[i][j], ha="center", va="center", fontsize=8, color="white" if strong else "black")
axis.set_xticks(range(len(AUDIO_FEATURES)), AUDIO_FEATURES, rotation=40, ha="right")
axis.set_yticks(range(len(AUDIO_FEATURES)), AUDIO_FEATURES)
axis.spines[:].set_visible(False)
axis.tick_params(length=0)
axis.set(title="Correlation of the audio features", xlabel="audio feature", ylabel="audio feature")
figure.colorbar(image, ax=axis, shrink=0.8, label="Pearson correlation")
show(figure)

# COMMAND ----------

# MAGIC %md ## Top artists

# COMMAND ----------

names = recordings.groupBy("artist_id").agg(F.max_by("artist_name", F.struct("plays", "artist_name")).alias("artist"))
by_artist = listens.groupBy("artist_id").agg(F.count("*").alias("plays"), F.count_distinct("user_id").alias("listeners"))
top = by_artist.join(names, "artist_id", "left").orderBy(F.desc("plays"), "artist", "artist_id").limit(25)
top_artists = top.select("artist", "plays", "listeners").toPandas()
all_plays = listens.count()

figure, (axis,) = new_figure("top artists", size=(9, 7))
labels = [f"{plays:,} by {listeners:,}" for plays, listeners in zip(top_artists["plays"], top_artists["listeners"])]
share = top_artists["plays"].sum() / all_plays
title = f"The {len(top_artists)} most played artists have {share:.0%} of all plays"
horizontal_bars(axis, top_artists["artist"].fillna("(unknown)"), top_artists["plays"], labels, title, "plays, by how many listeners")
axis.xaxis.set_major_formatter(thousands)
show(figure)

# COMMAND ----------

# MAGIC %md ## The long tail
# MAGIC How unevenly plays are spread: over recordings, and over listeners.

# COMMAND ----------


def tail(df, plays):
    """From the most played on: (share of things, share of plays), one point for each number of plays."""
    counts = df.groupBy(plays).agg(F.count("*").alias("things")).orderBy(F.desc(plays)).toPandas()
    things, played = counts["things"].cumsum(), (counts["things"] * counts[plays]).cumsum()
    return np.r_[0, things / things.iloc[-1]], np.r_[0, played / played.iloc[-1]]


figure, axes = new_figure("long tail", 1, 2, (10, 4.4))
for axis, df, plays, what in (
    (axes[0], by_recording, "plays_by_recording", "recordings"),
    (axes[1], by_listener, "plays_by_listener", "listeners"),
):
    x, y = tail(df, plays)
    axis.plot(x, y, color=INK, linewidth=2)
    axis.plot([0, 1], [0, 1], color=LIGHT, linestyle="--")
    axis.text(0.62, 0.56, "all alike", color=GREY, rotation=38, rotation_mode="anchor")
    most = float(np.interp(0.2, x, y))
    axis.plot(0.2, most, "o", color=INK)
    axis.annotate(f"20 % of {what}:\n{most:.0%} of plays", (0.2, most), (14, -26), textcoords="offset points", color=GREY)
    axis.set(title=f"Plays over {what}", xlabel=f"{what}, most played first" if what == "recordings" else "listeners, most active first")
    axis.set(ylabel="share of plays", xlim=(0, 1), ylim=(0, 1.02))
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
show(figure)

# COMMAND ----------

# MAGIC %md ## Duration and popularity by year and genre
# MAGIC Median, and the range of the middle half. Years and genres with fewer than one track in a thousand are left out; a
# MAGIC track counts in each of its genres.

# COMMAND ----------

least = max(1, tracks.count() / 1000)


def quartiles_by(df, group):
    """pandas (group, tracks, minutes q25 median q75, popularity q25 median q75), by group."""
    measured = df.where(F.col(group).isNotNull()).select(group, minutes, "popularity")
    aggregates = [
        F.percentile(column, level).alias(f"{column} {name}")
        for column in ("minutes", "popularity")
        for name, level in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))
    ]
    grouped = measured.groupBy(group).agg(F.count("*").alias("tracks"), *aggregates)
    return grouped.where(F.col("tracks") >= least).orderBy(group).toPandas()


MEASURES = {"minutes": "duration (minutes)", "popularity": "popularity (0 to 100)"}
by_year = quartiles_by(tracks, "year")
figure, axes = new_figure("by year", 1, 2, (11, 4.2))
for axis, (column, label) in zip(axes, MEASURES.items()):
    axis.fill_between(by_year["year"], by_year[f"{column} q25"], by_year[f"{column} q75"], color=LIGHT, alpha=0.6, label="middle half")
    axis.plot(by_year["year"], by_year[f"{column} median"], color=INK, linewidth=2, label="median")
    axis.set(title=f"{label.partition(' (')[0].capitalize()} by year of release", xlabel="year of release", ylabel=label)
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
    axis.legend(frameon=False, loc="lower left")
show(figure)

# COMMAND ----------

with_genre = tracks.select("*", F.explode("genres").alias("genre"))
by_genre = quartiles_by(with_genre, "genre").sort_values(["tracks", "genre"], ascending=[False, True]).head(24)
figure, axes = new_figure("by genre", 1, 2, (11, 1.2 + 0.26 * max(len(by_genre), 3)), sharey=True)
for axis, (column, label) in zip(axes, MEASURES.items()):
    place = np.arange(len(by_genre))
    axis.hlines(place, by_genre[f"{column} q25"], by_genre[f"{column} q75"], color=LIGHT, linewidth=6, label="middle half")
    axis.plot(by_genre[f"{column} median"], place, "o", color=INK, label="median")
    axis.set_yticks(place, [f"{genre} ({tracks:,})" for genre, tracks in zip(by_genre["genre"], by_genre["tracks"])])
    axis.set(title=f"{label.partition(' (')[0].capitalize()} by genre", xlabel=label)
    axis.grid(axis="y", color="#e6eaec")
    axis.set_axisbelow(True)
axes[0].invert_yaxis()
axes[0].set_ylabel("genre (tracks)")
axes[0].legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.09), ncols=2)
show(figure)

# COMMAND ----------

# MAGIC %md ## When people play
# MAGIC Hours and days in UTC: what a listener's own clock showed is not known.

# COMMAND ----------

zone = spark.conf.get("spark.sql.session.timeZone")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
hours = listens.groupBy(F.weekday("listened_at").alias("day"), F.hour("listened_at").alias("hour"))
week = np.zeros((7, 24), dtype=int)
for row in hours.count().collect():
    week[row["day"], row["hour"]] = row["count"]

figure, axes = new_figure("plays by hour", 2, 1, (10, 6.4), sharex=True)
axes[0].bar(range(24), week.sum(axis=0), color=INK, width=0.8)
axes[0].set(title="Plays by hour of the day", ylabel="plays")
axes[0].yaxis.set_major_formatter(thousands)
image = axes[1].imshow(week, aspect="auto", cmap="Blues", vmin=0)
axes[1].set_yticks(range(7), DAYS)
axes[1].set_xticks(range(0, 24, 2), [f"{hour:02d}" for hour in range(0, 24, 2)])
axes[1].set(title="Plays by day of the week and hour", xlabel=f"hour ({zone})", ylabel="day of the week")
figure.colorbar(image, ax=axes[1], label="plays", format=thousands)
show(figure)

# COMMAND ----------

# MAGIC %md ## What is played against what there is
# MAGIC Through `silver.links`: the share of plays with a Spotify track, by how the link was found, and how the tracks that
# MAGIC people play differ from the catalogue, in standard deviations of the catalogue.

# COMMAND ----------

linked = listens.select("recording_id").join(links, "recording_id", "left")
methods = linked.groupBy(F.coalesce("method", F.lit("not linked")).alias("method")).count()
by_method = methods.orderBy(F.desc("count"), "method").toPandas()

played = linked.where("track_id IS NOT NULL").join(tracks, "track_id")
compared = [*AUDIO_FEATURES, "popularity"]
catalogue_row = tracks.agg(*[f(c).alias(f"{c} {f.__name__}") for c in compared for f in (F.mean, F.stddev)]).first()
played_row = played.agg(*[F.mean(c).alias(c) for c in compared]).first()


def shift_of(column):
    """How far the mean of the plays lies from the mean of the catalogue, in its standard deviations."""
    mean, spread, here = catalogue_row[f"{column} mean"], catalogue_row[f"{column} stddev"], played_row[column]
    return (here - mean) / spread if here is not None and spread else 0.0


shifts = [shift_of(column) for column in compared]
figure, axes = new_figure("played against catalogue", 1, 2, (11.5, 4.8))
shares = by_method["count"] / max(by_method["count"].sum(), 1)
colors = [LIGHT if method == "not linked" else INK for method in by_method["method"]]
linked_share = shares[by_method["method"] != "not linked"].sum()
title = f"{linked_share:.0%} of plays have a Spotify track"
horizontal_bars(axes[0], by_method["method"], shares, [f"{share:.1%}" for share in shares], title, "share of plays", colors)
axes[0].xaxis.set_major_formatter(PercentFormatter(1))
title = "What is played, against the catalogue"
horizontal_bars(axes[1], compared, shifts, [f"{shift:+.2f}" for shift in shifts], title, "mean of plays less mean of tracks (standard deviations)")
axes[1].axvline(0, color=GREY, linewidth=0.8)
show(figure)
