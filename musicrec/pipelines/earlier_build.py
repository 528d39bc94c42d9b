"""The last build of silver, where it still stands, and what has come in since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.io.run_log import last_success
from musicrec.io.runs import Run, package_versions

# What a build goes on from; if another hand wrote one of them since, it starts from nothing.
_GROWN = ("silver.listens", "silver.spellings", "silver.recordings", "silver.links")
_CATALOGUES = ("silver.tracks", "bronze.tracks")


@dataclass(frozen=True)
class EarlierLinks:
    """silver.links of the earlier build and the recordings that it linked."""

    links: DataFrame
    recordings: DataFrame


@dataclass(frozen=True)
class EarlierBuild:
    """A build that stands.

    Attributes
    ----------
    as_of : it holds the listens before this day's midnight.
    sources : of the dumps that had been taken in.
    read, written : the Delta versions of the tables that it read and wrote.
    """

    as_of: date
    sources: tuple[str, ...]
    read: dict[str, int]
    written: dict[str, int]

    def unseen(self, listens: DataFrame) -> DataFrame:
        """The rows of bronze.listens that the build did not hold."""
        is_seen = F.col("source_id").isin(*self.sources) & (F.col("listened_at") < F.lit(self.as_of).cast("timestamp"))
        return listens.where(~is_seen)

    def links(self, run: Run) -> EarlierLinks | None:
        """The links that it made; None where a catalogue has changed since."""
        lake = run.lakehouse
        if any(self.read.get(name) != lake.version(name) for name in _CATALOGUES):
            return None
        # Their versions then: this build may have written new recordings already.
        now = lake.versions_read.get("silver.recordings")
        recordings = lake.read("silver.recordings", self.written["silver.recordings"])
        if now is not None:
            lake.versions_read["silver.recordings"] = now
        return EarlierLinks(lake.read("silver.links", self.written["silver.links"]), recordings)


def earlier_build(run: Run) -> EarlierBuild | None:
    """The last build, if tonight's can go on from it: the same code, no later day, and its tables as it left them."""
    lake = run.lakehouse
    last = last_success(lake, "build_silver")
    if last is None or last.as_of is None or last.as_of > run.day or last.packages != package_versions():
        return None
    if any(name not in last.tables_written or lake.version(name) != last.tables_written[name] for name in _GROWN):
        return None
    dumps = lake.read("ops.sources").where((F.col("kind") != "catalogue") & (F.col("applied_at") <= last.started_at))
    sources = tuple(sorted({row.source_id for row in dumps.select("source_id").collect()}))
    return EarlierBuild(last.as_of, sources, dict(last.tables_read), dict(last.tables_written))
