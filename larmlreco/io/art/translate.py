"""From decoded LArSoft classes to the products of this package: a rename, with checks."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from larmlreco.io.art.decoder import DamagedError, Jagged, Tree, UndecodableError
from larmlreco.io.art.streamer import Classes, normalized, template_arguments
from larmlreco.products import (
    Assns,
    FeatureVectors,
    Hits,
    PlaneClusters,
    POTSummary,
    Product,
    SpacePoints,
    TriggerResults,
    Wires,
)

Array = npt.NDArray[Any]
_TRIGGER_PATHS = re.compile(r"\btrigger_paths\s*:\s*\[([^\]]*)\]")
_PATH = re.compile(r'"(?:\d+:)?([^"]*)"')
_NULL_KEY = (1 << 64) - 1


@dataclass(frozen=True)
class Target:
    """A product that links point into: the class of its items, and its branch name in our notation."""

    item_class: str
    branch: str


@dataclass(frozen=True)
class Links:
    """What objects refer to: products by art's ``ProductID``, and FHiCL texts of parameter sets by hexadecimal id."""

    targets: Mapping[int, Target]
    parameter_sets: Callable[[], Mapping[str, str]] = dict

    def sole(self, item_class: str) -> str:
        """Branch of the only product of a class, "" if there is none or several."""
        found = {t.branch for t in self.targets.values() if t.item_class == item_class}
        return found.pop() if len(found) == 1 else ""


@dataclass(frozen=True)
class Translation:
    """How a class becomes a product: ``make`` takes the decoded object and the links."""

    product: type[Product]
    make: Callable[[Tree, Links], Product]


def item_class(class_name: str) -> str:
    """Class of the items of a collection, or the class itself: what an ``art::Ptr`` into the product points to."""
    head, arguments = template_arguments(class_name)
    return arguments[0] if head == "vector" else normalized(class_name)


def wrapped_class(class_name: str) -> str:
    """The class inside ``art::Wrapper<...>``; raises ``UndecodableError`` for another class."""
    head, arguments = template_arguments(class_name)
    if head != "art::Wrapper" or len(arguments) != 1:
        raise UndecodableError(f"{class_name} is not an art::Wrapper")
    return arguments[0]


def friendly_name(class_name: str) -> str:
    """art's name of a class in branch names: template arguments go first, ``vector`` is an "s" at the end."""
    head, arguments = template_arguments(class_name)
    if not arguments:
        return re.sub(r"\blong ", "l", re.sub(r"\bunsigned ", "u", head))
    friendly = [friendly_name(a) for a in arguments]
    if head == "art::Assns":
        friendly[:2] = sorted(friendly[:2])
        if len(friendly) == 2:
            friendly.append("void")
    return "".join(friendly) + ("s" if head == "vector" else head)


def translation(class_name: str, classes: Classes) -> Translation:
    """How the objects of a class become a product.

    Raises ``UndecodableError``, with the reason, for a class that no product stands for, or whose newest
    description in the file lacks a member that the product needs.
    """
    head, arguments = template_arguments(class_name)
    if head == "art::Assns":
        return Translation(Assns, _assns(class_name, arguments))
    item = item_class(class_name)
    if head == "vector" and item in _COLLECTIONS:
        made = _COLLECTIONS[item]
        _check_members(classes, item, made.members)
        return Translation(made.product, lambda tree, _: made.make(_content(tree)))
    if re.fullmatch(r"anab::FeatureVector<\d+>", item) and head in ("vector", "anab::FeatureVector"):
        _check_members(classes, item, ("fData",))
        return Translation(FeatureVectors, lambda tree, _: _features(_content(tree)))
    if normalized(class_name) == "sumdata::POTSummary":
        _check_members(classes, class_name, ("totpot", "totgoodpot", "totspills", "goodspills"))
        return Translation(POTSummary, lambda tree, _: _pot_summary(cast(dict[str, Tree], tree)))
    if normalized(class_name) == "art::TriggerResults":
        _check_members(classes, "art::HLTPathStatus", ("status_",))
        return Translation(TriggerResults, lambda tree, links: _trigger_results(cast(dict[str, Tree], tree), links))
    raise UndecodableError(f"no product stands for {class_name}")


def _check_members(classes: Classes, name: str, needed: tuple[str, ...]) -> None:
    known = classes.versions(name)
    if not known:
        raise UndecodableError(f"the file describes no class {name}")
    members = {element.name for element in known[0].elements}
    missing = [m for m in needed if not any(one in members for one in m.split("|"))]
    if missing:
        raise UndecodableError(f"{name} of version {known[0].version} has no member {', '.join(missing)}")


def _content(tree: Tree) -> Any:
    """The members of the items of a collection, or of a single object."""
    return tree.content if isinstance(tree, Jagged) else tree


def _wires(wire: Any) -> Wires:
    channel: Array = wire["fChannel"]
    roi = wire["fSignalROI"]
    counts: Array = roi["ranges"].counts
    content = roi["ranges"].content
    begin, end, length = content["offset"], content["last"], content["values"].counts
    adc: Array = content["values"].content
    roi_wire = np.repeat(np.arange(len(channel), dtype=np.int32), counts)
    for bad, what in (
        (end - begin != length.astype("u8"), "is not as long as its samples"),
        (end > roi["nominal_size"][roi_wire], "ends beyond the waveform"),
    ):
        if bad.any():
            i = int(np.argmax(bad))
            raise DamagedError(f"channel {channel[roi_wire[i]]}: the ROI [{begin[i]}, {end[i]}) {what}")
    finite = np.isfinite(adc)
    if not finite.all():
        i = int(np.argmin(finite))
        of_roi = int(np.searchsorted(np.cumsum(length), i, side="right"))
        sample = int(begin[of_roi]) + i - int(length[:of_roi].sum())
        raise DamagedError(
            f"channel {channel[roi_wire[of_roi]]}: sample {sample} is {adc[i]}; expected a finite number"
        )
    return Wires(
        channel=channel,
        plane=np.full(len(channel), -1, dtype="i4"),
        view=wire["fView"],
        n_samples=roi["nominal_size"],
        roi_wire=roi_wire,
        roi_begin=begin,
        roi_length=length,
        adc=adc,
    )


def _hits(hit: Any) -> Hits:
    wire_id = hit["fWireID"]
    # Up to version 16 there was one sum of samples, which LArSoft reads as that of the ROI.
    older = hit.get("fSummedADC")
    return Hits(
        channel=hit["fChannel"],
        cryostat=_if_valid(wire_id, "Cryostat"),
        tpc=_if_valid(wire_id, "TPC"),
        plane=_if_valid(wire_id, "Plane"),
        wire=_if_valid(wire_id, "Wire"),
        view=hit["fView"],
        signal_type=hit["fSignalType"],
        start_tick=hit["fStartTick"],
        end_tick=hit["fEndTick"],
        peak_time=hit["fPeakTime"],
        sigma_peak_time=hit["fSigmaPeakTime"],
        rms=hit["fRMS"],
        peak_amplitude=hit["fPeakAmplitude"],
        sigma_peak_amplitude=hit["fSigmaPeakAmplitude"],
        integral=hit["fIntegral"],
        sigma_integral=hit["fSigmaIntegral"],
        summed_adc=hit["fHitSummedADC"] if older is None else older,
        roi_summed_adc=hit["fROISummedADC"] if older is None else older,
        multiplicity=hit["fMultiplicity"],
        local_index=hit["fLocalIndex"],
        goodness_of_fit=hit["fGoodnessOfFit"],
        dof=hit["fNDF"],
    )


def _if_valid(identifier: Any, member: str) -> Array:
    return np.where(identifier["isValid"], identifier[member].astype("i8"), -1)


def _space_points(point: Any) -> SpacePoints:
    place = point["fXYZ"]
    return SpacePoints(
        id=point["fID"],
        x=place[:, 0],
        y=place[:, 1],
        z=place[:, 2],
        err=point["fErrXYZ"],
        chisq=point["fChisq"],
    )


def _plane_clusters(cluster: Any) -> PlaneClusters:
    plane = cluster["fPlaneID"]
    return PlaneClusters(
        n_hits=cluster["fNHits"],
        end_wires=cluster["fEndWires"],
        sigma_end_wires=cluster["fSigmaEndWires"],
        end_ticks=cluster["fEndTicks"],
        sigma_end_ticks=cluster["fSigmaEndTicks"],
        end_charges=cluster["fEndCharges"],
        angles=cluster["fAngles"],
        opening_angles=cluster["fOpeningAngles"],
        charge_sum=cluster["fChargeSum"],
        charge_std_dev=cluster["fChargeStdDev"],
        charge_average=cluster["fChargeAverage"],
        multiple_hit_density=cluster["fMultipleHitDensity"],
        width=cluster["fWidth"],
        id=cluster["fID"],
        view=cluster["fView"],
        cryostat=_if_valid(plane, "Cryostat"),
        tpc=_if_valid(plane, "TPC"),
        plane=_if_valid(plane, "Plane"),
    )


def _features(vector: Any) -> FeatureVectors:
    data: Array = vector["fData"]
    data = data.reshape(len(data), 1) if data.ndim == 1 else data
    return FeatureVectors(features=data, meta={"feature_names": [str(i) for i in range(data.shape[1])]})


def _pot_summary(pot: Any) -> POTSummary:
    return POTSummary(
        total_pot=pot["totpot"],
        total_good_pot=pot["totgoodpot"],
        total_spills=pot["totspills"],
        good_spills=pot["goodspills"],
    )


def _trigger_results(results: Any, links: Links) -> TriggerResults:
    """A status of a path is four times the position of the module that decided, plus the state.

    The names of the paths are in the parameter set that the results name, each behind the number of its path.
    """
    status: Array = results["paths_"].content["status_"]
    key = results["psetid_"]["id_"].tobytes().hex()
    listed = _TRIGGER_PATHS.search(links.parameter_sets().get(key, ""))
    names = _PATH.findall(listed[1]) if listed else []
    if len(names) != len(status):
        names = [f"path{i}" for i in range(len(status))]
    return TriggerResults(state=status % 4, index=status // 4, meta={"paths": names})


@dataclass(frozen=True)
class _Made:
    product: type[Product]
    make: Callable[[Any], Product]
    members: tuple[str, ...]


_COLLECTIONS = {
    "recob::Wire": _Made(Wires, _wires, ("fChannel", "fView", "fSignalROI")),
    "recob::Hit": _Made(
        Hits,
        _hits,
        (
            "fChannel", "fStartTick", "fEndTick", "fPeakTime", "fSigmaPeakTime", "fRMS", "fPeakAmplitude",
            "fSigmaPeakAmplitude", "fHitSummedADC|fSummedADC", "fROISummedADC|fSummedADC", "fIntegral",
            "fSigmaIntegral", "fMultiplicity", "fLocalIndex", "fGoodnessOfFit", "fNDF", "fView", "fSignalType",
            "fWireID",
        ),
    ),
    "recob::SpacePoint": _Made(SpacePoints, _space_points, ("fID", "fXYZ", "fErrXYZ", "fChisq")),
    "recob::Cluster": _Made(
        PlaneClusters,
        _plane_clusters,
        (
            "fNHits", "fEndWires", "fSigmaEndWires", "fEndTicks", "fSigmaEndTicks", "fEndCharges", "fAngles",
            "fOpeningAngles", "fChargeSum", "fChargeStdDev", "fChargeAverage", "fMultipleHitDensity", "fWidth",
            "fID", "fView", "fPlaneID",
        ),
    ),
}  # fmt: skip


def _has_product(item: str) -> bool:
    return item in _COLLECTIONS or re.fullmatch(r"anab::FeatureVector<\d+>", item) is not None


def _assns(class_name: str, arguments: list[str]) -> Callable[[Tree, Links], Product]:
    if len(arguments) == 3 and arguments[2] != "void":
        raise UndecodableError(f"no product stands for the data of {class_name} beside its links")
    left, right = arguments[:2]
    for side in (left, right):
        if not _has_product(side):
            raise UndecodableError(f"it links {left} to {right}, and no product stands for {side}")
    # art stores first the side whose friendly name comes first, whichever of A,B and B,A was put.
    members = ("ptr_data_1_", "ptr_data_2_")
    left_data, right_data = members if friendly_name(left) < friendly_name(right) else members[::-1]

    def make(tree: Tree, links: Links) -> Product:
        content = cast(dict[str, Jagged], tree)
        if content[left_data].counts[0] != content[right_data].counts[0]:
            raise DamagedError(
                f"it links {content[left_data].counts[0]} items of {left} to {content[right_data].counts[0]} of {right}"
            )
        left_rows, left_branch = _side(content[left_data].content, left, links)
        right_rows, right_branch = _side(content[right_data].content, right, links)
        return Assns(left=left_rows, right=right_rows, meta={"left": left_branch, "right": right_branch})

    return make


def _side(pointers: Any, item: str, links: Links) -> tuple[Array, str]:
    """Rows and branch of the product that one side of the links points into."""
    rows: Array = pointers["second"]
    ids: Array = pointers["first"]["id_"]["value_"]
    if len(rows) == 0:
        return rows, links.sole(item)
    if (rows == _NULL_KEY).any():
        raise DamagedError(f"link {int(np.argmax(rows == _NULL_KEY))} points to no {item}")
    if (ids != ids[0]).any():
        names = sorted(_name(int(i), links) for i in np.unique(ids))
        raise UndecodableError(f"its links point into several products of {item}: {', '.join(names)}")
    target = links.targets.get(int(ids[0]))
    if target is not None and target.item_class != item:
        raise DamagedError(f"links to {item} point into {target.branch}, which holds {target.item_class}")
    return rows, _name(int(ids[0]), links)


def _name(product_id: int, links: Links) -> str:
    target = links.targets.get(product_id)
    return target.branch if target is not None else f"product {product_id}, not in this file"
