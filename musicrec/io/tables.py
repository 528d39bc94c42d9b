"""The Delta tables. The one class that knows whether a table is a directory or a name in a catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from delta.tables import DeltaTable
from deltalake import write_deltalake
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from musicrec.errors import SchemaError, TableMissingError
from musicrec.io.local_files import check_root, is_written_by_delta_rs
from musicrec.schemas import TABLES, Table, conform, same_key


class Lakehouse:
    """Reads and writes the tables of `musicrec.schemas.TABLES` and remembers which versions it touched.

    Parameters
    ----------
    spark : the session; must have the Delta extensions.
    root : folder or URL under which table `layer.name` lies at `<root>/layer/name`.
    catalog : where given, tables are `catalog.layer.name` of that catalogue and `root` holds only files.

    Attributes
    ----------
    versions_read, versions_written : table name → Delta version, since this object was made.

    Raises
    ------
    InputError : `root` is a folder that delta-rs, with which apps read, would not find.
    """

    def __init__(self, spark: SparkSession, root: str, catalog: str | None = None) -> None:
        self.spark = spark
        self.root = root if "://" in root or root.startswith("dbfs:") else os.path.abspath(root)
        self.catalog = catalog
        if not catalog:
            check_root(self.root)
        self.versions_read: dict[str, int] = {}
        self.versions_written: dict[str, int] = {}
        self._versions_before: dict[str, int | None] = {}

    def location(self, name: str) -> str:
        """Where a table is, as an app would name it."""
        layer, _, table = TABLES[name].name.partition(".")
        return f"{self.catalog}.{layer}.{table}" if self.catalog else f"{self.root}/{layer}/{table}"

    def exists(self, name: str) -> bool:
        """Whether a job has written the table."""
        if self.catalog:
            return self.spark.catalog.tableExists(self.location(name))
        return self.version(name) is not None

    def version(self, name: str) -> int | None:
        """The table's newest Delta version, None where there is no table."""
        if not self.catalog:
            return _newest_commit(self.spark, self.location(name))
        if not self.exists(name):
            return None
        return int(self._handle(name).history(1).select("version").collect()[0][0])

    def read(self, name: str, version: int | None = None, *, is_input: bool = True) -> DataFrame:
        """The table at `version`, or at its newest version, pinned: later writes do not change what is read.

        What is no input of the job (an earlier night's result) does not count among `versions_read`.

        Raises
        ------
        TableMissingError : no job has written it.
        """
        if version is None:
            version = self.version(name)
            if version is None:
                raise TableMissingError(name, self.location(name), f"jobs/{TABLES[name].written_by.split(',')[0]}.py")
        if is_input:
            self.versions_read[name] = version
        if self.catalog:
            return self.spark.sql(f"SELECT * FROM {self.location(name)} VERSION AS OF {version}")
        return self.spark.read.format("delta").option("versionAsOf", version).load(self.location(name))

    def read_or_empty(self, name: str) -> DataFrame:
        """The table, or no rows of its schema where no job has written it yet."""
        if self.exists(name):
            return self.read(name)
        return self.spark.createDataFrame([], TABLES[name].schema)

    def overwrite(self, name: str, df: DataFrame, where: str | None = None) -> int:
        """Replace the whole table, or just the rows that match `where`, in one commit. Gives the new version.

        With `where`, every new row must match it too.
        """
        table = TABLES[name]
        writer = conform(df, table).write.format("delta").mode("overwrite")
        if where is None:
            writer = writer.option("overwriteSchema", "true")
        elif self.exists(name):
            writer = writer.option("replaceWhere", where)
        return self._save(writer, table)

    def append(self, name: str, df: DataFrame) -> int:
        """Add rows in one commit. Gives the new version."""
        table = TABLES[name]
        return self._save(conform(df, table).write.format("delta").mode("append"), table)

    def append_rows(self, name: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Add a few rows that the driver holds, each in the order of the table's columns. Gives the new version.

        In a local folder delta-rs writes them: a Spark job for one row takes a hundred times as long, and a nightly
        keeps many such books.
        """
        table = TABLES[name]
        for place, column in enumerate(table.columns):
            if column in table.key and any(row[place] is None for row in rows):
                raise SchemaError(f"table {name}: key column {column} is null")
        if not is_local(self.root, self.catalog):
            return self.append(name, self.spark.createDataFrame(list(rows), table.schema))
        self._remember(name)
        append_local(self.location(name), name, rows)
        return self._note_written(name)

    def append_if_any(self, name: str, df: DataFrame) -> int:
        """Add rows in one commit, or write nothing where there are none and the table exists. Gives how many."""
        rows = df.persist()
        try:
            count = rows.count()
            if count or not self.exists(name):
                self.append(name, rows)
        finally:
            rows.unpersist()
        return count

    def insert_new(self, name: str, df: DataFrame, within: str | None = None) -> int:
        """Add the rows whose key is not in the table yet, in one commit; gives how many. `df`'s keys are unique.

        `within` is a condition on the columns of `target`, the table, that any row with a key of `df`'s meets: files
        in which none does are not read.
        """
        table = TABLES[name]
        if not self.exists(name):
            self.append(name, df)
            return self._last_metric(name, "numOutputRows")
        source = conform(df, table).alias("source")
        matches = same_key("target", "source", table)
        condition = matches & F.expr(within) if within else matches
        merge = self._handle(name).alias("target").merge(source, condition)
        self._remember(name)
        merge.whenNotMatchedInsertAll().execute()
        self._note_written(name)
        return self._last_metric(name, "numTargetRowsInserted")

    @contextmanager
    def unchanged_on_error(self) -> Iterator[None]:
        """Put every table written inside the block back to what it was, if the block fails."""
        self._versions_before = {}
        try:
            yield
        except BaseException:
            for name, version in self._versions_before.items():
                self._restore(name, version)
            raise

    def _restore(self, name: str, version: int | None) -> None:
        now = self.version(name)
        if now == version:
            return
        if version is not None:
            self._handle(name).restoreToVersion(version)
        elif self.catalog:
            self.spark.sql(f"DROP TABLE {self.location(name)}")
        else:
            _delete_folder(self.spark, self.location(name))

    def _handle(self, name: str) -> DeltaTable:
        if self.catalog:
            return DeltaTable.forName(self.spark, self.location(name))
        return DeltaTable.forPath(self.spark, self.location(name))

    def _save(self, writer: DataFrameWriter, table: Table) -> int:
        self._remember(table.name)
        if self.catalog:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.location(table.name).rpartition('.')[0]}")
            writer.saveAsTable(self.location(table.name))
        else:
            writer.save(self.location(table.name))
        return self._note_written(table.name)

    def _remember(self, name: str) -> None:
        if name not in self._versions_before:
            self._versions_before[name] = self.version(name)

    def _note_written(self, name: str) -> int:
        version = self.version(name)
        assert version is not None
        self.versions_written[name] = version
        return version

    def _last_metric(self, name: str, metric: str) -> int:
        row = self._handle(name).history(1).select(F.col("operationMetrics")[metric]).collect()[0]
        return int(row[0])


def is_local(root: str, catalog: str | None) -> bool:
    """Whether tables are folders of this machine, which can be written without Spark."""
    is_remote = catalog or "://" in root or root.startswith("dbfs:")
    return not is_remote and is_written_by_delta_rs(root)


def append_local(location: str, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows to the table `name`, a local folder, which is made where it is missing; no session is needed."""
    columns = zip(*rows, strict=True)
    schema = to_arrow_schema(TABLES[name].schema)
    arrays = [pa.array(_for_arrow(values), field.type) for values, field in zip(columns, schema, strict=True)]
    # Nullable, as Spark makes them.
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    write_deltalake(location, pa.Table.from_arrays(arrays, schema=nullable), mode="append")


def _for_arrow(values: Sequence[Any]) -> list[Any]:
    """Arrow takes a map as a list of pairs."""
    return [list(value.items()) if isinstance(value, dict) else value for value in values]


def _hadoop_path(spark: SparkSession, location: str) -> tuple[Any, Any]:
    """Hadoop's file system and path of a location, so that s3:// and dbfs:/ work as local folders do."""
    path = spark.sparkContext._jvm.org.apache.hadoop.fs.Path(location)  # type: ignore[union-attr]
    return path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), path


def _newest_commit(spark: SparkSession, location: str) -> int | None:
    """The highest version in a table's log. Listing it takes a millisecond; DESCRIBE HISTORY takes half a second."""
    files, log = _hadoop_path(spark, f"{location}/_delta_log")
    if not files.exists(log):
        return None
    names = [status.getPath().getName() for status in files.listStatus(log)]
    commits = [int(name[: -len(".json")]) for name in names if name.endswith(".json") and name[:-5].isdigit()]
    return max(commits, default=None)


def _delete_folder(spark: SparkSession, location: str) -> None:
    files, path = _hadoop_path(spark, location)
    files.delete(path, True)
