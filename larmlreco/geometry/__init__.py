"""Wire planes, wire crossings and drift; one data file a detector.

>>> from larmlreco.geometry import detector
>>> uboone = detector("microboone")
>>> uboone.tick_to_x(800.0)
0.0
"""

from larmlreco.geometry.detector import TPC, Detector, ReadoutPlane
from larmlreco.geometry.load import detector, detector_names
from larmlreco.geometry.planes import WirePlane, crossing

__all__ = ["TPC", "Detector", "ReadoutPlane", "WirePlane", "crossing", "detector", "detector_names"]
