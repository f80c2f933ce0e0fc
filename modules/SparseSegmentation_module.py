"""Producer of semantic labels of pixels and hits."""

import numpy as np

from larmlreco.framework import Event, ModuleContext, ParameterSet, Producer, parameter
from larmlreco.geometry import detector
from larmlreco.images import pixels_of_hits
from larmlreco.images.tiles import tile_numbers
from larmlreco.inference import load_archive
from larmlreco.labels import SEMANTIC_NAMES
from larmlreco.products import Assns, Hits, InputTag, Pixels, SemanticScores
from larmlreco.reco.semantic import best_class, scores_of_hits, weighted_scores


class SparseSegmentation(Producer):
    """Classify the pixels of every plane, and the hits, with a sparse network in a TorchScript archive.

    Puts ``SemanticScores`` with the plane's name as instance, row i for pixel i. With ``hits`` given it also puts
    those of the instance ``hits``, row i for hit i (the charge-weighted mean over the hit's pixels), and the links
    ``Assns`` ``<plane>_hits`` from rows of the plane's scores to the hits that hold those pixels.
    """

    class Parameters(ParameterSet):
        """Parameters of SparseSegmentation."""

        archive: str = parameter("segmentation_uboone.ts", doc="TorchScript archive: a path, or a shipped one's name")
        images: InputTag = parameter("images", doc="images (Pixels); their instances are the planes' names")
        hits: InputTag | None = parameter(None, doc="hits to classify; @nil: none")
        detector: str = parameter(doc="geometry of the images")
        planes: list[str] = parameter([], doc="planes to classify; empty: all that see an active volume")
        allow_other_detector: bool = parameter(
            False, doc="run an archive on a detector or view that its card does not name; the product then says so"
        )

        charge_scale: float = parameter(
            1.0, doc="factor from the images' charge to that of the archive's training", minimum=1e-9
        )
        class_factors: list[float] = parameter(
            [], doc="factor on each class' score before the highest is taken, to find more or less of it; empty: all 1"
        )
        infilled_in_hits: bool = parameter(
            False, doc="whether pixels that were filled in count in the scores of hits on their wires"
        )
        mirrored: bool = parameter(
            False, doc="mean over the image and its mirror images: a little better, in 4 times the network's time"
        )
        tile: int = parameter(
            0, doc="edge of the tiles that the network sees one by one; 0: the whole image", unit="pixel", minimum=0
        )

    def __init__(self, config: Parameters, context: ModuleContext) -> None:
        self._detector = detector(config.detector)
        planes = [self._detector.readout_plane(name) for name in config.planes]
        planes = planes or list(self._detector.active_readout_planes)
        self._scale = config.charge_scale
        self._tile, self._mirrored = config.tile, config.mirrored
        self._infilled_in_hits = config.infilled_in_hits
        self._archive = load_archive(config.archive, context.device, context.threads)
        self._archive.check(
            task="semantic_segmentation",
            detector=config.detector,
            planes={plane.view for plane in planes},
            class_names=SEMANTIC_NAMES,
            outputs=["semantic"],
            dimension=2,
            allow_other_detector=config.allow_other_detector,
        )
        self._archive.check_factors(config.class_factors)
        context.register_model(self._archive.path.name, self._archive.card.sha256)
        self._factors = config.class_factors
        self._meta = {
            **self._archive.label_meta(config.detector),
            "charge_scale": config.charge_scale,
            "class_factors": config.class_factors,
            "mirrored": config.mirrored,
        }
        label, process = config.images.label, config.images.process
        facts = {"detector": config.detector, **self._archive.image_facts(config.charge_scale)}
        self._images = {p.name: self.consumes(Pixels, InputTag(label, p.name, process), facts=facts) for p in planes}
        self._hits = None if config.hits is None else self.consumes(Hits, config.hits)
        for name in self._images:
            self.produces(SemanticScores, name)
            if self._hits is not None:
                self.produces(Assns, f"{name}_hits")
        if self._hits is not None:
            self.produces(SemanticScores, "hits")

    def produce(self, event: Event) -> None:
        """Classify one event."""
        hits = None if self._hits is None else event.get(Hits, self._hits)
        pair_hits, pair_scores, pair_charge = [], [], []
        for name, tag in self._images.items():
            pixels = event.get(Pixels, tag)
            self._detector.check_name(pixels.meta.get("detector", ""), f"the images of plane {name}")
            self._archive.check_image(pixels.meta, self._scale)
            tiles = tile_numbers((pixels.column, pixels.row), self._tile)
            coords = np.column_stack([tiles, pixels.column, pixels.row])
            scores = self._archive.class_scores(coords, self._scale * pixels.adc[:, np.newaxis], self._mirrored)
            scores = weighted_scores(scores, self._factors)
            meta = {**self._meta, "target": event.key(Pixels, tag).branch}
            labelled = event.put(SemanticScores(scores=scores, label=best_class(scores), meta=meta), name)
            if hits is not None and self._hits is not None:
                hit, pixel = pixels_of_hits(hits, pixels, self._detector, infilled=self._infilled_in_hits)
                order = np.lexsort((hit, pixel))
                links = {"left": labelled.branch, "right": event.key(Hits, self._hits).branch}
                event.put(
                    Assns(left=pixel[order].astype(np.int32), right=hit[order].astype(np.int32), meta=links),
                    f"{name}_hits",
                )
                pair_hits.append(hit)
                pair_scores.append(scores[pixel])
                pair_charge.append(pixels.adc[pixel])
        if hits is not None and self._hits is not None:
            scores, label = scores_of_hits(
                np.concatenate(pair_scores), np.concatenate(pair_charge), np.concatenate(pair_hits), len(hits)
            )
            meta = {**self._meta, "target": event.key(Hits, self._hits).branch}
            event.put(SemanticScores(scores=scores, label=label, meta=meta), "hits")
