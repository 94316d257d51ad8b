"""Golden vectors: created, verified, explained, audited. A device under test needs `Case` and `Unsupported`."""
from refquant.golden.creation import create
from refquant.golden.device import Case
from refquant.golden.errors import GoldenError, Unsupported
from refquant.golden.suite import Suite, open_suite

__all__ = ["Case", "GoldenError", "Suite", "Unsupported", "create", "open_suite"]
