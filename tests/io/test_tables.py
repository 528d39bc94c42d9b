from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from deltalake import DeltaTable as DeltaWithoutSpark
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from musicrec.errors import SchemaError, TableMissingError
from musicrec.io.tables import Lakehouse
from musicrec.schemas import TABLES

TABLE = "silver.links"


def links(spark: SparkSession, *rows: tuple[str, str, str, float]):
    return spark.createDataFrame(list(rows), "recording_id string, track_id string, method string, confidence double")


def as_tuples(lakehouse: Lakehouse, version: int | None = None) -> list[tuple]:
    return sorted(tuple(row) for row in lakehouse.read(TABLE, version).collect())


def test_a_missing_table_is_named_with_the_job_that_writes_it(lakehouse: Lakehouse) -> None:
    assert lakehouse.version(TABLE) is None
    with pytest.raises(TableMissingError, match=r"silver\.links.*jobs/build_silver\.py"):
        lakehouse.read(TABLE)
    assert lakehouse.read_or_empty(TABLE).count() == 0


def test_overwrite_reads_back_and_older_versions_stay(spark: SparkSession, lakehouse: Lakehouse) -> None:
    first = lakehouse.overwrite(TABLE, links(spark, ("a", "1", "exact", 1.0)))
    second = lakehouse.overwrite(TABLE, links(spark, ("b", "2", "exact", 0.5)))
    assert second == first + 1
    assert as_tuples(lakehouse) == [("b", "2", "exact", 0.5)]
    assert as_tuples(lakehouse, first) == [("a", "1", "exact", 1.0)]
    assert lakehouse.versions_written == {TABLE: second}
    assert DeltaWithoutSpark(lakehouse.location(TABLE)).to_pyarrow_table().num_rows == 1


def test_overwrite_where_leaves_other_rows(spark: SparkSession, lakehouse: Lakehouse) -> None:
    lakehouse.overwrite(TABLE, links(spark, ("a", "1", "exact", 1.0), ("b", "2", "fuzzy", 0.8)))
    lakehouse.overwrite(TABLE, links(spark, ("c", "3", "fuzzy", 0.7)), where="method = 'fuzzy'")
    assert as_tuples(lakehouse) == [("a", "1", "exact", 1.0), ("c", "3", "fuzzy", 0.7)]


def test_insert_new_keeps_known_rows_and_counts_the_new(spark: SparkSession, lakehouse: Lakehouse) -> None:
    assert lakehouse.insert_new(TABLE, links(spark, ("a", "1", "exact", 1.0))) == 1
    assert lakehouse.insert_new(TABLE, links(spark, ("a", "9", "exact", 0.1), ("b", "2", "exact", 1.0))) == 1
    assert as_tuples(lakehouse) == [("a", "1", "exact", 1.0), ("b", "2", "exact", 1.0)]


def test_rows_of_the_driver_read_back_through_spark(spark: SparkSession, lakehouse: Lakehouse) -> None:
    at = datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    table = TABLES["ops.models"]
    row = ("als", "run", at, date(2020, 1, 3), 7, "{}", {"silver.listens": 3}, 1, None, "", {"loss": 0.5})
    assert lakehouse.append_rows("ops.models", [row]) == 0
    assert lakehouse.append("ops.models", spark.createDataFrame([("pca", *row[1:])], table.schema)) == 1
    assert lakehouse.append_rows("ops.models", [("lstm", *row[1:])]) == 2
    found = lakehouse.read("ops.models").orderBy("model").collect()
    assert [(r.model, r.inputs, r.figures, r.item_vectors_version) for r in found] == [
        (name, {"silver.listens": 3}, {"loss": 0.5}, None) for name in ("als", "lstm", "pca")
    ]
    assert {r.trained_at.astimezone(UTC) for r in found} == {at}
    with pytest.raises(SchemaError, match="key column run_id is null"):
        lakehouse.append_rows("ops.models", [("als", None, *row[2:])])


def test_a_failure_puts_old_and_new_tables_back(spark: SparkSession, lakehouse: Lakehouse) -> None:
    lakehouse.overwrite(TABLE, links(spark, ("a", "1", "exact", 1.0)))
    users = spark.createDataFrame([("u", 0)], "user_id string, user_idx int")

    def write_two_tables_and_fail() -> None:
        with lakehouse.unchanged_on_error():
            lakehouse.overwrite(TABLE, links(spark, ("b", "2", "exact", 1.0)))
            lakehouse.overwrite("silver.user_index", users)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_two_tables_and_fail()
    assert as_tuples(lakehouse) == [("a", "1", "exact", 1.0)]
    assert not lakehouse.exists("silver.user_index")


def test_missing_columns_and_null_keys_are_refused(spark: SparkSession, lakehouse: Lakehouse) -> None:
    with pytest.raises(SchemaError, match=r"silver\.links.*confidence"):
        lakehouse.overwrite(TABLE, links(spark, ("a", "1", "exact", 1.0)).drop("confidence"))
    with pytest.raises((PySparkException, Py4JJavaError), match="key column recording_id is null"):
        lakehouse.overwrite(TABLE, links(spark, (None, "1", "exact", 1.0)))  # type: ignore[arg-type]
    assert not lakehouse.exists(TABLE)
