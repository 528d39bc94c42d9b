"""Tables of a lakehouse written from pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from musicrec.io.tables import Lakehouse
from musicrec.schemas import TABLES


def write_table(lakehouse: Lakehouse, name: str, rows: pd.DataFrame) -> None:
    """Replace a table; its columns that `rows` has not are null."""
    fields = [field for field in TABLES[name].schema if field.name in rows]
    values = [
        [value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for value in row]
        for row in rows[[field.name for field in fields]].replace({np.nan: None}).itertuples(index=False)
    ]
    schema = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in fields)
    df = lakehouse.spark.createDataFrame(values, schema)
    missing = {c: F.lit(None).cast(kind) for c, kind in TABLES[name].columns.items() if c not in rows}
    lakehouse.overwrite(name, df.withColumns(missing))
