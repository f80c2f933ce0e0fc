"""Who may import whom inside the package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = {"errors", "labels", "resources", "units", "masses", "argon", "sites", "version", "progress"}
MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    "products": BASE,
    "geometry": BASE | {"products"},
    "images": BASE | {"products", "geometry"},
    "reco": BASE | {"products", "geometry"},
    "truth": BASE | {"products", "geometry"},
    "metrics": BASE | {"products", "geometry"},
    "io": BASE | {"products", "geometry"},
    "framework": BASE | {"products"},
    "card": BASE,
    "archive": BASE | {"card"},
    "sparse": BASE,
    "models": BASE | {"sparse", "card"},
    "inference": BASE | {"sparse", "card", "archive"},
    "modules": BASE | {"framework", "products", "geometry", "images", "reco", "inference", "card", "io"},
}
"""Rooms by name and what they may import; a room may import itself, and rooms not named here may import anything."""

FOR_ANALYSERS = {"truth", "metrics"}
"""Rooms that analysers may import beside those of all modules."""

TRUTH_MAKERS = {"TruthLabeller_module.py", "TrueVoxelMaker_module.py"}
"""Producers whose product is the truth; they may import the room of truth as analysers do."""

EVENT_LOOP = {"framework", "modules", "cli"}
"""Rooms that may know the event loop. (The command line starts it.)"""

CONFIGURATION = ("larmlreco.framework.fhicl", "larmlreco.framework.parameters")
"""The language of configurations, which has nothing to do with the event loop."""

WITHOUT_TORCH = ("products", "labels", "metrics", "framework")
TORCH_JIT = {"larmlreco/export.py", "larmlreco/inference.py"}
FORMATS = {"uproot", "awkward", "h5py", "ROOT"}
"""Packages that read and write file formats of events."""


def sources() -> list[Path]:
    return sorted([*(ROOT / "larmlreco").rglob("*.py"), *(ROOT / "modules").glob("*.py")])


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return "modules" if parts[0] == "modules" else parts[1].removesuffix(".py")


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, full name) of everything that a file imports, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def own_rooms(path: Path) -> list[tuple[int, str]]:
    """(line, room) of what a file imports from this package."""
    found = []
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "modules" or parts[:2] == ["larmlreco", "modules"]:
            found.append((line, "modules"))
        elif parts[0] == "larmlreco" and len(parts) > 1 and parts[1] != "__version__":
            found.append((line, parts[1]))
    return found


def is_analyser(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bases = {b.id for n in tree.body if isinstance(n, ast.ClassDef) for b in n.bases if isinstance(b, ast.Name)}
    return bool(bases & {"Analyzer", "Evaluator"})


def test_the_rules_see_imports() -> None:
    seen = {name for _, name in own_rooms(ROOT / "modules/EmptyEvent_source.py")}
    assert seen == {"errors", "framework", "products"}
    assert len(sources()) > 50


def test_rooms_import_only_what_they_may() -> None:
    wrong = []
    for path in sources():
        here = room(path)
        allowed = MAY_IMPORT.get(here)
        if allowed is None:
            continue
        if here == "modules" and is_analyser(path):
            allowed = allowed | FOR_ANALYSERS
        if here == "modules" and path.name in TRUTH_MAKERS:
            allowed = allowed | {"truth"}
        for line, there in own_rooms(path):
            if there not in allowed and (there != here or here == "modules"):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {there}")
    assert not wrong, "\n".join(wrong)


def test_only_the_job_side_knows_the_event_loop() -> None:
    wrong = []
    for path in sources():
        for line, name in imports(path):
            known = name.startswith("larmlreco.framework") and not name.startswith(CONFIGURATION)
            if known and room(path) not in EVENT_LOOP:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_only_io_knows_file_formats() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources()
        for line, name in imports(path)
        if name.split(".")[0] in FORMATS and room(path) != "io"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_export_and_inference_save_load_and_script() -> None:
    calls = {"save", "load", "script", "trace", "freeze"}
    wrong = []
    for path in sources():
        name = str(path.relative_to(ROOT))
        if name in TORCH_JIT:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in calls and ast.unparse(node.value) == "torch.jit":
                wrong.append(f"{name}:{node.lineno} uses torch.jit.{node.attr}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_imports_without_torch(name: str) -> None:
    code = f"""
import importlib, pkgutil, sys
found = importlib.import_module("larmlreco.{name}")
for module in pkgutil.walk_packages(getattr(found, "__path__", []), found.__name__ + "."):
    importlib.import_module(module.name)
print("torch" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
