"""Errors with an exit code."""

MISMATCH, USAGE, CORRUPT, UNSUPPORTED = 1, 2, 3, 4


class GoldenError(Exception):
    """Something a user can mend: its text names what was wrong, the value, and what was allowed."""

    exit_code = USAGE


class CorruptError(GoldenError):
    """A suite, vector or answer that is missing, unreadable or not what its manifest says."""

    exit_code = CORRUPT


class Unsupported(GoldenError):
    """Raised by a device under test for a case whose semantics it does not have."""

    exit_code = UNSUPPORTED
