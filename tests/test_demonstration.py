from stages.demonstration import NOTE, titled


def test_the_title_of_a_result_stays_as_it_is():
    assert titled("Labels", False) == "Labels"
    assert titled("Labels", True).startswith(NOTE) and titled("Labels", True).endswith("Labels")
