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
    labels = data[count * 64 :]
    places = sorted(range(count), key=labels.__getitem__)
    images = zip(*[data[k * count : (k + 1) * count] for k in range(64)], strict=True)
    ordered = dict(zip(places, images, strict=True))
    # One look-up a pixel builds the floats as bytes: quick where Python is slow.
    floats = [array("f", [value / 16]).tobytes() for value in range(17)]
    pixels = [floats[value] for k in range(count) for value in ordered[k]]
    found = tg.tensor(array("f", b"".join(pixels))).reshape(count, 1, 8, 8)
    return found, tg.tensor(list(labels))
