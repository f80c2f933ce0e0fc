"""Makes tests/io/data/larcv_sparse3d.root with ROOT itself: voxels and their classes as LArCV2 keeps them.

Run in an environment with the ROOT wheel and a C++ compiler: ``python tests/oracles/larcv_files/write.py``.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import ROOT

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "io" / "data"

SIZES = (6, 5, 4)
EVENTS = (
    {(0, 0, 0): (1.5, 0), (5, 4, 3): (0.25, 4), (1, 2, 3): (2.0, 2), (1, 2, 0): (0.5, 1)},
    {},
    {(3, 0, 1): (7.0, 3)},
)
"""Voxels of each event: (x, y, z) with value and class."""


def load() -> None:
    """Compile the dictionaries and load them."""
    package = Path(ROOT.__file__).parent
    with tempfile.TemporaryDirectory() as directory:

        def run(*command: str | Path) -> None:
            subprocess.run(command, check=True, cwd=directory)

        run(package / "bin" / "rootcling", "-f", "larcv.cxx", f"-I{HERE}", "classes.h", HERE / "linkdef.h")
        run(
            "g++", "-O0", "-shared", "-fPIC", "-std=c++17", f"-I{package / 'include'}", f"-I{HERE}", "larcv.cxx",
            "-o", "liblarcv.so", f"-L{package / 'lib'}", "-lCore", "-lRIO", "-lTree",
        )  # fmt: skip
        ROOT.gSystem.Load(f"{directory}/liblarcv.so")
        ROOT.gInterpreter.AddIncludePath(str(HERE))
        ROOT.gInterpreter.Declare('#include "classes.h"')


def main() -> None:
    """Write the file: producers ``data`` (values) and ``fivetypes`` (classes); voxels of 0.3 cm from (-1, 2, 3) cm."""
    load()
    os.chdir(DATA)  # ROOT keeps the name that it was given in the file
    file = ROOT.TFile("larcv_sparse3d.root", "RECREATE")
    for producer, column in (("data", 0), ("fivetypes", 1)):
        tree = ROOT.TTree(f"sparse3d_{producer}_tree", f"{producer} tree")
        event = ROOT.larcv.EventSparseTensor3D()
        tree.Branch(f"sparse3d_{producer}_branch", event)
        for number, voxels in enumerate(EVENTS):
            event._producer, event._run, event._subrun, event._event = producer, 1, 2, number + 10
            meta = event._meta
            meta._xnum, meta._ynum, meta._znum = SIZES
            meta._num_element = SIZES[0] * SIZES[1] * SIZES[2]
            meta._xlen = meta._ylen = meta._zlen = 0.3
            for axis, low, n in zip("xyz", (-1.0, 2.0, 3.0), SIZES, strict=True):
                setattr(meta._p1, axis, low)
                setattr(meta._p2, axis, low + 0.3 * n)
            event._voxel_v.clear()
            # LArCV2 counts voxels along x first, then y, then z, and keeps them in that order.
            for (x, y, z), values in sorted(voxels.items(), key=lambda item: item[0][::-1]):
                voxel = ROOT.larcv.Voxel()
                voxel._id, voxel._value = (z * SIZES[1] + y) * SIZES[0] + x, values[column]
                event._voxel_v.push_back(voxel)
            tree.Fill()
        tree.Write()
    file.Close()
    sys.stdout.write("wrote larcv_sparse3d.root\n")


if __name__ == "__main__":
    main()
