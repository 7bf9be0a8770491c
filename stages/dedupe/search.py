"""Pictures that may show the same, whichever way they are turned: nearest descriptors, by faiss.

Every picture stands in the index as a whole and with its head alone, so that a border more or less does not matter, and each is looked for in eight
orientations. Where `parts` of heads stand there too, pictures are found of which a part was cut away.

Descriptors are reduced to their principal components. Of many pictures, only those in the cells around a descriptor are compared with it; a cell
holds what is nearest to one of some descriptors drawn as centres, and these form a graph (Malkov and Yashunin, "Efficient and robust
approximate nearest neighbor search using hierarchical navigable small world graphs", 2018). So time grows little faster than the pictures.
What faiss proposes is computed again from the descriptors, in float64: no rounding decides what is a candidate.
"""

from collections.abc import Callable

import faiss
import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.dedupe.descriptors import SIZE, TURNS
from stages.dedupe.on_disk import OnDisk

COMPONENTS = 64
LEARNT = 20_000  # descriptors that these are computed from, at most
CELL = 128  # descriptors a cell, on average
PROBES, PROBED = 4, 64  # cells that one is compared with, and centres that are looked at to find them
LINKS = 32  # of a centre in the graph
BLOCK = 1024  # descriptors looked for at a time, in all orientations
SLACK = 0.1  # by how much principal components may be off


def nearest(
    entries: np.ndarray | OnDisk,
    owners: np.ndarray,
    looked_for: np.ndarray,
    patient: np.ndarray,
    most: int,
    likeness: float,
    exhaustively: bool,
    name: str,
) -> pd.DataFrame:
    """Pairs of pictures of which one, in some orientation, has a descriptor like one of the other's.

    entries: descriptors, uint8 [E, SIZE], and owners, int [E], the picture of each; looked_for: numbers of the entries to look for, those of a
    picture one after another; patient: int, a number for each picture, 0 where it is unknown; most: how many pictures to find for each, of its
    own patient and of others; likeness: the least correlation of two descriptors, relative to the mean of all. Returns looked and found
    (numbers of entries; each pair of pictures once), orientation (the number of the one by which looked is turned) and likeness.
    """
    mean = _mean(entries, looked_for)
    components = _components(_normalised(entries[_draw(entries, LEARNT, seed=0)], mean))

    def reduce(descriptors: np.ndarray) -> np.ndarray:
        reduced = _normalised(descriptors, mean) @ components
        return np.float32(reduced / np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9))

    index = _index(entries, reduce, exhaustively)
    neighbours = min(len(entries), int(np.bincount(owners).max()) + 4 * most)
    found = []
    for start in tqdm(range(0, len(looked_for), BLOCK), unit=f" x {BLOCK}", desc=f"dedupe: {name}", disable=None):
        looked = looked_for[start : start + BLOCK]
        turned = entries[looked][:, TURNS].reshape(-1, SIZE)
        alike, entry = index.search(reduce(turned), neighbours)
        query, column = np.nonzero((alike >= likeness - SLACK) & (entry >= 0))
        table = pd.DataFrame({"query": query, "found": entry[query, column], "likeness": alike[query, column]})
        table["picture"], table["other"] = owners[looked[query // len(TURNS)]], owners[table.found]
        table = table[table.picture != table.other].sort_values(["picture", "likeness"], ascending=[True, False], kind="stable")
        table = table[~table.duplicated(["picture", "other"])]
        own = (patient[table.picture] > 0) & (patient[table.picture] == patient[table.other])  # of whom there may be many, and all alike
        table = table[table.groupby(["picture", own]).cumcount() < most]
        query = table.pop("query").to_numpy()
        table["looked"], table["orientation"] = looked[query // len(TURNS)], query % len(TURNS)
        table["likeness"] = np.einsum("ps,ps->p", _normalised(turned[query], mean), _normalised(entries[table.found.to_numpy()], mean))
        found.append(table[table.likeness >= likeness])
    pairs = pd.concat(found)
    pairs = pairs.iloc[np.lexsort((pairs.orientation, -pairs.likeness.round(6)))]  # of equals the plainest orientation
    sides = np.sort(pairs[["picture", "other"]].to_numpy(), axis=1)
    pairs = pairs[~pd.DataFrame(sides).duplicated().to_numpy()]
    return pairs.sort_values(["picture", "other"], ignore_index=True)[["looked", "found", "orientation", "likeness"]]


def _mean(entries: np.ndarray | OnDisk, rows: np.ndarray) -> np.ndarray:
    """float64 [SIZE]: the mean descriptor over all orientations."""
    total = sum(entries[rows[start : start + LEARNT]].sum(0, dtype=np.int64) for start in range(0, len(rows), LEARNT))
    return total[TURNS].sum(0) / (len(rows) * len(TURNS))


def _components(learnt: np.ndarray) -> np.ndarray:
    """float64 [SIZE, COMPONENTS]: the directions in which descriptors [D, SIZE] vary most."""
    return np.linalg.eigh(learnt.T @ learnt)[1][:, -COMPONENTS:]


def _normalised(descriptors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """float64 [D, SIZE], relative to the mean, of length 1."""
    relative = descriptors - mean
    return relative / np.maximum(np.sqrt(np.einsum("ds,ds->d", relative, relative)), 1e-9)[:, None]


def _index(entries: np.ndarray | OnDisk, reduce: Callable[[np.ndarray], np.ndarray], exhaustively: bool) -> faiss.Index:
    if exhaustively:
        index = faiss.IndexFlatIP(COMPONENTS)
    else:
        count = max(1, len(entries) // CELL)
        centres = faiss.IndexHNSWFlat(COMPONENTS, LINKS, faiss.METRIC_INNER_PRODUCT)
        centres.hnsw.efSearch = PROBED
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # which links several threads make hangs on which is the faster
        drawn = _draw(entries, count, seed=1)
        for start in range(0, count, LEARNT):
            centres.add(reduce(entries[drawn[start : start + LEARNT]]))
        faiss.omp_set_num_threads(threads)
        index = faiss.IndexIVFScalarQuantizer(centres, COMPONENTS, count, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = PROBES
        index.train(reduce(entries[_draw(entries, LEARNT, seed=0)]))
    for start in range(0, len(entries), LEARNT):
        index.add(reduce(entries[start : start + LEARNT]))
    return index


def _draw(entries: np.ndarray | OnDisk, count: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(len(entries))[:count])
