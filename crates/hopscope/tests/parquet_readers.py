"""What DuckDB and PyArrow make of a store's Parquet: counts, and the events of one trace, as JSON lines.

Arguments: an exported file, the script of `hopscope store sql`, a trace id."""

import json
import sys

import duckdb
import pyarrow.parquet as parquet

exported, script, trace = sys.argv[1:]
table = parquet.read_table(exported)
named = table.select(["destination", "outcome"]).to_pylist()
counts = {}
for row in named:
    key = (row["destination"] or "", row["outcome"])
    counts[key] = counts.get(key, 0) + 1
of_trace = [row for row in table.to_pylist() if row["trace"].hex() == trace]
stages = sorted((row["start_ns"], row["stage"], row["service"] or "") for row in of_trace)
print(json.dumps({"rows": table.num_rows, "counts": sorted([*k, n] for k, n in counts.items()), "stages": stages}))

session = duckdb.connect()
session.execute(open(script).read())
(rows,) = session.execute("select count(*) from events").fetchone()
counts = session.execute(
    "select coalesce(destination, ''), outcome, count(*) from events group by all order by all"
).fetchall()
stages = session.execute(
    "select start_ns, stage, coalesce(service, '') from events where trace_id = ? order by all", [trace]
).fetchall()
documented = session.execute("select count(*) from duckdb_columns() where table_name = 'events' and comment is null")
print(json.dumps({"rows": rows, "counts": counts, "stages": stages, "undocumented": documented.fetchone()[0]}))
