"""The verb that serves models over HTTP; nothing here loads TensorFlow by itself."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tl_app.environment import usable_cores
from tl_app.errors import ConfigError, RunError
from tl_app.progress import Reporter
from tl_app.run import RunFolder

if TYPE_CHECKING:
    from tl_app.serving.models import Models

TOKEN_VARIABLE = "TL_APP_TOKEN"

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))


def serve(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    name: str | None = None,
    labels: Mapping[str, int] | None = None,
    engine: str = "auto",
    token_file: Path | None = None,
    without_token: bool = False,
    certificate: Path | None = None,
    key: Path | None = None,
    max_body_mb: float = 32.0,
    max_pixels: int = 25_000_000,
    queue: int = 256,
    timeout_seconds: float = 30.0,
    output: Path,
    reporter: Reporter,
) -> None:
    """Answer requests until a signal comes; see `serving.web` for what is answered.

    Args:
        model: a run, a folder of versions or one of them, or a folder of folders of versions.
        host, port, certificate, key: see `running.Address`.
        name: of a single model in addresses; None takes the folder's.
        labels: see `models.find_models`.
        engine: see `loading.build_loader`.
        token_file: holds the token that requests have to bear; None takes the environment's
            TL_APP_TOKEN, and no token where that is not set.
        without_token: let other machines ask without one.
        max_body_mb, queue, timeout_seconds: see `web.Limits`.
        max_pixels: larger pictures are unusable.
        output: where runs are looked for by name.
        reporter: is told what is served where.

    Raises:
        ConfigError: a setting cannot be, or the server's packages are missing.
        RunError: there is no model, or none of it can be loaded.
    """
    try:
        from tl_app.serving.loading import ENGINE_NAMES, build_loader
        from tl_app.serving.models import Models, find_models
        from tl_app.serving.running import Address, listen
        from tl_app.serving.running import serve as run
        from tl_app.serving.web import Limits, build_app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "tl_app":
            raise
        raise ConfigError(
            f"The server needs packages that are not installed: {error.name}.",
            next_step="pip install 'tl_app[serve]'",
        ) from error
    bounds = {
        "largest body": max_body_mb,
        "most pixels": max_pixels / 1e6,
        "queue": queue,
        "time-out": timeout_seconds,
    }
    _require_sound(engine, ENGINE_NAMES, bounds)
    if (certificate is None) != (key is None):
        raise ConfigError(
            "TLS takes a certificate and its key.", allowed="--tls-cert FILE with --tls-key FILE"
        )
    token = _token(token_file)
    folder, own_name = _folder_of(model, output)
    found = find_models(folder, labels or {}, name or own_name)
    address = Address(host, port, certificate, key)
    if token is None and not address.is_loopback and not without_token:
        raise ConfigError(
            "Other machines could ask this server, and no token is wanted of them.",
            received=f"host {host}",
            allowed=f"a token in {TOKEN_VARIABLE} or a --token-file; or --no-token",
            next_step="openssl rand -hex 32 > token.txt, then --token-file token.txt",
        )
    listening = listen(address)
    with listening:
        # Pillow's, of damage that it passes over; their filters are one for all threads.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        logging.captureWarnings(True)
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("tl_app.serving").setLevel(logging.INFO)
        reporter.message("Loading what is served")
        served = Models(found, build_loader(engine, max_pixels))
        served.refresh(everything=True)
        if not any(one.find() for one in served):
            raise _none_loaded(served, engine)
        for one in served:
            there = one.complete()
            for label, number in one.labels.items():
                if number not in there:
                    reporter.warn(
                        f"{one.name} has no version {number} for the label {label}, which answers "
                        f"when that is there; it has: {', '.join(map(str, sorted(there)))}"
                    )
        limits = Limits(
            body_bytes=round(max_body_mb * 1e6),
            request_seconds=timeout_seconds,
            queue_rows=queue,
        )
        app = build_app(
            served,
            n_threads=usable_cores(),
            limits=limits,
            token=token,
            hosts=LOOPBACK_NAMES | {host} if address.is_loopback else None,
        )
        url = address.url(listening.getsockname()[1])

        def tell(_: object) -> None:
            for one in served:
                version = one.find()
                if version is not None:
                    reporter.message(
                        f"Serving {one.name}, version {version[0]}, by {version[1].engine}: "
                        f"{url}/v1/models/{one.name}:predict"
                    )
            reporter.message(f"A page to try it: {url}/ (Ctrl-C stops)")

        run(app, listening, address, tell)


def _require_sound(engine: str, engines: tuple[str, ...], bounds: Mapping[str, float]) -> None:
    problems = []
    if engine not in ("auto", *engines):
        problems.append(f"engine {engine}: auto, {', '.join(engines)}")
    for what, value in bounds.items():
        if not 0 < value < 1e6:
            problems.append(f"{what} {value:g}: more than 0")
    if problems:
        raise ConfigError("The server cannot run with this.", received="; ".join(problems))


def _token(file: Path | None) -> str | None:
    """
    Raises:
        ConfigError: the file cannot be read, or the token is none.
    """
    where = TOKEN_VARIABLE if file is None else str(file)
    try:
        token = os.environ.get(TOKEN_VARIABLE) if file is None else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("The token cannot be read.", received=f"{file}: {error}") from error
    if token is None:
        return None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            "This is no token.",
            received=f"what {where} holds",
            allowed="ASCII signs without a space",
            next_step="openssl rand -hex 32 > token.txt",
        )
    return token


def _folder_of(model: str, output: Path) -> tuple[Path, str | None]:
    """Where versions are, and the name of a run.

    Raises:
        RunError: there is nothing to serve.
    """
    from tl_app.serving.models import none_here

    path = Path(model)
    is_run = (path / "run.json").is_file()
    if not is_run and path.is_dir():
        return path, None
    # A name alone may be a run's.
    if path.is_file() or not (path.exists() or (output / "models" / model).is_dir()):
        raise none_here(path)
    folder = RunFolder.open(model, output)
    if not folder.saved_model.is_dir():
        raise RunError(
            "This run has no SavedModel to serve.",
            received=str(folder.path),
            next_step=f"tl-app export {folder.path} DEST --format litert, then tl-app serve DEST",
        )
    return folder.saved_model, folder.name


def _none_loaded(served: Models, engine: str) -> RunError:
    problems = [
        f"{one.name}, version {version.number}: {version.problem}"
        for one in served
        for version in one.versions.values()
        if version.problem
    ]
    return RunError(
        "No model could be loaded.",
        received="; ".join(problems),
        next_step="tl-app export RUN DEST --format litert, then tl-app serve DEST"
        if engine == "auto"
        else f"leave --engine out, or tl-app export RUN DEST --format {engine}",
    )
