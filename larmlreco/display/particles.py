"""Voxels, clusters, Michel electrons and particles to draw: in space, and as hits on the planes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from larmlreco.display.clouds import Arrows, Cloud, Paint, true_paints
from larmlreco.display.palette import charge_range, cluster_colours
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import (
    Assns,
    Clusters,
    Hits,
    Michels,
    Particles,
    ProductKey,
    SemanticScores,
    TrueLabels,
    Voxels,
)
from larmlreco.reco.clustering_places import cluster_of_rows

if TYPE_CHECKING:
    from larmlreco.display.scene import EventProducts

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

NAMED = 20
"""Particles of an event with a colour and a name of their own, those with most energy; the others share one."""

_ARM_CM = 15.0


@dataclass(frozen=True)
class Groups:
    """Clusters with names and colours: ``number`` (K,) of every cluster in them."""

    number: Int64
    names: tuple[str, ...]
    colours: tuple[str, ...]

    def paint(self, name: str, cluster: Int64) -> Paint:
        """What colours rows by their cluster (N,), -1 for none."""
        return Paint(name, np.append(self.number, -1)[cluster].astype(np.float32), self.names, colours=self.colours)


def voxel_clouds(event: "EventProducts") -> Iterator[Cloud]:
    """A cloud for every ``Voxels`` of the event that has voxels."""
    scores = {str(s.meta.get("target", "")): s for _, s in event.all(SemanticScores)}
    truths = {str(t.meta.get("target", "")): t for _, t in event.all(TrueLabels)}
    for key, voxels in event.all(Voxels):
        if not len(voxels):
            continue
        pitch, origin = float(voxels.pitch[0]), voxels.origin[0].astype(np.float64)
        place = origin + (np.column_stack([voxels.x, voxels.y, voxels.z]) + 0.5) * pitch
        low, high = charge_range(voxels.energy)
        paints = [Paint("energy", voxels.energy, unit="MeV", low=low, high=high)]
        if key.branch in scores:
            label = scores[key.branch]
            paints.insert(0, Paint("class", label.label.astype(np.float32), label.part_names("scores")))
        arrows: list[Arrows] = []
        made = list(_clusterings(event, key))
        paints = [*(paint for _, paint in made), *paints]
        for clusters, _ in made:
            arrows += _arrows(event, clusters)
        if (voxels.two_planes > 0).any() or (voxels.infilled > 0).any():
            seen = np.where(voxels.infilled > 0.5, 2, np.where(voxels.two_planes > 0.5, 1, 0)).astype(np.float32)
            paints.append(Paint("seen by", seen, ("three planes", "two planes", "infilled")))
        if key.branch in truths:
            truth = truths[key.branch]
            paints.append(Paint("true class", truth.label.astype(np.float32), tuple(truth.meta["class_names"])))
            true = truth.cluster.astype(np.int64)
            paints.append(_numbered(true, voxels.energy).paint("true cluster", true))
        elif voxels.meta.get("detector"):
            paints += true_paints(event, place)
        tpc = voxels.meta.get("tpc")
        mine = event.detector if tpc is not None else None
        box = None if mine is None else mine.tpcs[int(tpc or 0)].active
        name = ("voxels" if key.label == "voxels" else f"voxels of {key.label}") + (
            f" {key.instance}" if key.instance else ""
        )
        x, y, z = place.T.astype(np.float32)
        yield Cloud(name, x, y, z, tuple(paints), box, tuple(arrows))


def particle_hits(event: "EventProducts") -> Iterator[tuple[ProductKey, str, Int64, Groups]]:
    """Hits by the particles of each clustering that leads to them: key of the hits, name, cluster (N,), groups."""
    hits = {key.branch: len(product) for key, product in event.all(Hits)}
    clusters = {key.branch: (key, product) for key, product in event.all(Clusters)}
    for _, links in event.all(Assns):
        left, right = str(links.meta.get("left", "")), str(links.meta.get("right", ""))
        if left not in clusters or right not in hits:
            continue
        key, product = clusters[left]
        groups = _named(event, key, product)
        order = np.argsort(product.charge[links.left], kind="stable")  # of several clusters the one with most charge
        of_hit = np.full(hits[right], -1, dtype=np.int64)
        of_hit[links.right[order]] = links.left[order]
        yield ProductKey.from_branch(right), f"hits by {key.label}", of_hit, groups


def _clusterings(event: "EventProducts", target: ProductKey) -> Iterator[tuple[ProductKey, Paint]]:
    """Key of every clustering of a product, and its paint."""
    links = {(a.meta.get("left"), a.meta.get("right")): a for _, a in event.all(Assns)}
    n_rows = {key.branch: len(v) for key, v in event.all(Voxels)}[target.branch]
    michels = {str(m.meta.get("clusters", "")): m for _, m in event.all(Michels)}
    described = {str(p.meta.get("clusters", "")) for _, p in event.all(Particles)}
    last = sorted(event.all(Clusters), key=lambda pair: pair[0].branch not in described)
    for key, clusters in last:
        link = links.get((key.branch, target.branch))
        if link is None:
            continue
        cluster = cluster_of_rows(link, n_rows)
        if key.branch in michels:
            yield key, _michel_groups(michels[key.branch], len(clusters)).paint("Michels", cluster)
        else:
            yield key, _named(event, key, clusters).paint(key.label, cluster)


def _named(event: "EventProducts", key: ProductKey, clusters: Clusters) -> Groups:
    """Clusters with what is known of them as particles."""
    described = [p for _, p in event.all(Particles) if p.meta.get("clusters") == key.branch]
    names = [SEMANTIC_NAMES[label] for label in clusters.semantic.tolist()]
    size = clusters.charge
    if described:
        particles, size = described[-1], described[-1].energy
        names = [
            f"{name} {length:.0f} cm {energy:.0f} MeV" + (f" of {parent}" if parent >= 0 else "")
            for name, length, energy, parent in zip(
                names,
                particles.length.tolist(),
                particles.energy.tolist(),
                particles.parent.tolist(),
                strict=True,
            )
        ]
    return _largest(size, [f"{row}: {name}" for row, name in enumerate(names)])


def _numbered(cluster: Int64, energy: Float32) -> Groups:
    known = cluster >= 0
    size = np.bincount(cluster[known], energy[known]).astype(np.float64)
    return _largest(size, [f"{row}: {value:.0f} MeV" for row, value in enumerate(size.tolist())])


def _largest(size: npt.NDArray[np.floating], names: Sequence[str]) -> Groups:
    order = np.argsort(-size, kind="stable")
    number = np.empty(len(size), dtype=np.int64)
    number[order] = np.minimum(np.arange(len(size)), NAMED)
    shown = [names[row] for row in order[:NAMED].tolist()]
    others = len(size) - len(shown)
    rest = ([f"{others} others"], ["#8C8C8C"]) if others > 0 else ([], [])
    return Groups(number, (*shown, *rest[0]), (*cluster_colours(len(shown)), *rest[1]))


def _michel_groups(michels: Michels, n_clusters: int) -> Groups:
    number = np.full(n_clusters, 1, dtype=np.int64)
    number[michels.electron] = 0
    return Groups(number, ("Michel electron", "its muon"), ("#CC79A7", "#0072B2"))


def _arrows(event: "EventProducts", clusters: ProductKey) -> Iterator[Arrows]:
    """From start to end of particles that are tracks, and where Michel electrons join their muons."""
    for _, particles in event.all(Particles):
        if particles.meta.get("clusters") == clusters.branch and len(particles):
            order = np.argsort(-particles.energy, kind="stable")[:NAMED]
            colours = np.array(cluster_colours(len(order)))
            tracks = np.isin(particles.semantic[order], (0, 1)) & np.isfinite(particles.start[order]).all(axis=1)
            rows = order[tracks]
            yield Arrows("start to end", particles.start[rows], particles.end[rows], tuple(colours[tracks].tolist()))
    for _, michels in event.all(Michels):
        if michels.meta.get("clusters") == clusters.branch:
            known = np.isfinite(michels.attachment).all(axis=1)
            at = michels.attachment[known]
            back, on = at - _ARM_CM * michels.muon_direction[known], at + _ARM_CM * michels.electron_direction[known]
            both = ("#0072B2",) * len(at) + ("#CC79A7",) * len(at)
            if len(at):
                yield Arrows("Michel attachments", np.concatenate([back, at]), np.concatenate([at, on]), both)
