"""Makes the art-like files of tests/io/data with ROOT itself, and what ROOT reads from their zoo (zoo.json).

Run in an environment with the ROOT wheel and a C++ compiler: ``python tests/oracles/art_files/write.py``.
"""

import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import ROOT

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "io" / "data"
SPLITS = (0, 1, 99)
N_EVENTS = 5


def load() -> None:
    """Compile the dictionaries and load them."""
    package = Path(ROOT.__file__).parent
    with tempfile.TemporaryDirectory() as directory:

        def run(*command: str | Path) -> None:
            subprocess.run(command, check=True, cwd=directory)

        run(package / "bin" / "rootcling", "-f", "zoo.cxx", f"-I{HERE}", "write.h", HERE / "linkdef.h")
        run(
            "g++", "-O1", "-shared", "-fPIC", "-std=c++17", f"-I{package / 'include'}", f"-I{HERE}", "zoo.cxx",
            "-o", "libzoo.so", f"-L{package / 'lib'}", "-lCore", "-lRIO", "-lTree",
        )  # fmt: skip
        ROOT.gSystem.Load(f"{directory}/libzoo.so")
        ROOT.gInterpreter.AddIncludePath(str(HERE))
        ROOT.gInterpreter.Declare('#include "write.h"')


def main() -> None:
    """Write one file for each split level, and the reference."""
    load()
    DATA.mkdir(exist_ok=True)
    os.chdir(DATA)  # ROOT keeps the name that it was given in the file
    ids = [zlib.crc32(n) for n in (b"recob::SpacePoints_pandora__Reco2.", b"3anab::FeatureVectors_emtrack_x_Reco2.")]
    for split in SPLITS:
        compression = 0 if split == 1 else 101  # the tests of damage change bytes of the uncompressed one
        ROOT.files.write(f"zoo_split{split}.root", split, compression, N_EVENTS, *ids)
    ROOT.TVirtualStreamerInfo.SetStreamMemberWise(False)
    ROOT.files.write("zoo_object_wise.root", 1, 101, N_EVENTS, *ids)
    ROOT.files.reference("zoo_split1.root", "zoo.json", N_EVENTS)
    sys.stdout.write(f"wrote {', '.join(p.name for p in sorted(DATA.iterdir()))}\n")


if __name__ == "__main__":
    main()
