"""What several tests share: level-1 suites, created once."""
import pytest

from refquant.golden import create


@pytest.fixture(scope="session")
def level_1(tmp_path_factory):
    """The whole level-1 suite. Tests that change files copy it first."""
    return create(tmp_path_factory.mktemp("suites") / "level-1")


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A suite of one group, for tests that change it."""
    return create(tmp_path_factory.mktemp("suites") / "small", groups=("stochastic",))
