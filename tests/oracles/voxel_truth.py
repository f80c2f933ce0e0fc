"""Truth of voxels written as the definitions read, with dictionaries and loops; shares no code with the package."""

import itertools
from collections import defaultdict

SHOWER = 2


def truth_of_voxels(
    deposits: list[tuple[float, float, float, float, int]],
    semantic: list[int],
    instance: list[int],
    size: int,
    pitch: float,
) -> dict[tuple[int, int, int], tuple[float, int, int, frozenset[tuple[int, int, int]]]]:
    """Energy, class, particle and cluster (its voxels) by voxel, for deposits (x, y, z, MeV, row of the particle)."""
    energy: dict[tuple[int, int, int], list[tuple[float, int]]] = defaultdict(list)
    for x, y, z, e, particle in deposits:
        voxel = (int(x // pitch), int(y // pitch), int(z // pitch))
        if all(0 <= i < size for i in voxel):
            energy[voxel].append((e, particle))
    label, owner = {}, {}
    for voxel, parts in energy.items():
        by_class = [sum(e for e, p in parts if semantic[p] == c) for c in range(5)]
        label[voxel] = by_class.index(max(by_class))
        by_instance: dict[int, float] = defaultdict(float)
        for e, p in parts:
            if semantic[p] == label[voxel]:
                by_instance[instance[p]] += e
        owner[voxel] = min(by_instance, key=lambda i: (-by_instance[i], i))
    out = {}
    for voxel in energy:
        kin = {v for v in energy if label[v] == label[voxel] and owner[v] == owner[voxel]}
        cluster = frozenset(_piece(voxel, kin) if label[voxel] == SHOWER else kin)
        out[voxel] = (sum(e for e, _ in energy[voxel]), label[voxel], owner[voxel], cluster)
    return out


def _piece(start: tuple[int, int, int], among: set[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    found, edge = {start}, [start]
    while edge:
        x, y, z = edge.pop()
        for dx, dy, dz in itertools.product((-1, 0, 1), repeat=3):
            near = (x + dx, y + dy, z + dz)
            if near in among and near not in found:
                found.add(near)
                edge.append(near)
    return found
