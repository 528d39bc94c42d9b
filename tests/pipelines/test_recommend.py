"""From lists to rows of gold.recommendations."""

from __future__ import annotations

from pyspark.sql import SparkSession

from musicrec.pipelines import fresh, recommend

SCORES = [8.123456e-12, 8.123455e-12, -3.5e-9]


def test_small_scores_keep_their_digits(spark: SparkSession) -> None:
    lists = spark.createDataFrame(
        [("discover", "u", "als", [0, 1, 2], SCORES, [False] * 3, ["a", "b", "c"])],
        "shelf string, user_id string, model string, items array<int>, scores array<double>, filled array<boolean>,"
        " reasons array<string>",
    )
    items = spark.createDataFrame(
        [(n, f"r{n}", "t", "a") for n in range(3)], "item_idx int, item_id string, title string, artist string"
    )
    tracks = items.selectExpr("item_idx AS track_idx", "item_id AS track_id", "title AS name", "artist")
    both = (recommend._rows(lists, items), fresh._rows(lists.drop("shelf", "model", "filled"), tracks, 0))
    for made in both:
        rows = sorted(made.collect(), key=lambda row: row["rank"])
        assert [row.score for row in rows] == SCORES
        assert [row["item"] for row in rows] == ["r0", "r1", "r2"]
