"""Errors that the command line reports in one line, with an exit code."""

MISMATCH, USAGE, CORRUPT, UNSUPPORTED = 1, 2, 3, 4


class RefquantError(Exception):
    """Something a user can mend: its text names what was wrong, the value, and what was allowed."""

    exit_code = USAGE
