"""Progress of long work: a bar on a terminal, nothing elsewhere."""
from __future__ import annotations

import sys


class Progress:
    """A bar of so many ``unit``s, drawn on stderr while the ``with`` block runs."""

    def __init__(self, unit: str):
        self.unit = unit
        self.score: dict[str, str] = {}

    def __enter__(self):
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(unit=self.unit, total=0)
        else:
            self.bar = None
        return self

    def __exit__(self, kind, error, trace):
        if self.bar is not None:
            self.bar.close()

    def total(self, count: int) -> None:
        if self.bar is not None:
            self.bar.total += count
            self.bar.refresh()

    def step(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def operation(self, name: str, count: int) -> None:
        """``count`` cases of an operation are ahead; 0: one of them is done."""
        if self.bar is not None and count:
            self.bar.set_description(name)
        if count:
            self.total(count)
        else:
            self.step()

    def loss(self, value: float) -> None:
        """One step of training is done, with this loss; the last test score stands beside it."""
        if self.bar is not None:
            self.bar.set_postfix({"loss": f"{value:.4f}"} | self.score, refresh=False)
            self.bar.update()

    def scored(self, value: float, unit: str) -> None:
        """An epoch is done, with this test score."""
        self.score = {"test": f"{value:.2f} {unit}"}

    def say(self, line: str) -> None:
        """Print ``line`` on standard output, above the bar."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)
