"""Producer of semantic labels of voxels."""

import numpy as np

from larmlreco.errors import ConfigurationError
from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.images.tiles import tile_numbers
from larmlreco.inference import load_archive
from larmlreco.products import InputTag, SemanticScores, Voxels
from larmlreco.reco.semantic import best_class, combined_scores, weighted_scores


class VoxelSegmentation(Producer):
    """Classify voxels with a sparse network in a TorchScript archive.

    Puts ``SemanticScores`` with the image's instance, row i for voxel i. The voxels must have the size that the
    archive's card names. With ``others`` given the scores are the geometric mean of the network's and of those that the
    voxels have from elsewhere, for example from the pixels of wire planes.
    """

    class Parameters(ParameterSet):
        """Parameters of VoxelSegmentation."""

        archive: str = parameter("segmentation_voxels.ts", doc="TorchScript archive: a path, or a shipped one's name")
        voxels: InputTag = parameter("voxels", doc="images (Voxels)")
        images: list[str] = parameter(
            [""], doc="instances of the images to classify", check=lambda v: None if v else "at least one instance"
        )
        detector: str = parameter("liquid_argon", doc="detector of the images, as the archive's card names it")
        allow_other_detector: bool = parameter(
            False, doc="run an archive on a detector that its card does not name; the product then says so"
        )
        energy_scale: float = parameter(
            1.0, doc="factor from the images' energy to that of the archive's training", minimum=1e-9
        )
        class_factors: list[float] = parameter(
            [], doc="factor on each class' score before the highest is taken, to find more or less of it; empty: all 1"
        )
        others: InputTag | None = parameter(
            None, doc="scores of the same voxels to combine the network's with; @nil: the network's alone"
        )
        others_weight: float = parameter(
            0.5, doc="weight of the others in the mean of the logarithms", minimum=0, maximum=1
        )
        mirrored: bool = parameter(
            False, doc="mean over the image and its mirror images: a little better, in 8 times the network's time"
        )
        tile: int = parameter(
            0, doc="edge of the tiles that the network sees one by one; 0: the whole image", unit="voxel", minimum=0
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._archive = load_archive(config.archive, context.device, context.threads)
        self._archive.check(
            task="semantic_segmentation",
            detector=config.detector,
            outputs=["semantic"],
            dimension=3,
            allow_other_detector=config.allow_other_detector,
        )
        card = self._archive.card
        self._archive.check_factors(config.class_factors)
        context.register_model(self._archive.path.name, card.sha256)
        self._tile, self._mirrored = config.tile, config.mirrored
        self._scale = config.energy_scale
        self._factors = config.class_factors
        self._meta = {
            **self._archive.label_meta(config.detector),
            "energy_scale": config.energy_scale,
            "class_factors": config.class_factors,
            "mirrored": config.mirrored,
        }
        label, process = config.voxels.label, config.voxels.process
        facts = self._archive.voxel_facts()
        self._others, self._weight = {}, config.others_weight
        self._images = {n: self.consumes(Voxels, InputTag(label, n, process), facts=facts) for n in config.images}
        for name in self._images:
            if config.others is not None:
                tag = InputTag(config.others.label, name, config.others.process)
                scheme = {"scheme": self._meta["scheme"]}
                self._others[name] = self.consumes(SemanticScores, tag, facts=scheme)
            self.produces(SemanticScores, name, facts={"scheme": self._meta["scheme"]})

    def produce(self, event: Event) -> None:
        """Classify one event."""
        for name, tag in self._images.items():
            voxels = event.get(Voxels, tag)
            branch = event.key(Voxels, tag).branch
            self._archive.check_pitch(voxels.pitch, branch)
            axes = (voxels.x, voxels.y, voxels.z)
            coords = np.column_stack([tile_numbers(axes, self._tile), *axes])
            scores = self._archive.class_scores(coords, self._scale * voxels.energy[:, np.newaxis], self._mirrored)
            meta = {**self._meta, "target": branch}
            if name in self._others:
                others = event.get(SemanticScores, self._others[name])
                self._check_classes(others, branch, len(voxels))
                scores = combined_scores(scores, others.scores, self._weight)
                meta["others"] = event.key(SemanticScores, self._others[name]).branch
            scores = weighted_scores(scores, self._factors)
            event.put(SemanticScores(scores=scores, label=best_class(scores), meta=meta), name)

    def _check_classes(self, others: SemanticScores, branch: str, n_voxels: int) -> None:
        if others.meta.get("class_names") != self._meta["class_names"] or len(others) != n_voxels:
            raise ConfigurationError(
                f"{self.context.label}.others: expected scores of the {n_voxels} voxels of {branch} in the classes "
                f"{', '.join(self._meta['class_names'])}; got {len(others)} in {', '.join(others.meta['class_names'])}"
            )
