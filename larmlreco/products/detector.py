"""Wires, hits and channel status: what producers read."""

from dataclasses import dataclass

from larmlreco.products.base import Float32, Int32, Product, array_field


@dataclass(frozen=True, eq=False, kw_only=True)
class Wires(Product):
    """Deconvolved waveforms with zero suppression (``recob::Wire``): channels, and their regions of interest.

    ROIs are ordered by wire; ``adc`` holds the samples of all ROIs one after another, in ROI order.
    """

    channel: Int32 = array_field("i4", "readout channel")
    plane: Int32 = array_field("i4", "plane in its TPC; -1 where only a geometry can tell")
    view: Int32 = array_field("i4", "view (geo::View_t: 0 U, 1 V, 2 Z/Y/W)")
    n_samples: Int32 = array_field("i4", "samples of the full waveform", unit="tick")
    roi_wire: Int32 = array_field("i4", "row of the wire that the ROI is on", rows="roi")
    roi_begin: Int32 = array_field("i4", "first sample of the ROI", unit="tick", rows="roi")
    roi_length: Int32 = array_field("i4", "number of samples of the ROI", unit="tick", rows="roi")
    adc: Float32 = array_field("f4", "samples, flat in ROI order", unit="ADC", rows="sample")


@dataclass(frozen=True, eq=False, kw_only=True)
class Hits(Product):
    """Pulses found on wires, every member of ``recob::Hit``."""

    channel: Int32 = array_field("i4", "readout channel")
    cryostat: Int32 = array_field("i4", "cryostat of the wire; -1 if the wire is not known")
    tpc: Int32 = array_field("i4", "TPC of the wire; -1 if the wire is not known")
    plane: Int32 = array_field("i4", "plane of the wire; -1 if the wire is not known")
    wire: Int32 = array_field("i4", "wire on the plane; -1 if the wire is not known")
    view: Int32 = array_field("i4", "view (geo::View_t: 0 U, 1 V, 2 Z/Y/W)")
    signal_type: Int32 = array_field("i4", "0 induction, 1 collection (geo::SigType_t)")
    start_tick: Int32 = array_field("i4", "first sample of the pulse", unit="tick")
    end_tick: Int32 = array_field("i4", "one past the last sample of the pulse", unit="tick")
    peak_time: Float32 = array_field("f4", "time of the peak", unit="tick")
    sigma_peak_time: Float32 = array_field("f4", "uncertainty of peak_time", unit="tick", fill=0)
    rms: Float32 = array_field("f4", "width of the pulse", unit="tick")
    peak_amplitude: Float32 = array_field("f4", "height of the peak", unit="ADC")
    sigma_peak_amplitude: Float32 = array_field("f4", "uncertainty of peak_amplitude", unit="ADC", fill=0)
    integral: Float32 = array_field("f4", "area of the fitted pulse", unit="ADC tick")
    sigma_integral: Float32 = array_field("f4", "uncertainty of integral", unit="ADC tick", fill=0)
    summed_adc: Float32 = array_field("f4", "sum of the samples of the hit (HitSummedADC)", unit="ADC")
    roi_summed_adc: Float32 = array_field("f4", "sum of the samples of the whole ROI", unit="ADC", fill=0)
    multiplicity: Int32 = array_field("i4", "hits in the same pulse train", fill=1)
    local_index: Int32 = array_field("i4", "number of this hit in the train", fill=0)
    goodness_of_fit: Float32 = array_field("f4", "chi2 over degrees of freedom", fill=-1)
    dof: Int32 = array_field("i4", "degrees of freedom of the fit", fill=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelStatus(Product):
    """Status of readout channels in LArCV's numbers; below 4 is dead, channels that are absent are good."""

    channel: Int32 = array_field("i4", "readout channel")
    status: Int32 = array_field(
        "i4",
        "-2 negative pedestal, -1 absent, 0 disconnected, 1 dead, 2 low noise, 3 noisy, 4 good, 5 unknown",
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class POTSummary(Product):
    """Protons on target of a run or subrun (``sumdata::POTSummary``), one row."""

    total_pot: Float32 = array_field("f8", "protons on target")
    total_good_pot: Float32 = array_field("f8", "protons on target in good beam spills")
    total_spills: Int32 = array_field("i4", "beam spills")
    good_spills: Int32 = array_field("i4", "good beam spills")
