"""What must be settled before TensorFlow and Keras are imported, and their monologue."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

from tl_app.errors import ConfigError

# What TensorFlow's C++ side says at its start whatever its log level, on every machine.
# An unusable GPU, which the last one is about, is told by `environment.gpu_problem`.
NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:"
    rb"|To enable the following instructions|E\d{4} .*failed call to cuInit"
)

QUIET = "3"
"""TensorFlow's log level of errors alone."""

_STDERR = threading.RLock()


def prepare_libraries() -> None:
    """Settle what TensorFlow and Keras read from the environment; call before their import.

    Raises:
        ConfigError: Keras is already imported with a backend other than TensorFlow.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
    # TensorFlow leaves oneDNN off on CPUs without AVX-512 VNNI. Without it a picture's features
    # depend, in their last bits, on the pictures beside it, and come at two thirds of the speed.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    keras = sys.modules.get("keras")
    if keras is None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    elif keras.config.backend() != "tensorflow":
        raise ConfigError(
            "Keras runs on another backend in this process.",
            received=keras.config.backend(),
            allowed="tensorflow",
            next_step="set KERAS_BACKEND=tensorflow before keras is imported",
        )


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Load TensorFlow within; its start-up lines are dropped, all others are kept.

    Whoever sets TF_CPP_MIN_LOG_LEVEL below 3 wants to see them, and sees them. May be entered
    again: what is loaded late is loaded as quietly.
    """
    wants_all = os.environ.get("TF_CPP_MIN_LOG_LEVEL", QUIET) != QUIET
    prepare_libraries()
    if wants_all:
        yield
        return
    with hushed(NOISE):
        yield
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is not None:  # the first look for devices talks, too
            tensorflow.config.list_physical_devices()


@contextlib.contextmanager
def hushed(noise: re.Pattern[bytes]) -> Iterator[None]:
    """Hold back what is written to standard error within, then write all but the noise.

    For libraries that write past Python and have no switch for it. Whatever other threads
    write meanwhile is late, not lost.

    Args:
        noise: matches the beginning of each line that is dropped.
    """
    # Two threads within at a time would give standard error back in the wrong order.
    with _STDERR, contextlib.ExitStack() as undo:
        try:
            kept = os.dup(2)
        except OSError:  # standard error is closed: nobody reads it
            yield
            return
        undo.callback(os.close, kept)
        held = undo.enter_context(tempfile.TemporaryFile())
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            held.seek(0)
            for line in held:
                if not noise.match(line):
                    with contextlib.suppress(OSError):
                        os.write(2, line)
