"""``check``: every error of declarative files, what does not compile included, and warnings.

A sandbox is started only for files with hooks that have code. It runs with its default limits and ``untrusted_lua =
sandbox``: the machine that checks need not be the one that serves.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from kong_eventhooks_plugin.handlers.compile_check import compile_violation, has_code
from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations import documents, kong_yml
from kong_eventhooks_plugin.hooks.definition import as_placed, declaration_errors, place_in_file
from kong_eventhooks_plugin.hooks.lint import admin_api_route, entity_names
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(files: tuple[Path, ...]) -> None:
    """Check the hooks declared in FILES. Every error is printed with its path; the exit status is then 1.

    A route to Kong's Admin API is checked too: a key that was not filled in is an error, no authentication a warning.
    An event of an entity that Kong is not known to have is a warning as well, since a plugin may add it.
    """
    errors = check_files(
        [str(file) for file in files],
        Validation(known()),
        lambda warning: click.echo(f"warning: {warning}", err=True),
    )
    for error in errors:
        click.echo(str(error))
    if errors:
        sys.exit(1)
    click.echo(f"{len(files)} file{'s' if len(files) > 1 else ''} checked, no error")


def _ignore(_: DeclarationError) -> None:
    pass


def check_files(
    paths: Sequence[str], validation: Validation, warn: Callable[[DeclarationError], None] = _ignore
) -> list[DeclarationError]:
    """Return every error of every file, in the files' order. Code is compiled where the rest of its file is valid.

    ``warn`` is called with what is valid but worth a look.
    """
    found: list[DeclarationError] = []
    for path in paths:
        found += _check_file(path, validation, warn)
    return found


def _check_file(path: str, validation: Validation, warn: Callable[[DeclarationError], None]) -> list[DeclarationError]:
    try:
        document = documents.parse(documents.read_bytes(path), path, warn)
    except documents.Unreadable as error:
        return [error.error]
    declared = kong_yml.read(document, path, validation)
    route = admin_api_route.check(document, path)
    for warning in (*declared.warnings, *route.warnings, *entity_names.warnings(declared.hooks, validation.known)):
        warn(warning)
    code = [hook for hook in declared.hooks if has_code(hook)]
    return [*declared.errors, *route.errors, *(asyncio.run(_compile_errors(code)) if code else ())]


async def _compile_errors(hooks: Sequence[Hook]) -> list[DeclarationError]:
    pool = Pool()
    try:
        found: list[DeclarationError] = []
        for hook in hooks:
            invalid = await compile_violation(pool, hook)
            if invalid is not None:
                found += declaration_errors(as_placed(invalid, hook.origin), hook.origin.key, place_in_file(hook))
        return found
    finally:
        await pool.close()
