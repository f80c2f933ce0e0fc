"""Base units of the package: cm, MeV, microsecond, electron charge.

Multiply a number by its unit to bring it to base units (``3 * MM``), divide to read it in that unit.
Ticks and wires are indices and carry no unit.
"""

CM = 1.0
MM = 0.1 * CM
M = 100.0 * CM

US = 1.0
NS = 1e-3 * US
MS = 1e3 * US
S = 1e6 * US

MEV = 1.0
KEV = 1e-3 * MEV
EV = 1e-6 * MEV
GEV = 1e3 * MEV

KV = 1.0
V = 1e-3 * KV

GRAM = 1.0
KELVIN = 1.0
