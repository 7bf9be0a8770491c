"""Pictures that may show the same, whichever way they are turned: nearest descriptors.

Every picture stands there as a whole and with its head alone, so that a border more or less does not matter, and each is looked for in eight
orientations. Where parts of heads stand there too, pictures are found of which a part was cut away.

Descriptors are reduced to their principal components. Up to some number, pictures are compared each with each. Of more, only those in the cells around
a descriptor are compared with it, by faiss; a cell holds what is nearest to one of some descriptors drawn as centres, and these form a graph (Malkov
and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small world graphs", 2018). So time grows
little faster than the pictures. What is proposed is computed again from the descriptors, in float64: no rounding decides what is a candidate.
"""

from collections.abc import Callable, Iterator

import faiss
import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.dedupe.descriptors import SIZE, TURNS
from stages.dedupe.on_disk import OnDisk
from stages.dedupe.views import Views

COMPONENTS = 64
LEARNT = 20_000  # descriptors that these are computed from, at most
CELL = 128  # descriptors a cell, on average
PROBES, PROBED = 4, 64  # cells that one is compared with, and centres that are looked at to find them
LINKS = 32  # of a centre in the graph
BLOCK = 2048  # views of pictures looked for at a time, in all orientations
PRODUCTS = 1 << 22  # of components, in memory at a time
SLACK, MORE = 0.06, 2  # by how much principal components may be off, and how many more are proposed than asked for

Reduce = Callable[[np.ndarray], np.ndarray]  # descriptors [..., SIZE] -> principal components, float32 [..., COMPONENTS] of length 1
Propose = Callable[[np.ndarray, np.ndarray], pd.DataFrame]  # pictures and their components -> first, second and likeness


def nearest(views: Views, patient: np.ndarray, most: int, likeness: float, exhaustively: bool, name: str) -> pd.DataFrame:
    """Pairs of pictures of which one, in some orientation, has a view like one of the other's.

    patient: int, a number for each picture of views, 0 where it is unknown; most: how many pictures to find for each, of its own patient and of others;
    likeness: the least correlation of two descriptors, relative to the mean of all. Returns first and second (places in views; each pair once), view and
    other (columns of views, of the first and of the second), orientation (the number of the one by which the first is turned) and likeness.
    """
    mean = _mean(views)
    components = _components(_normalised(_draw(views, LEARNT, seed=0), mean))

    def reduce(descriptors: np.ndarray) -> np.ndarray:
        reduced = _normalised(descriptors, mean) @ components
        return np.float32(reduced / np.maximum(np.linalg.norm(reduced, axis=-1, keepdims=True), 1e-9))

    propose = _each_with_each(views, reduce, patient, most + MORE) if exhaustively else _by_cells(views, reduce, 4 * most)
    count, columns, _ = views.descriptors.shape
    at_once, found = max(1, BLOCK // columns), []
    for start in tqdm(range(0, count, at_once), unit=f" x {at_once}", desc=f"dedupe: {name}", disable=None):
        looked = np.arange(start, min(start + at_once, count))
        turned = views.descriptors[looked][:, views.looked_for][..., TURNS]  # [B, L, 8, SIZE]
        table = propose(looked, reduce(turned).reshape(len(looked), -1, COMPONENTS))
        table = table[table.likeness >= likeness - SLACK]
        own = (patient[table["first"]] > 0) & (
            patient[table["first"]] == patient[table["second"]]
        )  # of whom there may be many, and all alike
        table = _best(table.assign(own=own), most + MORE)
        exact = _likeness(turned, table["first"].to_numpy() - start, views.descriptors, table["second"].to_numpy(), mean)
        best = exact.round(6).argmax(1)  # of equals the plainest orientation
        table["likeness"] = exact[np.arange(len(best)), best]
        table["orientation"], view, table["other"] = np.unravel_index(best, (len(TURNS), len(views.looked_for), columns))
        table["view"] = np.array(views.looked_for)[view]
        found.append(_best(table[table.likeness >= likeness], most))
    pairs = pd.concat(found)
    pairs = pairs.iloc[np.lexsort((pairs.orientation, -pairs.likeness.round(6)))]
    sides = np.sort(pairs[["first", "second"]].to_numpy(), axis=1)
    pairs = pairs[~pd.DataFrame(sides).duplicated().to_numpy()]
    return pairs.sort_values(["first", "second"], ignore_index=True)[["first", "second", "view", "other", "orientation", "likeness"]]


def _best(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """For each first picture the most alike, of its own patient and of others."""
    table = table.sort_values(["first", "likeness"], ascending=[True, False], kind="stable")
    return table[table.groupby(["first", "own"]).cumcount() < most].reset_index(drop=True)


def _likeness(turned: np.ndarray, first: np.ndarray, descriptors: np.ndarray | OnDisk, second: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """float64 [P, 8 L V]: of all orientations and views [B, L, 8, SIZE] of first with all views [N, V, SIZE] of second, for P pairs."""
    turned = _normalised(turned.swapaxes(1, 2).reshape(len(turned), -1, SIZE), mean)
    columns = descriptors.shape[1]
    at_once, result = max(1, BLOCK // columns), np.empty((len(first), turned.shape[1] * columns))
    for start in range(0, len(first), at_once):
        part = slice(start, start + at_once)
        others = _normalised(descriptors[second[part]], mean)
        result[part] = (turned[first[part]] @ others.swapaxes(1, 2)).reshape(len(others), -1)
    return result


def _mean(views: Views) -> np.ndarray:
    """float64 [SIZE]: the mean descriptor of what is looked for, over all orientations."""
    count, columns, _ = views.descriptors.shape
    parts = (views.descriptors[start : start + LEARNT // columns][:, views.looked_for] for start in range(0, count, LEARNT // columns))
    total = sum(part.sum((0, 1), dtype=np.int64) for part in parts)
    return total[TURNS].sum(0) / (count * len(views.looked_for) * len(TURNS))


def _components(learnt: np.ndarray) -> np.ndarray:
    """float64 [SIZE, COMPONENTS]: the directions in which descriptors [D, SIZE] vary most."""
    return np.linalg.eigh(learnt.T @ learnt)[1][:, -COMPONENTS:]


def _normalised(descriptors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """float64 [..., SIZE], relative to the mean, of length 1."""
    relative = descriptors - mean
    return relative / np.maximum(np.sqrt(np.einsum("...s,...s->...", relative, relative)), 1e-9)[..., None]


def _each_with_each(views: Views, reduce: Reduce, patient: np.ndarray, most: int) -> Propose:
    count, columns, _ = views.descriptors.shape
    at_once, entries = max(1, BLOCK // columns), np.empty((columns, count, COMPONENTS), np.float32)
    for start in range(0, count, at_once):
        part = slice(start, start + at_once)
        entries[:, part] = reduce(views.descriptors[part]).swapaxes(0, 1)

    def nearest_to(looked: np.ndarray, components: np.ndarray) -> Iterator[pd.DataFrame]:
        likeness = np.full((len(looked), count), -1, np.float32)
        for column in entries:
            alike = components.reshape(-1, COMPONENTS) @ column.T
            np.maximum(likeness, alike.reshape(len(looked), -1, count).max(1), out=likeness)
        likeness[np.arange(len(looked)), looked] = -1
        own = (patient[looked, None] > 0) & (patient[looked, None] == patient)
        for part in (own, ~own):
            ranked = np.where(part, likeness, -1)
            top = np.argpartition(-ranked, min(most, count - 1), 1)[:, :most]
            alike = np.take_along_axis(ranked, top, 1)
            yield pd.DataFrame({"first": np.repeat(looked, top.shape[1]), "second": top.ravel(), "likeness": alike.ravel()})

    def propose(looked: np.ndarray, components: np.ndarray) -> pd.DataFrame:
        parts = np.array_split(np.arange(len(looked)), -(-len(looked) * components.shape[1] * count // PRODUCTS))
        return pd.concat(table for part in parts for table in nearest_to(looked[part], components[part]))

    return propose


def _by_cells(views: Views, reduce: Reduce, most: int) -> Propose:
    count, columns, _ = views.descriptors.shape
    cells = max(1, count * columns // CELL)
    centres = faiss.IndexHNSWFlat(COMPONENTS, LINKS, faiss.METRIC_INNER_PRODUCT)
    centres.hnsw.efSearch = PROBED
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # which links several threads make hangs on which is the faster
    centres.add(reduce(_draw(views, cells, seed=1)))
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexIVFScalarQuantizer(centres, COMPONENTS, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = PROBES
    index.train(reduce(_draw(views, LEARNT, seed=0)))
    for start in range(0, count, BLOCK):
        index.add(reduce(views.descriptors[start : start + BLOCK]).reshape(-1, COMPONENTS))

    def propose(looked: np.ndarray, components: np.ndarray) -> pd.DataFrame:
        alike, entry = index.search(components.reshape(-1, COMPONENTS), columns + most)
        query, column = np.nonzero(entry >= 0)
        first, second = looked[query // components.shape[1]], entry[query, column] // columns
        table = pd.DataFrame({"first": first, "second": second, "likeness": alike[query, column]})[first != second]
        return table.sort_values("likeness", ascending=False, kind="stable").drop_duplicates(["first", "second"])

    return propose


def _draw(views: Views, count: int, seed: int) -> np.ndarray:
    """uint8 [count, SIZE]: some descriptors, drawn among all; fewer where there are no more."""
    pictures, columns, _ = views.descriptors.shape
    drawn = np.sort(np.random.default_rng(seed).permutation(pictures * columns)[:count])
    blocks = (drawn[start : start + BLOCK] for start in range(0, len(drawn), BLOCK))
    return np.concatenate([views.descriptors[some // columns][np.arange(len(some)), some % columns] for some in blocks])
