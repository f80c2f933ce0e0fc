"""Builds the operator library where a C++ compiler is at hand and torch can be imported; the rest is in setup.cfg.

Without either, the package installs all the same and runs on the portable engine.
"""

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

OPERATORS = Path("torchscript/ops")
SOURCES = (
    "convolve_avx2.cpp",
    "convolve_avx512.cpp",
    "convolve_baseline.cpp",
    "engine.cpp",
    "kernel_map.cpp",
    "operators.cpp",
)
X86_FLAGS = {
    "convolve_avx2.cpp": ["-mavx2", "-mfma"],
    "convolve_avx512.cpp": ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"],
}
# OpenMP is compiled in but not linked: its symbols come from the run time that libtorch brings, whose threads we share.
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fopenmp", "-fPIC", "-fvisibility=hidden", "-DNDEBUG", "-g0"]


class BuildOperators(build_ext):
    """A plain shared library with operators of libtorch in it; not a module of Python."""

    def get_ext_filename(self, ext_name: str) -> str:
        """The library's path below the package root."""
        return str(Path(*ext_name.split(".")[:-1], "liblarmlreco_ops.so"))

    def build_extension(self, ext: Extension) -> None:
        """Compile and link, or say why not."""
        try:
            self._build(ext)
        except Exception as error:  # any failure here leaves a working package without the library
            print(f"warning: the native engine was not built, the portable one will serve: {error}", file=sys.stderr)

    def _build(self, ext: Extension) -> None:
        import torch
        from torch.utils.cpp_extension import include_paths, library_paths

        if sys.platform != "linux":
            raise RuntimeError("only Linux is supported")
        includes = [flag for path in include_paths() for flag in ("-isystem", path)]
        abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
        on_x86 = platform.machine().lower() in ("x86_64", "amd64")
        objects = []
        for source in ext.sources:
            extra = X86_FLAGS.get(Path(source).name, []) if on_x86 else []
            with_torch = [abi, *includes] if Path(source).name == "operators.cpp" else [abi]
            objects += self.compiler.compile(
                [source], output_dir=self.build_temp, extra_postargs=[*FLAGS, *extra, *with_torch], depends=ext.depends
            )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.set_executable("linker_so", [*_cxx(), "-shared"])
        self.compiler.link_shared_object(
            objects,
            str(target),
            library_dirs=library_paths(),
            libraries=["torch", "torch_cpu", "c10"],
            extra_postargs=["-s"],
            target_lang="c++",
        )

    def get_outputs(self) -> list[str]:
        """Only what was built."""
        return [path for path in super().get_outputs() if Path(path).exists()]


def _cxx() -> list[str]:
    return os.environ.get("CXX", "g++").split()


setup(
    ext_modules=[
        Extension(
            "larmlreco.sparse.liblarmlreco_ops",
            sources=[str(OPERATORS / source) for source in SOURCES],
            depends=[str(path) for path in sorted(OPERATORS.glob("*.h"))],
            language="c++",
        )
    ],
    cmdclass={"build_ext": BuildOperators},
)
