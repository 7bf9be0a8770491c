import pandas as pd

from stages.copies import seen


def rows(*values) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["sha256", "cluster", "group", "patient"])


def test_what_training_has_seen_of_a_picture():
    train = rows(("a", 0, 0, "P1"), ("b", 1, 1, ""))
    test = rows(("a", 0, 0, "P1"), ("x", 0, 0, ""), ("y", 2, 0, "P1"), ("z", 3, 3, ""), ("w", 4, 4, "P4"))
    test.index = [7, 3, 9, 1, 5]
    found = seen(test, train)
    assert found.index.tolist() == [7, 3, 9, 1, 5]
    assert found.file.tolist() == [True, False, False, False, False]
    assert found.picture.tolist() == [True, True, False, False, False]
    assert found.group.tolist() == [True, True, True, False, False]
    assert found.patient.tolist() == [True, False, True, False, False]  # the unknown patients of two pictures are not one
