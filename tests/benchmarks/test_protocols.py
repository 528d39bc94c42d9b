"""The protocols on small files written here, against plain Python from the papers' definitions."""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.accuracy import main, params_of, read_settings
from benchmarks.protocols import load_task
from benchmarks.tasks import Pairs, Scores, Task, best_items
from musicrec.errors import ConfigError, InputError
from musicrec.models.als.fit import AlsParams

USERS, ITEMS = 30, 160


def histories(seed: int, least: int = 12) -> list[list[int]]:
    rng = random.Random(seed)
    return [rng.sample(range(ITEMS), rng.randint(least, 40)) for _ in range(USERS)]


def write(path: Path, lines: list[str], packed: bool = False) -> None:
    text = "\n".join(lines).encode() + b"\n"
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(text)) if packed else path.write_bytes(text)


def write_ncf(folder: Path, packed: bool = False) -> None:
    rng = random.Random(8)
    train, test, negative = [], [], []
    for user, items in enumerate(histories(1)):
        # Times fall along the list: the last item in time is the first one.
        train += [f"{user}\t{item}\t5\t{1000 - at}" for at, item in enumerate(items[1:])]
        test.append(f"{user}\t{items[0]}\t5\t2000")
        others = rng.sample(sorted(set(range(ITEMS)) - set(items)), 99)
        negative.append("\t".join([f"({user},{items[0]})", *map(str, others)]))
    for name, lines in (("train.rating", train), ("test.rating", test), ("test.negative", negative)):
        write(folder / f"any.{name}", lines, packed)


def write_lightgcn(folder: Path) -> None:
    rows = histories(2)
    write(folder / "train.txt", [" ".join(map(str, [user, *items[3:]])) for user, items in enumerate(rows)])
    # Listener 4 has no test item: not judged.
    tests = [[user, *([] if user == 4 else items[:3])] for user, items in enumerate(rows)]
    write(folder / "test.txt", [" ".join(map(str, row)) for row in tests])


def write_hetrec(folder: Path) -> None:
    rows = [f"{user + 2}\t{item + 50}\t{item * 7 + 1}" for user, items in enumerate(histories(3)) for item in items]
    write(folder / "user_artists.dat", ["userID\tartistID\tweight", *rows])


def write_sequence(folder: Path) -> None:
    write(folder / "Any.txt", [" ".join(map(str, [user + 1, *items])) for user, items in enumerate(histories(4))])
    write(folder / "Any_sample.txt", ["1 2 3"])


WRITERS: dict[str, Callable[[Path], None]] = {
    "ncf": write_ncf,
    "lightgcn": write_lightgcn,
    "hetrec": write_hetrec,
    "sequence": write_sequence,
}


def scores_of(task: Task) -> Scores:
    """With many ties."""
    return np.random.default_rng(5).integers(0, 12, (task.users, task.items)).astype(np.float32)


def by_formula(task: Task, scores: Scores) -> tuple[float, float, float]:
    """Hit rate, recall and NDCG at the task's cut-off."""
    wanted, hidden = ({user: set() for user in range(task.users)} for _ in range(2))
    for pairs, sets in ((task.wanted, wanted), (task.train, hidden), (task.seen, hidden)):
        for user, item in zip(pairs.users.tolist(), pairs.items.tolist(), strict=True):
            sets[user].add(item)
    figures = []
    for user, items in wanted.items():
        if items:
            ranked = sorted((-scores[user, item], item) for item in range(task.items) if item not in hidden[user])
            listed = [item for _, item in ranked[: task.k]]
            gain = sum(1 / math.log2(rank + 2) for rank, item in enumerate(listed) if item in items)
            ideal = sum(1 / math.log2(rank + 2) for rank in range(min(len(items), task.k)))
            found = len(items & set(listed))
            figures.append((found > 0, found / len(items), gain / ideal))
    return tuple(np.mean(figures, axis=0).tolist())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("protocol", "stage"), [(name, stage) for name in ("lightgcn", "hetrec", "sequence") for stage in ("valid", "test")]
)
def test_full_rankings_are_judged_by_the_formulas(protocol: str, stage: str, tmp_path: Path) -> None:
    WRITERS[protocol](tmp_path)
    task = load_task(protocol, tmp_path, stage)  # type: ignore[arg-type]
    scores = scores_of(task)
    hit, recall, ndcg = by_formula(task, scores)
    found = task.judge(lambda users: scores[users].copy())
    first = {"lightgcn": ("recall_at_20", recall), "hetrec": ("recall_at_10", recall), "sequence": ("hr_at_10", hit)}
    name, value = first[protocol]
    k = name.rpartition("_")[2]
    assert found == pytest.approx({name: value, f"ndcg_at_{k}": ndcg}, abs=1e-12)


@pytest.mark.parametrize("packed", [False, True])
def test_one_item_among_99_loses_every_tie(packed: bool, tmp_path: Path) -> None:
    write_ncf(tmp_path, packed)
    task = load_task("ncf", tmp_path)
    scores = scores_of(task)
    assert task.among is not None
    gains = []
    for user, item, others in zip(task.wanted.users, task.wanted.items, task.among, strict=True):
        rank = 1 + sum(scores[user, other] >= scores[user, item] for other in others)
        gains.append((rank <= 10, 1 / math.log2(rank + 1) if rank <= 10 else 0.0))
    hit, ndcg = np.mean(gains, axis=0)
    found = task.judge(lambda users: scores[users].copy())
    assert found == pytest.approx({"hr_at_10": hit, "ndcg_at_10": ndcg}, abs=1e-12)
    assert task.judge(lambda users: np.full((len(users), task.items), np.nan, np.float32))["hr_at_10"] == 0


def test_ncf_validation_holds_out_the_last_in_time_and_reads_no_test(tmp_path: Path) -> None:
    write_ncf(tmp_path)
    task = load_task("ncf", tmp_path, "valid", seed=3)
    rows = histories(1)
    assert task.wanted.items.tolist() == [items[1] for items in rows]
    assert len(task.train) == sum(len(items) - 2 for items in rows)
    assert task.among is not None
    for user, others in enumerate(task.among):
        assert len(set(others.tolist())) == 99
        assert not set(others.tolist()) & set(rows[user][1:])
    again = load_task("ncf", tmp_path, "valid", seed=3).among
    assert np.array_equal(task.among, again)


def cells(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.users.tolist(), pairs.items.tolist(), strict=True))


def test_hetrec_is_split_8_1_1_by_listener_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    write_hetrec(tmp_path)
    valid, test = (load_task("hetrec", tmp_path, stage) for stage in ("valid", "test"))  # type: ignore[arg-type]
    parts = [cells(valid.train), cells(valid.wanted), cells(test.wanted)]
    assert parts[0] == cells(test.train)
    assert parts[1] == cells(test.seen)
    assert sum(map(len, parts)) == len(set.union(*parts)) == sum(map(len, histories(3)))
    for user, items in enumerate(histories(3)):
        tenth = math.floor(len(items) / 10 + 0.5)
        assert [sum(cell[0] == user for cell in part) for part in parts[1:]] == [tenth, tenth]
    header, *rows = (tmp_path / "user_artists.dat").read_text().splitlines()
    write(tmp_path / "user_artists.dat", [header, *sorted(rows, key=lambda row: row[::-1])])
    assert cells(load_task("hetrec", tmp_path).wanted) == parts[2]
    assert cells(load_task("hetrec", tmp_path, seed=2).wanted) != parts[2]


def test_sequences_end_with_validation_and_test(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    rows = histories(4)
    item_ids = sorted({item for items in rows for item in items})
    for stage, held in (("valid", -2), ("test", -1)):
        task = load_task("sequence", tmp_path, stage)  # type: ignore[arg-type]
        assert [item_ids[item] for item in task.wanted.items] == [items[held] for items in rows]
        assert len(task.train) == sum(len(items) - 2 for items in rows)


def test_models_that_learn_from_order_are_given_it_and_never_the_item_to_find(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    rows = histories(4)
    item_ids = sorted({item for items in rows for item in items})
    test = load_task("sequence", tmp_path)
    assert test.sequences is not None
    assert test.sequences.valid is not None
    valid = test.sequences.valid
    assert valid.sequences is not None
    for user, items in enumerate(rows):
        for known, expected in (
            (test.sequences.train, items[:-2]),
            (test.sequences.history, items[:-1]),
            (valid.sequences.train, items[:-2]),
            (valid.sequences.history, items[:-2]),
        ):
            assert [item_ids[item] for item in known[user]] == expected
    assert [item_ids[item] for item in valid.wanted.items] == [items[-2] for items in rows]


def test_ratings_are_ordered_by_time_then_file_and_rare_items_are_left_out(tmp_path: Path) -> None:
    # Items 0 to 5 of six listeners each; item 6 of four; listener 6 has four ratings, one of them of a rare item.
    rows = [(user, item, 5, 100 - item) for user in range(6) for item in range(6)]
    rows += [(user, 6, 5, 50) for user in range(4)]
    rows += [(6, item, 5, 7) for item in (4, 2, 3)]
    tests = [(user, 7, 5, 100) for user in range(6)] + [(6, 6, 5, 7)]
    for name, lines in (("train.rating", rows), ("test.rating", tests)):
        write(tmp_path / f"any.{name}", ["\t".join(map(str, row)) for row in lines])
    task = load_task("sequence_from_ratings", tmp_path)
    assert (task.users, task.items) == (6, 7)
    assert task.sequences is not None
    # Times fall with the item; item 0 and the row of the test file tie, and that one is the last.
    for user in range(6):
        assert task.sequences.history[user].tolist() == [5, 4, 3, 2, 1, 0]
        assert task.sequences.train[user].tolist() == [5, 4, 3, 2, 1]
    assert task.wanted.items.tolist() == [6] * 6
    write(tmp_path / "any.train.rating", ["0\t1\t5\t3", "0\t2\t5\t4"])
    write(tmp_path / "any.test.rating", ["0\t3\t5\t9"])
    with pytest.raises(InputError, match="listeners and items with five ratings or more, found none"):
        load_task("sequence_from_ratings", tmp_path)


def test_lightgcn_validation_leaves_the_test_alone(tmp_path: Path) -> None:
    write_lightgcn(tmp_path)
    test, valid = (load_task("lightgcn", tmp_path, stage) for stage in ("test", "valid"))  # type: ignore[arg-type]
    assert cells(valid.train) | cells(valid.wanted) == cells(test.train)
    assert not cells(valid.wanted) & (cells(valid.train) | cells(test.wanted))


def test_best_items_are_in_total_order() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (40, 90)).astype(np.float32)
    scores[:, ::7] = -np.inf
    best = np.empty((40, 25), np.int32)
    best_items(scores, best)
    assert np.array_equal(best, np.argsort(-scores, axis=1, kind="stable")[:, :25])


def test_what_is_wrong_with_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one file \*\.train\.rating or .* found none"):
        load_task("ncf", tmp_path)
    with pytest.raises(InputError, match="a folder with the files of hetrec, found no folder"):
        load_task("hetrec", tmp_path / "nowhere")
    write_lightgcn(tmp_path)
    (tmp_path / "train.txt").write_text("1 2\n2 x\n")
    with pytest.raises(InputError, match="whole numbers from 0 on, found 2 x"):
        load_task("lightgcn", tmp_path)
    write(tmp_path / "train.txt", ["0 1"], packed=True)
    with pytest.raises(InputError, match=r"found train\.txt, train\.txt\.gz"):
        load_task("lightgcn", tmp_path)
    write_ncf(tmp_path)
    (tmp_path / "any.test.negative").write_text("(0,1)\t3\n")
    with pytest.raises(InputError, match="99 items in a line, found 3 numbers"):
        load_task("ncf", tmp_path)
    (tmp_path / "any.train.rating").write_text("0\t1\t5\n")
    with pytest.raises(InputError, match="4 columns in a line, found 0 1 5"):
        load_task("ncf", tmp_path)


def test_the_command_ends_with_2_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    for arguments in (["ncf", str(tmp_path)], ["ncf", str(tmp_path), "--models", "als,svm"]):
        result = CliRunner().invoke(main, [*arguments, "--json", str(out)])
        assert result.exit_code == 2
        assert len(result.output.strip().splitlines()) == 1
    assert not out.exists()


def test_settings_come_from_the_preset_then_from_overrides() -> None:
    settings = read_settings("ncf", ["als.rank=8", "knn.weighting=bm25"])
    assert settings["als"]["rank"] == 8
    assert settings["als"]["iterations"] == read_settings("ncf", [])["als"]["iterations"]
    assert settings["knn"]["weighting"] == "bm25"
    with pytest.raises(ConfigError, match=r"als\.rnk"):
        params_of(AlsParams, "als", read_settings("ncf", ["als.rnk=8"]))
    with pytest.raises(ConfigError, match=r"als\.alpha, a key of an earlier release"):
        params_of(AlsParams, "als", read_settings("ncf", ["als.alpha=8"]))
    with pytest.raises(ConfigError, match=r"expected model\.key=value"):
        read_settings("ncf", ["rank=8"])
    with pytest.raises(ConfigError, match="preset nowhere"):
        read_settings("nowhere", [])
