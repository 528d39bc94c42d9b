"""Published evaluation protocols: what a model learns from, what it is judged on, and by which figures.

- ncf: He et al., "Neural Collaborative Filtering", 2017. The last item of each listener among 99 given others;
  HR@10 and NDCG@10 = 1 / log2(rank + 1). An item that scores the same as the wanted one ranks before it.
- lightgcn: He et al., "LightGCN", 2020, and its LightGCN-PyTorch. All items ranked but those of the training;
  Recall@20 and NDCG@20 (ideal gain over min(|test|, 20) ranks), means over the listeners with a test item.
- hetrec: Last.fm of HetRec 2011, artists played or not. Each listener's artists are split 8:1:1 by a hash of seed,
  listener and artist. As lightgcn at 10; the validation items are left out of the test's rankings, but not learned
  from. An artist that no one has in training counts as wanted, though no model can rank it by more than chance (as in
  the code of QRec and SELFRec by the authors of SEPT, 2021).
- sequence: a listener's items in order (S3-Rec, Zhou et al. 2020). The last is the test, the one before validation;
  all items ranked but the earlier ones; HR@10 and NDCG@10.
- sequence_from_ratings: the same from the files of ncf, ordered by time (SASRec, Kang and McAuley 2018). Where times
  tie, the rows of the training file come in its order and before that of the test file. Items and listeners with fewer
  than five rows are left out until there are none.

At the stage `valid` nothing of the test is read into the task: ncf holds out each listener's last training item among
99 drawn others, lightgcn a tenth of each listener's training items, hetrec and sequence have a validation part.
Equal scores are ranked by item number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.protocol_files import ints_by_line, one_file, pairs_by_line, read_columns, read_negatives
from benchmarks.tasks import Ints, Pairs, Sequences, Task
from musicrec.errors import InputError
from musicrec.models.blocks import Ragged

Stage = Literal["valid", "test"]

PROTOCOLS = ("ncf", "lightgcn", "hetrec", "sequence", "sequence_from_ratings")
_NEGATIVES = 99


def load_task(protocol: str, folder: Path, stage: Stage = "test", seed: int = 1) -> Task:
    """Read a protocol's files, each plain or .gz.

    Parameters
    ----------
    protocol : one of PROTOCOLS.
    folder : ncf: one `*.train.rating`, `*.test.rating` and `*.test.negative`; lightgcn: train.txt, test.txt; hetrec:
        user_artists.dat; sequence: one .txt that is not `*_sample.txt`.
    stage : what to judge on.
    seed : of splits and of drawn negatives.

    Raises
    ------
    InputError : a file is missing, more than one fits, or a line is not what the protocol says.
    """
    if not folder.is_dir():
        raise InputError(folder, f"a folder with the files of {protocol}", "no folder")
    loaders = dict(zip(PROTOCOLS, (_ncf, _lightgcn, _hetrec, _sequence, _from_ratings), strict=True))
    return loaders[protocol](folder, stage, seed)


def _hit_and_ndcg(k: int) -> dict[str, str]:
    return {f"hr_at_{k}": f"hit_rate_{k}", f"ndcg_at_{k}": f"ndcg_{k}"}


def _recall_and_ndcg(k: int) -> dict[str, str]:
    return {f"recall_at_{k}": f"recall_{k}", f"ndcg_at_{k}": f"ndcg_{k}"}


def _nothing() -> Pairs:
    return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _ncf(folder: Path, stage: Stage, seed: int) -> Task:
    """Sizes are of all three files, which is not to look at who likes what."""
    users, items, _, times = read_columns(one_file(folder, "*.train.rating"), 4)
    test_path = one_file(folder, "*.test.rating")
    test = Pairs(*read_columns(test_path, 4)[:2])
    negative_path = one_file(folder, "*.test.negative")
    named, among = read_negatives(negative_path)
    if not (np.array_equal(named.T[0], test.users) and np.array_equal(named.T[1], test.items)):
        raise InputError(negative_path, f"the listeners and items of {test_path.name}, line by line", "others")
    train = Pairs(users, items)
    sizes = [int(max(one.max(), two.max())) + 1 for one, two in ((users, test.users), (items, test.items))]
    sizes[1] = max(sizes[1], int(among.max()) + 1)
    if stage == "valid":
        # The last in time; of equal times, the last in the file.
        order = np.lexsort((np.arange(len(train)), times, train.users))
        is_last = np.zeros(len(train), np.bool_)
        is_last[order[np.diff(train.users[order], append=-1) != 0]] = True
        test = train.where(is_last)
        among = _draw_others(train, test.users, sizes[1], seed)
        train = train.where(~is_last)
    return Task(*sizes, train, test, _nothing(), 10, _hit_and_ndcg(10), among)


def _draw_others(known: Pairs, users: Ints, items: int, seed: int) -> Ints:
    """99 items a listener, each once, that `known` does not have for them."""
    by_user = known.by_user(int(known.users.max()) + 1)
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(np.setdiff1d(np.arange(items), by_user[user]), _NEGATIVES, replace=False) for user in users]
    return np.array(drawn, np.int64)


def _lightgcn(folder: Path, stage: Stage, seed: int) -> Task:
    train = Pairs(*pairs_by_line(one_file(folder, "train.txt")))
    test = Pairs(*pairs_by_line(one_file(folder, "test.txt")))
    users, items = (int(max(a.max(), b.max())) + 1 for a, b in ((train.users, test.users), (train.items, test.items)))
    if stage == "valid":
        part = parts_by_user(train, (0.9, 0.1), seed)
        train, test = train.where(part == 0), train.where(part == 1)
    return Task(users, items, train, test, _nothing(), 20, _recall_and_ndcg(20))


def _hetrec(folder: Path, stage: Stage, seed: int) -> Task:
    path = one_file(folder, "user_artists.dat")
    user_ids, item_ids, _ = read_columns(path, 3, header=True)
    users, items = (np.unique(ids, return_inverse=True)[1] for ids in (user_ids, item_ids))
    pairs = Pairs(users, items)
    # By the ids of the file, so that the split does not hang on how they are numbered here.
    part = parts_by_user(Pairs(user_ids, item_ids), (0.8, 0.1, 0.1), seed)
    train, valid, test = (pairs.where(part == number) for number in range(3))
    wanted, seen = (valid, _nothing()) if stage == "valid" else (test, valid)
    return Task(int(users.max()) + 1, int(items.max()) + 1, train, wanted, seen, 10, _recall_and_ndcg(10))


def _sequence(folder: Path, stage: Stage, seed: int) -> Task:
    path = one_file(folder, "*.txt", but="*_sample.txt")
    rows = ints_by_line(path)
    short = next((row for row in rows if len(row) < 4), None)
    if short is not None:
        raise InputError(path, "a listener and three items or more in a line", " ".join(map(str, short)))
    item_ids = np.unique(np.concatenate([row[1:] for row in rows]))
    return _leave_last_out([np.searchsorted(item_ids, row[1:]) for row in rows], len(item_ids), stage)


def _from_ratings(folder: Path, stage: Stage, seed: int) -> Task:
    rows = [read_columns(one_file(folder, pattern), 4) for pattern in ("*.train.rating", "*.test.rating")]
    users, items, _, times = (np.concatenate(columns) for columns in zip(*rows, strict=True))
    order = np.lexsort((np.arange(len(users)), times, users))
    pairs = _core(Pairs(users[order], items[order]), 5)
    if not len(pairs):
        raise InputError(folder, "listeners and items with five ratings or more", "none")
    item_ids = np.unique(pairs.items)
    starts = np.flatnonzero(np.diff(pairs.users, prepend=-1))
    return _leave_last_out(np.split(np.searchsorted(item_ids, pairs.items), starts[1:]), len(item_ids), stage)


def _core(pairs: Pairs, least: int) -> Pairs:
    """Pairs whose listener and item both have as many as `least` of what is left."""
    while True:
        counts = np.bincount(pairs.users)[pairs.users], np.bincount(pairs.items)[pairs.items]
        is_kept = (counts[0] >= least) & (counts[1] >= least)
        if is_kept.all():
            return pairs
        pairs = pairs.where(is_kept)


def _leave_last_out(sequences: list[Ints], items: int, stage: Stage) -> Task:
    """The last item of each listener for the test, the one before for validation."""
    held = {"valid": -2, "test": -1}[stage]
    earlier = [np.unique(sequence[:-2]) for sequence in sequences]
    everyone = np.arange(len(sequences))
    train = Pairs(np.repeat(everyone, [len(one) for one in earlier]), np.concatenate(earlier))
    wanted = Pairs(everyone, np.array([sequence[held] for sequence in sequences]))
    before = Pairs(everyone, np.array([sequence[-2] for sequence in sequences]))
    seen = before if stage == "test" else _nothing()
    valid = _leave_last_out(sequences, items, "valid") if stage == "test" else None
    order = Sequences(_ragged([s[:-2] for s in sequences]), _ragged([s[:held] for s in sequences]), valid)
    return Task(len(sequences), items, train, wanted, seen, 10, _hit_and_ndcg(10), sequences=order)


def _ragged(rows: list[Ints]) -> Ragged:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.concatenate(rows).astype(np.int32), starts)


def parts_by_user(pairs: Pairs, shares: tuple[float, ...], seed: int) -> Ints:
    """The part of each pair: of a listener's n items, as a hash orders them, round(share × n) go to each later part."""
    mixed = pairs.users.astype(np.uint64) << np.uint64(32) | pairs.items.astype(np.uint64)
    order = np.lexsort((pairs.items, _mix(mixed + _mix(np.array([seed], np.uint64))), pairs.users))
    sorted_users = pairs.users[order]
    first = np.searchsorted(sorted_users, sorted_users)
    place = np.arange(len(order)) - first
    counts = np.searchsorted(sorted_users, sorted_users, side="right") - first
    part = np.zeros(len(order), np.int64)
    start = np.zeros(len(order), np.int64)
    for number, share in enumerate(shares[1:], 1):
        end = start + np.floor(share * counts + 0.5).astype(np.int64)
        part[order[(place >= start) & (place < end)]] = number
        start = end
    return part


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
