"""What reconstruction makes of hits: space points, clusters on a plane, feature vectors of other classifiers."""

from dataclasses import dataclass

from larmlreco.products.base import Float32, Int32, Product, array_field

_PLANES = ("0", "1", "2")
_ENDS = ("start", "end")
_CHARGES = ("fit", "adc")


@dataclass(frozen=True, eq=False, kw_only=True)
class SpacePoints(Product):
    """Points in space (``recob::SpacePoint`` and more); columns of planes are those of the point's TPC, 0 to 2.

    A point that was read from an art file has what ``recob::SpacePoint`` has: id, place, covariance and chisq
    (its hits are in the ``Assns`` between the two).
    """

    id: Int32 = array_field("i4", "number of the point in its collection (fID)", fill=-1)
    x: Float32 = array_field("f4", "place along the drift", unit="cm")
    y: Float32 = array_field("f4", "place, upwards", unit="cm")
    z: Float32 = array_field("f4", "place along the beam", unit="cm")
    err: Float32 = array_field(
        "f4",
        "covariance of x, y, z, lower triangle",
        unit="cm2",
        parts=("xx", "yx", "yy", "zx", "zy", "zz"),
        fill=0,
    )
    chisq: Float32 = array_field("f4", "chi2 of the point; -1: none", fill=-1)
    charge: Float32 = array_field("f4", "charge on each plane; 0: none", unit="ADC", parts=_PLANES, fill=0)
    score: Float32 = array_field("f4", "how certain the point is, 0 to 1; -1: not rated", fill=-1)
    consistency: Float32 = array_field("f4", "distance of the planes' places; -1: not known", unit="cm", fill=-1)
    flags: Int32 = array_field("i4", "bits that the maker defines in meta['flags']", fill=0)
    pixel: Int32 = array_field("i4", "row of the pixel on each plane; -1: none", parts=_PLANES, fill=-1)
    hit: Int32 = array_field("i4", "row of the hit on each plane; -1: none", parts=_PLANES, fill=-1)


@dataclass(frozen=True, eq=False, kw_only=True)
class FlowPoints(Product):
    """Where the pixels of a source plane are seen on a target plane (LArFlow), row i for pixel i of the source.

    ``meta``: ``source`` and ``target``, the branches of the two images; ``model_sha256``; ``n_limited_rows``, rows in
    which not all candidates were considered.
    """

    column: Int32 = array_field("i4", "column on the target plane; -1: no partner was found", unit="wire")
    pixel: Int32 = array_field("i4", "row of the target's pixel; -1: none there (dead wire, below threshold)", fill=-1)
    score: Float32 = array_field("f4", "probability of the partner, 0 to 1", fill=0)
    matchable: Float32 = array_field("f4", "probability that the target plane has seen the charge, 0 to 1", fill=0)
    candidates: Int32 = array_field("i4", "candidates among which the partner was chosen", fill=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class PlaneClusters(Product):
    """Clusters of hits on one plane, every member of ``recob::Cluster``.

    Ends are the start and the end of the cluster; charges are counted in two ways: from the fit of the hits and
    from their samples.
    """

    n_hits: Int32 = array_field("i4", "hits in the cluster")
    end_wires: Float32 = array_field("f4", "wire coordinate of each end", unit="wire", parts=_ENDS)
    sigma_end_wires: Float32 = array_field("f4", "uncertainty of end_wires", unit="wire", parts=_ENDS)
    end_ticks: Float32 = array_field("f4", "time of each end", unit="tick", parts=_ENDS)
    sigma_end_ticks: Float32 = array_field("f4", "uncertainty of end_ticks", unit="tick", parts=_ENDS)
    end_charges: Float32 = array_field("f4", "charge on the wire of each end", unit="ADC", parts=_ENDS)
    angles: Float32 = array_field("f4", "angle of the cluster at each end", unit="rad", parts=_ENDS)
    opening_angles: Float32 = array_field("f4", "opening angle at each end", unit="rad", parts=_ENDS)
    charge_sum: Float32 = array_field("f4", "charge of the cluster", unit="ADC", parts=_CHARGES)
    charge_std_dev: Float32 = array_field("f4", "spread of the charge of its hits", unit="ADC", parts=_CHARGES)
    charge_average: Float32 = array_field("f4", "mean charge of its hits", unit="ADC", parts=_CHARGES)
    multiple_hit_density: Float32 = array_field("f4", "density of wires with more than one hit")
    width: Float32 = array_field("f4", "measure of the width, in units common to wires and ticks")
    id: Int32 = array_field("i4", "number of the cluster (fID)")
    view: Int32 = array_field("i4", "view (geo::View_t: 0 U, 1 V, 2 Z/Y/W)")
    cryostat: Int32 = array_field("i4", "cryostat of the plane; -1 if it is not known")
    tpc: Int32 = array_field("i4", "TPC of the plane; -1 if it is not known")
    plane: Int32 = array_field("i4", "plane in its TPC; -1 if it is not known")


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureVectors(Product):
    """Scores that another algorithm gave to the rows of a product (``anab::FeatureVector<N>``).

    ``meta``: ``feature_names``, the N columns in order; an art file does not name them, then they are "0" to "N-1".
    """

    features: Float32 = array_field("f4", "value of each feature", parts="feature_names")
