"""What a recipe would have taken for more epochs than it was run for."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def scaled_phase_seconds(seconds: float, epoch_seconds: Sequence[float], n_epochs: int) -> float:
    """Seconds of a phase of `n_epochs`, from one that was run for fewer.

    The first epoch holds the tracing and is counted once, as measured; every further one is
    taken to last as long as the median of those after the first.

    Args:
        seconds: of the measured phase, with what surrounds its epochs.
        epoch_seconds: of each measured epoch.
        n_epochs: wanted, at least as many as were measured.

    Raises:
        ValueError: there is no epoch without tracing to scale by, or fewer epochs are wanted
            than were run.
    """
    n_measured = len(epoch_seconds)
    if n_epochs == n_measured:
        return seconds
    if n_epochs < n_measured:
        raise ValueError(f"{n_measured} epochs were run, {n_epochs} are wanted")
    if n_measured < 2:
        raise ValueError("scaling needs two measured epochs: the first one holds the tracing")
    later = statistics.median(epoch_seconds[1:])
    around = seconds - sum(epoch_seconds)
    return around + epoch_seconds[0] + (n_epochs - 1) * later
