"""How much memory and time the statistics of a column may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Sizes of the sketches of each column, and of what a table keeps beside them.

    `quantiles`: the size k of the quantile sketch (rank error about 2.3 / k ** 0.9); `registers`: 2 ** this many registers count distinct
    values (error 1.04 / 2 ** (registers / 2)); `kept`: distinct values that are counted exactly, and kept with how often they came, before
    they are a sample of the distinct values; `top`: frequent values that are counted; `sample`: rows kept; `pairs`: numeric columns whose
    correlations are computed; `groups`: groups whose cadence is followed.
    """

    quantiles: int = 2048
    registers: int = 14
    kept: int = 2048
    top: int = 1000
    sample: int = 10_000
    pairs: int = 40
    groups: int = 10_000

    @classmethod
    def full(cls) -> Budget:
        """What files are measured with: about 300 kB a column."""
        return cls()

    @classmethod
    def small(cls) -> Budget:
        """What a monitor of a stream measures with: about 30 kB a column, no sample of rows, no correlations."""
        return cls(quantiles=256, registers=11, kept=512, top=256, sample=0, pairs=0, groups=256)

    def for_columns(self, count: int) -> Budget:
        """The same for a table of so many columns: beyond a hundred, each gets less, so that all of them stay bounded."""
        if count <= 100:
            return self
        share = 100 / count
        return Budget(
            quantiles=max(256, int(self.quantiles * share)),
            registers=min(self.registers, 12),
            kept=max(256, int(self.kept * share)),
            top=max(256, int(self.top * share)),
            sample=max(1000, int(self.sample * share)) if self.sample else 0,
            pairs=self.pairs,
            groups=self.groups,
        )
