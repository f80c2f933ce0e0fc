"""Published figures of semantic segmentation, in per cent, to stand beside our own.

Sources: Domine and Terao, arXiv 1903.05663 (Phys. Rev. D 102, 012005), tables II to V; MicroBooNE, Phys. Rev. D 99,
092001, table I.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SSNET_FIGURES = ("ICPF mean", "ICPF 90 %", "shower", "track")
"""Columns of :data:`SSNET`."""

SSNET: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "MPV": (1.9, 4.6, 4.1, 2.6),
        "nue": (6.0, 13.8, 7.6, 13.8),
        "numu": (3.9, 4.5, 14.2, 4.3),
        "1e1p": (2.2, 5.7, 2.8, 4.0),
        "1mu1p-LE": (2.3, 2.2, 6.2, 2.4),
        "1e1p-LE": (3.9, 11.5, 3.8, 8.0),
    }
)
"""PRD 99 092001, table I: figures on collection-plane images of 512 x 512 by sample; MPV is its test sample."""


@dataclass(frozen=True)
class Resources:
    """Memory (GB) and wall time (s) of a batch, at inference and in training."""

    memory_test: float
    memory_train: float
    time_test: float
    time_train: float


@dataclass(frozen=True)
class Scalability:
    """A column of table II: 3D, depth 5, 16 filters; mean and spread over images of the non-zero accuracy."""

    network: str
    image_size: int
    batch_size: int
    accuracy: float
    accuracy_std: float
    gpu: Resources
    cpu: Resources | None


SCALABILITY = (
    Scalability("dense", 192, 4, 92, 9.6, Resources(16, 104, 3.3, 25), None),
    Scalability("sparse", 192, 4, 94, 8.8, Resources(0.044, 0.21, 0.10, 0.21), Resources(0.57, 0.59, 0.25, 1.1)),
    Scalability("sparse", 192, 64, 98, 4.9, Resources(0.19, 1.3, 0.66, 1.2), Resources(0.81, 1.9, 1.7, 6.1)),
    Scalability("sparse", 512, 64, 99, 1.4, Resources(0.67, 5.1, 2.4, 5.0), Resources(1.9, 3.9, 8.0, 24)),
    Scalability("sparse", 768, 64, 99, 0.37, Resources(1.3, 9.3, 4.4, 8.8), Resources(3.0, 4.0, 16, 47)),
)
"""Table II; the GPU is an NVIDIA V100, the CPU an Intel Xeon Silver 4110."""

DEPTH_AND_FILTERS: Mapping[tuple[int, int], float] = MappingProxyType(
    {
        (6, 8): 98.94,
        (6, 16): 99.16,
        (6, 32): 99.23,
        (5, 8): 98.86,
        (5, 16): 99.07,
        (5, 32): 99.06,
        (4, 8): 98.74,
        (4, 16): 99.00,
        (4, 32): 99.07,
    }
)
"""Table III: non-zero accuracy by depth and filters of the first level, 3D images of 512 voxels."""

CLASSES = ("HIP", "MIP", "shower", "delta", "Michel", "overall")
"""Rows of :data:`IMAGE_SIZES` and :data:`LABELS_AND_WEIGHTS`."""

IMAGE_SIZES: Mapping[tuple[int, int], tuple[float, ...]] = MappingProxyType(
    {
        (192, 192): (96.0, 96.2, 97.6, 74.3, 36.5, 98.0),
        (192, 512): (95.6, 96.6, 96.9, 76.7, 42.6, 98.1),
        (192, 768): (93.7, 95.4, 96.6, 75.1, 43.9, 97.7),
        (768, 192): (98.8, 99.4, 99.5, 85.9, 62.6, 98.9),
        (768, 512): (99.0, 99.7, 99.6, 89.6, 70.0, 99.2),
        (768, 768): (98.9, 99.6, 99.7, 90.1, 70.4, 99.3),
    }
)
"""Table IV: accuracy of the classes by image size in training and at the test (original labels)."""

LABELS_AND_WEIGHTS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "original labels": (98.0, 99.4, 99.4, 85.7, 56.6, 99.2),
        "trained on original, tested on relabelled": (98.1, 99.2, 97.9, 94.8, 94.4, 99.2),
        "relabelled": (98.1, 99.4, 99.2, 96.0, 94.7, 99.6),
        "relabelled and weighted": (99.3, 98.1, 99.2, 97.2, 95.7, 99.1),
    }
)
"""Table V: accuracy of the classes by labels and weights, 3D images of 512 voxels, 32 filters."""
