"""The speed comparison with torch runs and names every peer; what it measures is not tested."""
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
SCRIPT = Path(__file__).parents[2] / "chapters" / "experiments" / "step_speed.py"


def test_every_peer_is_timed():
    done = subprocess.run([sys.executable, SCRIPT, "--size", "8", "--batch", "8", "--rounds", "1"], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for peer in ("refquant hindsight-8", "refquant float", "torch W8 A8 G8", "torch W8 A8", "torch float32"):
        row = [line[22:].split() for line in lines if line.startswith(f"{peer:22} ")]
        assert len(row) == 1 and all(float(number) > 0 for number in row[0]), peer
    shares = [float(line.split("%")[0]) for line in lines if "%  " in line]
    assert len(shares) > 5 and abs(sum(shares) - 100) < 1
