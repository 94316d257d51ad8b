"""The built book, and pages of it in a headless Chromium that reaches no network."""
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CHAPTERS = Path(__file__).parents[2] / "chapters"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--virtual-time-budget=8000",
         "--host-resolver-rules=MAP * ~NOTFOUND"]
NEEDED = ("sphinx", "myst_parser", "furo", "sphinx-mathjax-offline")


@pytest.fixture(scope="session")
def dom():
    """(page, query) -> its HTML once its scripts have run, and what the console said."""
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed")

    def dom(page: Path, query: str = "", width: int = 1200) -> str:
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(["chromium", *FLAGS, "--dump-dom", "--enable-logging=stderr", f"--window-size={width},900",
                                   f"--user-data-dir={profile}", page.resolve().as_uri() + query],
                                  capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stdout, done.stderr
        said = re.findall(r'CONSOLE.*?"(.*?)", source', done.stderr)
        assert not said, said
        return done.stdout
    return dom


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The book, built by the documented command with every warning an error: (its directory, what was printed)."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; pip install 'refquant[book]'")
    directory = tmp_path_factory.mktemp("book")
    done = subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", directory / "trees",
                           CHAPTERS, directory / "html"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return directory / "html"
