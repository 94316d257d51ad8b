"""Is the suite right, and what would it catch? Hashes, both implementations again, and the kill matrix."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from refquant.golden.operations import OPERATIONS
from refquant.golden.suite import Suite
from refquant.golden.vector import Vector, equal, kills, recompute


@dataclass
class Audit:
    """What an audit found.

    files : how many have the hash they should.  wrong : cases whose tensors or kills are not what they were.
    matrix : operation -> mutant -> how many cases detect it.
    """

    files: int
    cases: int = 0
    elements: int = 0
    wrong: list[str] = field(default_factory=list)
    matrix: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def survivors(self) -> list[str]:
        """The mutants that no case detects."""
        return [f"{op}: {mutant}" for op, row in self.matrix.items() for mutant, count in row.items() if not count]

    @property
    def exit_code(self) -> int:
        return 1 if self.wrong or self.survivors else 0


def audit(suite: Suite, progress: Callable[[], None] = lambda: None) -> Audit:
    """Check every file and recompute every case, both ways; CorruptError for a file that is not what it was."""
    found = Audit(suite.check_hashes())
    for vector in suite.vectors():
        found.cases += 1
        found.elements += sum(array.size for array in vector.expected.values())
        found.wrong += _disagreements(vector)
        operation = vector.operation
        row = found.matrix.setdefault(operation.name, {mutant.name: 0 for mutant in operation.mutants})
        killed = kills(operation, vector.attrs, vector.given, vector.expected)
        if killed != vector.record["kills"]:
            found.wrong.append(f"{vector.id}: kills are not those in case.json")
        for mutant in killed:
            row[mutant] += 1
        progress()
    return found


def _disagreements(vector: Vector) -> Iterator[str]:
    operation = vector.operation
    again = {"reference": operation.reference(vector.attrs, vector.given),
             "scalar model": recompute(operation, vector.attrs, vector.given, vector.expected)}
    for implementation, results in again.items():
        for name, expected in vector.expected.items():
            if not equal(results[name], expected):
                yield f"{vector.id}: {name} differs from the {implementation}"


def text(found: Audit) -> str:
    """The kill matrix, a line a mutant, and the totals."""
    lines = []
    for op in (name for name in OPERATIONS if name in found.matrix):
        row = found.matrix[op]
        lines.append(f"{op}: {sum(map(bool, row.values()))} of {len(row)} mutants detected")
        lines += [f"  {f'{count:4d} cases' if count else 'SURVIVES  '}  {mutant}" for mutant, count in row.items()]
    lines += [f"WRONG {line}" for line in found.wrong]
    mutants = sum(map(len, found.matrix.values()))
    lines.append(f"{'FAIL' if found.exit_code else 'PASS'}: {found.files} files have their hashes; {found.cases} "
                 f"cases, {found.elements} elements, {'NOT ' if found.wrong else ''}equal by both implementations; "
                 f"{mutants - len(found.survivors)} of {mutants} mutants detected")
    return "\n".join(lines) + "\n"
