"""Why an engine cannot run a model."""

from __future__ import annotations

from tl_app.engines.base import ENGINES
from tl_app.errors import EngineUnavailable


def refusal(engine: str, reason: str) -> EngineUnavailable:
    """An engine that cannot run a model, with the reason."""
    return EngineUnavailable(
        f"The engine {engine} cannot run this model: {reason}.",
        received=engine,
        allowed=_others(engine),
    )


def not_installed(engine: str, error: ImportError, *, requirement: str) -> EngineUnavailable:
    """An engine whose library is missing or does not load."""
    return EngineUnavailable(
        f"The engine {engine} is not installed: {first_line(error)}.",
        received=engine,
        allowed=_others(engine),
        next_step=f"pip install {requirement}",
    )


def _others(engine: str) -> str:
    return ", ".join(name for name in ENGINES if name != engine)


def first_line(error: BaseException) -> str:
    """What an error of another library says in its first line, without the full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
