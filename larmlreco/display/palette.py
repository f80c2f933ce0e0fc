"""Colours that people with any colour vision can tell apart.

Classes: Okabe and Ito's palette (Color Universal Design, 2008). Charge: matplotlib's viridis from light to dark,
without its palest end, which white paper swallows.
"""

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import hsv_to_rgb, to_hex

_CLASS_COLOURS = {
    "HIP": "#D55E00",
    "MIP": "#0072B2",
    "track": "#0072B2",
    "shower": "#009E73",
    "delta": "#E69F00",
    "Michel": "#CC79A7",
    "low_energy": "#56B4E9",
    "diffuse": "#56B4E9",
    "ghost": "#8C8C8C",
    "right": "#A9B4C2",
    "wrong": "#D55E00",
}
_SPARE = ("#56B4E9", "#F0E442", "#000000", "#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7")

UNLABELLED = "#C9CDD2"
"""What has no class."""


def class_colours(names: tuple[str, ...]) -> list[str]:
    """A colour for every class name, as hexadecimal text; unknown names get those that are left."""
    taken = {_CLASS_COLOURS[name] for name in names if name in _CLASS_COLOURS}
    left = [colour for colour in _SPARE if colour not in taken] or list(_SPARE)
    out = []
    for name in names:
        out.append(_CLASS_COLOURS.get(name) or left[0])
        if name not in _CLASS_COLOURS:
            left = [*left[1:], left[0]]
    return out


def cluster_colours(n: int) -> list[str]:
    """Colours of n clusters, as hexadecimal text: hues that are far apart, in two lightnesses."""
    hue = 0.58 + 0.618034 * np.arange(n)
    hsv = np.column_stack([hue % 1, np.full(n, 0.85), np.where(np.arange(n) % 2, 0.62, 0.88)])
    return [str(to_hex(rgb)) for rgb in hsv_to_rgb(hsv)]


def charge_colours(n: int = 256) -> npt.NDArray[np.uint8]:
    """Colours (n, 3) from little to much charge."""
    rgba = mpl.colormaps["viridis_r"](np.linspace(0.12, 1.0, n))
    return np.asarray(np.round(rgba[:, :3] * 255), dtype=np.uint8)


def charge_range(charges: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Charge at the two ends of the scale: nearly all of what there is; (0, 1) for nothing."""
    if not len(charges):
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(charges, [0.5, 99.0]))
    low = max(low, 0.0)
    return low, max(high, low + 1e-3 * max(abs(low), 1.0))


def charge_shade(charges: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.float64]:
    """Place (N,) on the scale, 0 to 1; the square root keeps faint charge apart."""
    return np.asarray(np.sqrt(np.clip((charges - low) / (high - low), 0.0, 1.0)), dtype=np.float64)
