"""Builds the operator library where a C++ compiler is at hand and torch can be imported; the rest is in setup.cfg.

Without either, the package installs all the same and runs on the portable engine.
"""

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

OPERATORS = Path("torchscript/ops")
SOURCES = (
    "convolve_avx2.cpp",
    "convolve_avx512.cpp",
    "convolve_baseline.cpp",
    "convolve_bf16.cpp",
    "engine.cpp",
    "kernel_map.cpp",
    "operators.cpp",
)
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
X86_FLAGS = {"convolve_avx2.cpp": AVX2, "convolve_avx512.cpp": AVX512, "convolve_bf16.cpp": [*AVX512, "-mavx512bf16"]}
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
            try:
                objects += self._compile(source, [*extra, *with_torch], ext)
            except CompileError:
                if not extra:
                    raise
                # A compiler that does not know these instructions builds the file without them: it then stays unused.
                objects += self._compile(source, with_torch, ext)
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

    def _compile(self, source: str, flags: list[str], ext: Extension) -> list[str]:
        return self.compiler.compile(
            [source], output_dir=self.build_temp, extra_postargs=[*FLAGS, *flags], depends=ext.depends
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
