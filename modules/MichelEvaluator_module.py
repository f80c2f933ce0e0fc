"""Evaluator of Michel electrons."""

import math
from typing import Any

import numpy as np

from larmlreco.framework import Event, ModuleContext, ParameterSet, parameter
from larmlreco.framework.evaluation import Evaluator
from larmlreco.labels import Semantic
from larmlreco.metrics.michel import MichelMetrics
from larmlreco.metrics.ratio import EventRatio
from larmlreco.products import Assns, InputTag, Michels, TrueLabels, TrueParticles, Voxels
from larmlreco.reco.clustering_places import Places, cluster_of_rows
from larmlreco.truth.kinematics import decay_angles, energies

_ENERGY_EDGES = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
_ANGLE_EDGES = (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0)


class MichelEvaluator(Evaluator):
    """Compare Michel electrons with the true ones: efficiencies and purities, also against energy, and the energy.

    The energy is that of the ionisation: of the true cluster's voxels against the found one's. ``response`` is the
    median of found over true and half the width of the middle 68 %, over matched pairs. The opening angle is that of
    the found muon and electron for the purity, for the efficiency that of the true ones, where ``particles`` are given.
    """

    class Parameters(ParameterSet):
        """Parameters of MichelEvaluator."""

        michels: InputTag = parameter("michels", doc="Michel electrons and their clusters (Michels, Clusters, Assns)")
        voxels: InputTag = parameter("voxels", doc="voxels (Voxels)")
        truth: InputTag = parameter("truth", doc="true labels with clusters (TrueLabels)")
        particles: InputTag | None = parameter(None, doc="particles, for energy and place of birth; @nil: none")
        images: list[str] = parameter([""], doc="instances to compare, each by itself")

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        def tag(base: InputTag, name: str) -> InputTag:
            return InputTag(base.label, name, base.process)

        self._images = {
            name: (
                self.consumes(Michels, tag(config.michels, name)),
                self.consumes(Assns, tag(config.michels, name)),
                self.consumes(Voxels, tag(config.voxels, name)),
                self.consumes(TrueLabels, tag(config.truth, name)),
            )
            for name in config.images
        }
        self._particles = None if config.particles is None else self.consumes(TrueParticles, config.particles)
        self._metrics = {name: MichelMetrics() for name in self._images}
        self._efficiency = {name: [EventRatio() for _ in _ENERGY_EDGES[1:]] for name in self._images}
        self._purity = {name: [EventRatio() for _ in _ENERGY_EDGES[1:]] for name in self._images}
        self._angle = {name: [EventRatio() for _ in _ANGLE_EDGES[1:]] for name in self._images}
        self._true_angle = {name: [EventRatio() for _ in _ANGLE_EDGES[1:]] for name in self._images}
        self._matched: dict[str, tuple[int, int]] = {}
        self._pairs: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in self._images}

    def analyze(self, event: Event) -> None:
        """Compare one event."""
        for name, (michels_tag, links_tag, voxels_tag, truth_tag) in self._images.items():
            michels, truth = event.get(Michels, michels_tag), event.get(TrueLabels, truth_tag)
            voxels = event.get(Voxels, voxels_tag)
            energy = voxels.energy.astype(np.float64)
            cluster = cluster_of_rows(event.get(Assns, links_tag), len(truth))
            found = np.where(np.isin(cluster, michels.electron), cluster, -1)
            known = truth.label >= 0
            true = np.where(truth.label == Semantic.MICHEL, truth.cluster, -1)
            matches = self._metrics[name].add(true[known], found[known])
            before = self._matched.get(str(event.id), (0, 0))
            n_both = matches.n_true + matches.n_candidates
            self._matched[str(event.id)] = before[0] + 2 * len(matches.true), before[1] + n_both
            deposited = np.bincount(true[true >= 0], energy[true >= 0], int(true.max(initial=-1)) + 1)
            birth, true_angle = self._at_birth(event, voxels, truth, true, len(deposited))
            row = {cluster: i for i, cluster in enumerate(michels.electron.tolist())}
            for candidate, match in zip(matches.candidate.tolist(), matches.true.tolist(), strict=True):
                i = row[candidate]
                reco = float(michels.energy[i])
                total = reco + float(michels.photon_energy[i])
                self._pairs[name].append((float(deposited[match]), reco, float(birth[match]), total))
            right = np.isin(michels.electron, matches.candidate)
            cosine = (michels.muon_direction * michels.electron_direction).sum(axis=1)
            angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
            _fill(self._purity[name], _ENERGY_EDGES, michels.energy, right)
            _fill(self._angle[name], _ANGLE_EDGES, angle[michels.muon >= 0], right[michels.muon >= 0])
            there = np.unique(true[known & (true >= 0)])
            _fill(self._efficiency[name], _ENERGY_EDGES, deposited[there], np.isin(there, matches.true))
            _fill(self._true_angle[name], _ANGLE_EDGES, true_angle[there], np.isin(there, matches.true))

    def wrong_parts(self) -> dict[str, float]:
        """Of each event the part of its true Michel electrons and candidates, together, that have no match."""
        return {event: 1.0 - right / total for event, (right, total) in self._matched.items() if total}

    def _at_birth(self, event: Event, voxels: Voxels, truth: TrueLabels, true: Any, n: int) -> tuple[Any, Any]:
        """Kinetic energy and angle to the muon's end (n,) of electrons by true cluster; NaN where not known."""
        energy, angle = np.full((2, n), np.nan)
        clusters, first = np.unique(true, return_index=True)
        clusters, first = clusters[clusters >= 0], first[clusters >= 0]
        if self._particles is not None and len(clusters):
            particles = event.get(TrueParticles, self._particles)
            electrons = truth.particle[first]
            place = Places.of_voxels(voxels).position
            energy[clusters] = energies(electrons, particles)
            angle[clusters] = decay_angles(place, truth.particle, electrons, particles)
        return energy, angle

    def results(self) -> dict[str, Any]:
        """By instance: figures without and with the cut, efficiency and purity against energy and angle, and the
        energy of the pairs."""
        out = {}
        for name, metrics in self._metrics.items():
            bins, true_angle, purity, angle = (
                [ratio.as_dict() for ratio in ratios[name]]
                for ratios in (self._efficiency, self._true_angle, self._purity, self._angle)
            )
            out[name or "all"] = {
                "figures": metrics.summary(),
                "efficiency_against_energy": {"edges": list(_ENERGY_EDGES), "unit": "MeV", "bins": bins},
                "efficiency_against_opening_angle": {"edges": list(_ANGLE_EDGES), "unit": "deg", "bins": true_angle},
                "purity_against_energy": {"edges": list(_ENERGY_EDGES), "unit": "MeV", "bins": purity},
                "purity_against_opening_angle": {"edges": list(_ANGLE_EDGES), "unit": "deg", "bins": angle},
                "response": self._response(name),
                "pairs": {
                    "columns": ["true_deposited", "energy", "true_at_birth", "energy_with_photons"],
                    "rows": [list(pair) for pair in self._pairs[name]],
                },
            }
        return out

    def _response(self, name: str) -> dict[str, float]:
        pairs = np.array(self._pairs[name]).reshape(-1, 4)
        ratio = pairs[pairs[:, 0] > 0, 1] / pairs[pairs[:, 0] > 0, 0]
        n = len(ratio)
        return {
            "median": float(np.median(ratio)) if n else math.nan,
            "spread": float(np.diff(np.quantile(ratio, (0.16, 0.84)))[0]) / 2 if n > 1 else math.nan,
            "pairs": n,
        }

    def table(self) -> str:
        """One table an instance, published values in brackets."""
        blocks = []
        for name, metrics in self._metrics.items():
            response = self._response(name)
            blocks.append(
                f"-- {name or 'Michel electrons'}\n{metrics.table()}\n"
                f"energy found over true: {response['median']:.3f}, spread {response['spread']:.3f}"
            )
        return "\n".join(blocks)


def _fill(ratios: list[EventRatio], edges: tuple[float, ...], value: Any, right: Any) -> None:
    """Add one event's values (M,) and whether each is right (M,) to the ratios of the bins."""
    for ratio, low, high in zip(ratios, edges, edges[1:], strict=False):
        mine = (value >= low) & (value < high)
        ratio.add(int(right[mine].sum()), int(mine.sum()))
