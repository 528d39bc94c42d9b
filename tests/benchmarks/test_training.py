from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from benchmarks.training import main, zipf_windows


def test_each_loss_and_catalogue_has_its_speed(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    sizes = ["--items", "50,300", "--windows", "600", "--batch-size", "16", "--dim", "8", "--seconds", "0.2"]
    ended = CliRunner().invoke(main, [*sizes, "--json", str(path)])
    assert ended.exit_code == 0, ended.output
    rows = json.loads(path.read_text())
    cases = [("full", 50), ("sampled", 50), ("full", 300), ("sampled", 300)]
    assert [(row["engine"], row["items"]) for row in rows] == cases
    assert all(row["events_per_s"] > 0 and 0 <= row["wait_share"] <= 1 and row["memory_mb"] > 0 for row in rows)


def test_plays_follow_zipfs_law() -> None:
    counts = np.bincount(zipf_windows(20_000, 100).ravel(), minlength=100)
    assert counts.argmax() == 0
    # p(k) = ln((k + 2) / (k + 1)) / ln(101)
    expected = np.log1p(1 / (np.arange(100) + 1)) / np.log(101) * counts.sum()
    np.testing.assert_allclose(counts, expected, rtol=0.05)
