"""Data that ships with the examples; read without NumPy."""

import bz2
import pkgutil
from array import array

import tabgrad as tg


def load_digits() -> tuple[tg.Tensor, tg.Tensor]:
    """Return UCI's handwritten digits: images and labels, on the default device.

    The images are float32 of shape (1797, 1, 8, 8) with values k/16 from 0 to 1; the labels
    are integers from 0 to 9. Source and licence stand in `digits.txt` beside the data.

    >>> images, labels = load_digits()
    >>> images.shape, labels.shape
    (tabgrad.Size([1797, 1, 8, 8]), tabgrad.Size([1797]))
    """
    packed = pkgutil.get_data(__package__, "digits.bin")
    if packed is None:
        raise FileNotFoundError(
            "digits.bin is missing from the installed tabgrad: install it again"
        )
    data = bz2.decompress(packed)
    count = len(data) // 65
    # One look-up a pixel builds the floats as bytes: quick where Python is slow.
    floats = [array("f", [value / 16]).tobytes() for value in range(17)]
    pixels = array("f", b"".join(map(floats.__getitem__, data[: count * 64])))
    return tg.tensor(pixels).reshape(count, 1, 8, 8), tg.tensor(list(data[count * 64 :]))
