"""Names of classes, patients and files in plots, as they are: to matplotlib "$" begins a formula, and what its font lacks is a box."""

from functools import cache

import matplotlib
from matplotlib.font_manager import findfont, get_font

matplotlib.rcParams["text.parse_math"] = False


def lettered(name: str) -> str:
    r"""The name with the letters that the plots' font lacks as \uXXXX; another font would make the plots another machine's.

    >>> lettered("glioma 脳")
    'glioma \\u8133'
    """
    return "".join(letter if letter == "\n" or ord(letter) in _letters() else letter.encode("unicode_escape").decode() for letter in name)


@cache
def _letters() -> set[int]:
    return set(get_font(findfont("DejaVu Sans")).get_charmap())
