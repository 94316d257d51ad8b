"""What can be wrong with vectors, answers and devices."""
from refquant.errors import CORRUPT, MISMATCH, UNSUPPORTED, USAGE, RefquantError

__all__ = ["CORRUPT", "MISMATCH", "UNSUPPORTED", "USAGE", "CorruptError", "GoldenError", "Unsupported"]


class GoldenError(RefquantError):
    """Something about a suite, a device or its answers that a user can mend."""


class CorruptError(GoldenError):
    """A suite, vector or answer that is missing, unreadable or not what its manifest says."""

    exit_code = CORRUPT


class Unsupported(GoldenError):
    """Raised by a device under test for a case whose semantics it does not have."""

    exit_code = UNSUPPORTED
