"""What a split must not tear apart: the copies of a picture, its close neighbours, and all of a person."""

import numpy as np
import pandas as pd

from stages.dedupe.clusters import join, same_value

SLICES = 2  # of one patient, each alike with another of a second patient's, from which the two are one person


def find_groups(
    cluster: np.ndarray, own: np.ndarray, patient: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The group of each row, int32 [N], and the pairs of patients that are taken for one person.

    cluster: int [N]; own, patient: int [N], numbers of the patients that are known of each row and of its cluster, from 1, 0 where none is;
    first, second: int [P], rows that are alike.
    Two pictures that are alike are in one group, unless it is known of both that they are of different patients: heads of two people may
    look alike in one slice, so that takes SLICES of each, alike in pairs.
    """
    one, other = np.sort([patient[first], patient[second]], axis=0)
    swapped = patient[first] != one
    differ = (one > 0) & (one != other)
    pairs = pd.DataFrame(
        {
            "one": one,
            "other": other,
            "slice": cluster[np.where(swapped, second, first)],
            "slices": cluster[np.where(swapped, first, second)],
        }
    )
    # Fewer than two disjoint pairs there are only where all have one slice in common.
    slices = pairs[differ].groupby(["one", "other"])[["slice", "slices"]].nunique().min(axis=1)
    persons = [(int(a), int(b)) for a, b in slices[slices >= SLICES].index]

    of = np.arange(patient.max(initial=0) + 1)
    of = join(len(of), tuple(np.array(persons, np.int64).reshape(-1, 2).T))
    person = np.where(own > 0, of[own], -1)
    group = join(len(cluster), same_value(cluster), same_value(person), (first[~differ], second[~differ]))
    return group, persons
