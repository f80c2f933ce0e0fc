"""Producers that read voxels or space points with a class each."""

from collections.abc import Mapping
from typing import Any, Literal

from larmlreco.framework.module import Producer
from larmlreco.framework.parameters import ParameterSet, parameter
from larmlreco.products import InputTag, SemanticScores, SpacePoints, TrueLabels, Voxels

Labels = SemanticScores | TrueLabels
Kinds = tuple[type[Voxels] | type[SpacePoints], type[SemanticScores] | type[TrueLabels]]
Tags = dict[str, tuple[InputTag, InputTag]]


class LabelledParameters(ParameterSet):
    """Which voxels or points, and which labels of them."""

    input: InputTag = parameter("voxels", doc="voxels or points")
    input_type: Literal["Voxels", "SpacePoints"] = parameter("Voxels", doc="type of the input")
    images: list[str] = parameter(
        [""], doc="instances of the input", check=lambda v: None if v else "at least one instance"
    )
    scores: InputTag = parameter("segmentation", doc="semantic scores of the input (SemanticScores)")
    truth: InputTag | None = parameter(
        None, doc="true labels (TrueLabels) to use instead of the scores, to evaluate; @nil: the scores"
    )
    pitch: float = parameter(0.3, doc="edge of the voxels that points are put into", unit="cm", minimum=0.001)


def labelled_inputs(
    producer: Producer,
    config: LabelledParameters,
    label_facts: Mapping[str, Any],
    voxel_facts: Mapping[str, Any] | None = None,
) -> tuple[Kinds, Tags]:
    """Types of the input and of its labels, and the tags of both by instance, which the producer now consumes.

    What must be true of the labels, and of an input of voxels, is in ``label_facts`` and ``voxel_facts``.
    """
    facts = voxel_facts if config.input_type == "Voxels" else None
    kind = Voxels if config.input_type == "Voxels" else SpacePoints
    base, tag = config.truth or config.scores, config.input
    labels = SemanticScores if config.truth is None else TrueLabels
    tags = {
        name: (
            producer.consumes(kind, InputTag(tag.label, name, tag.process), facts=facts),
            producer.consumes(labels, InputTag(base.label, name, base.process), facts=label_facts),
        )
        for name in config.images
    }
    return (kind, labels), tags
