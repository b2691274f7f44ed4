"""What a run may spend on paid services, and what its tasks have spent: tokens, and their price."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mmetl.errors import LimitError, TaskError

ROUNDING = 1e-9  # of a price: sums of floats differ in their last digits
HELP = "what is finished is kept; run again with a higher limit, or none, to go on"


class Budget:
    """The limits of one run, over all its tasks, whichever threads they run in.

    Args:
        max_tokens: None: as many as it takes.
        max_cost: in the currency of the prices; None: whatever it costs.
    """

    def __init__(self, max_tokens: int | None, max_cost: float | None) -> None:
        self.max_tokens, self.max_cost = max_tokens, max_cost
        self.tokens, self.cost = 0, 0.0  # spent, and held for what is under way
        self.lock = threading.Lock()

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_tokens is not None or self.max_cost is not None

    def fits(self, tokens: int, cost: float) -> bool:
        """Tell whether so much more may be spent."""
        few = self.max_tokens is None or self.tokens + tokens <= self.max_tokens
        return few and (self.max_cost is None or self.cost + cost <= self.max_cost + ROUNDING)


class Spending:
    """The `Meter` of one task.

    Args:
        budget: of the run.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self.price: float | None = None
        self.tokens = 0

    @property
    def counts(self) -> dict[str, float]:
        """See `Meter`."""
        if not self.tokens:
            return {}
        return {"tokens": self.tokens} | ({} if self.price is None else {"cost": self._cost(self.tokens)})

    def hold(self, tokens: Sequence[int]) -> int:
        """See `Meter`."""
        budget = self._budget
        if not budget.limited:
            return len(tokens)
        if budget.max_cost is not None and self.price is None:
            raise TaskError(
                "what it costs is not known, so --max-cost cannot be kept",
                help="set `price_per_million`, 0 if it is free, or run without --max-cost",
            )
        with budget.lock:
            held = count = 0
            while count < len(tokens) and budget.fits(held + tokens[count], self._cost(held + tokens[count])):
                held += tokens[count]
                count += 1
            if not count and tokens:
                raise self._stopped(tokens[0])
            self._change(held)
            self._held += held
        return count

    def spend(self, tokens: int) -> None:
        """See `Meter`."""
        with self._budget.lock:
            self._change(tokens)
            self.tokens += tokens

    def release(self) -> None:
        """See `Meter`."""
        with self._budget.lock:
            self._change(-self._held)
            self._held = 0

    def _change(self, tokens: int) -> None:
        self._budget.tokens += tokens
        self._budget.cost += self._cost(tokens)

    def _cost(self, tokens: int) -> float:
        return round(tokens * (self.price or 0.0) / 1_000_000, 12)

    def _stopped(self, tokens: int) -> LimitError:
        budget = self._budget
        if budget.max_tokens is not None and budget.tokens + tokens > budget.max_tokens:
            what = f"stopped before --max-tokens {budget.max_tokens} was passed: {budget.tokens} are spent"
            return LimitError(f"{what}, and the next item may take {tokens}", help=HELP)
        what = f"stopped before --max-cost {budget.max_cost:g} was passed: {budget.cost:g} is spent"
        return LimitError(f"{what}, and the next item may cost {self._cost(tokens):g}", help=HELP)
