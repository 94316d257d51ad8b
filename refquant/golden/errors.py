"""What can be wrong with vectors, answers and devices."""
from refquant.errors import CORRUPT, MISMATCH, UNSUPPORTED, USAGE, RefquantError

__all__ = ["CORRUPT", "MISMATCH", "UNSUPPORTED", "USAGE", "CorruptError", "GoldenError", "Unsupported"]


class GoldenError(RefquantError):
    """Something about a suite, a device or its answers that a user can mend; its text is one line, or few.

    exit_code : what the command line exits with: 2, of a CorruptError 3, of Unsupported 4.

    Raises nothing of its own.

    Source: refquant's own.
    """


class CorruptError(GoldenError):
    """A suite, vector or answer that is missing, unreadable or not what its manifest says."""

    exit_code = CORRUPT


class Unsupported(GoldenError):
    """Raised by a device under test for a case whose semantics it does not have: the case is neither passed nor failed.

    Its text says what it declines; a report counts equal texts.

    Raises nothing of its own.

    Source: refquant's own.
    """

    exit_code = UNSUPPORTED
