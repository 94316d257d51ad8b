"""What it ran on: the processor, its memory, the versions of everything that takes part."""
from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
from pathlib import Path

PACKAGES = ("numpy", "numba", "llvmlite", "scipy", "torch", "onnxruntime", "onnx")
NEEDED = {"torch": ("torch",), "onnxruntime": ("onnxruntime", "onnx")}  # that a library's peers import


def facts() -> dict[str, object]:
    """Processor, cores that this process may use, memory in GiB, operating system."""
    return {"processor": _processor(), "cores": cores(), "memory_gib": _memory(), "system": platform.platform()}


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def versions() -> dict[str, str]:
    """The version of Python and of each package that is installed, by name."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        if installed(package):
            found[package] = _version(package)
    return found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # it came under another name
        return "of unknown version"


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def missing(libraries: tuple[str, ...]) -> dict[str, list[str]]:
    """The libraries whose peers cannot run here, each with the packages that it lacks."""
    lacking = {library: [package for package in NEEDED.get(library, ()) if not installed(package)]
               for library in libraries}
    return {library: packages for library, packages in lacking.items() if packages}
