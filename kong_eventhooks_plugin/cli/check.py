"""``check``: every error of declarative files, what does not compile included, and warnings.

A sandbox is started only for files with hooks that have code. It runs with its default limits and ``untrusted_lua =
sandbox``: the machine that checks need not be the one that serves.
"""

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from kong_eventhooks_plugin.cli.options import FILE
from kong_eventhooks_plugin.handlers.compile_check import compile_violation, has_code
from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations import documents, kong_yml
from kong_eventhooks_plugin.hooks.definition import as_placed, declaration_errors, place_in_file
from kong_eventhooks_plugin.hooks.lint import admin_api_route, entity_names, near_names
from kong_eventhooks_plugin.hooks.validation.hook_validation import Validation
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.settings import load
from kong_eventhooks_plugin.sources.field_types import field_types


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--secret-file-directories", metavar="VALUE", help="The setting of the sidecar that the files are for.")
@click.option("--settings", "settings_file", type=FILE, help="TOML file with its settings.")
def command(files: tuple[Path, ...], secret_file_directories: str | None, settings_file: Path | None) -> None:
    """Check the hooks declared in FILES. Every error is printed with its path; the exit status is then 1.

    A route to Kong's Admin API is checked too: a key that was not filled in is an error, no authentication a warning.
    An event of an entity that Kong is not known to have is a warning as well, since a plugin may add it.
    """
    settings = load({"secret_file_directories": secret_file_directories}, settings_file)
    validation = Validation(known(), settings.secret_file_directories)
    found = check_files([str(file) for file in files], validation)
    for warning in found.warnings:
        click.echo(f"warning: {_in_one_line(warning)}", err=True)
    for error in found.errors:
        click.echo(_in_one_line(error))
    checked = f"{_count(len(files), 'file')} checked: {_count(found.hooks, 'hook')}"
    # Not among the errors, which a program may read line by line.
    click.echo(f"{checked}, {_count(len(found.errors), 'error')}", err=bool(found.errors))
    sys.exit(1 if found.errors else 0)


def _in_one_line(found: DeclarationError) -> str:
    """Return its text; a key of the file, which it may quote, is no line of its own and moves no cursor."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(found))


def _count(number: int, of: str) -> str:
    return f"{number or 'no'} {of}{'' if number == 1 else 's'}"


class Findings(NamedTuple):
    """What was found in files, in their order; ``hooks`` is how many they declare, invalid ones included."""

    errors: list[DeclarationError]
    warnings: list[DeclarationError]
    hooks: int


def check_files(paths: Sequence[str], validation: Validation) -> Findings:
    found = [_check_file(path, validation) for path in paths]
    errors = [error for file in found for error in file.errors]
    warnings = [warning for file in found for warning in file.warnings]
    return Findings(errors, warnings, sum(file.hooks for file in found))


def _check_file(path: str, validation: Validation) -> Findings:
    errors: list[DeclarationError] = []
    warnings: list[DeclarationError] = []
    try:
        document = documents.parse(documents.read_bytes(path), path, warnings.append, errors.append)
    except documents.Unreadable as error:
        return Findings([*errors, error.error], warnings, 0)
    declared = kong_yml.examine(document, path, validation)
    route = admin_api_route.check(document, path)
    hooks = [*declared.hooks, *declared.parts]
    warnings += [*declared.warnings, *route.warnings]
    warnings += [*entity_names.warnings(hooks, validation.known), *near_names.method_warnings(hooks)]
    code = [hook for hook in hooks if has_code(hook)]
    compiled = asyncio.run(_compile_errors(code)) if code else []
    errors += [*declared.errors, *route.errors, *filter(declared.of_code, compiled)]
    return Findings(sorted(errors, key=_place), sorted(warnings, key=_place), declared.hook_count)


def _place(found: DeclarationError) -> list[tuple[bool, int, str]]:
    """Return what sorts errors by their places: ``hooks[10]`` behind ``hooks[9]``."""
    parts = re.split("([0-9]+)", found.path)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


async def _compile_errors(hooks: Sequence[Hook]) -> list[DeclarationError]:
    pool = Pool()
    try:
        found: list[DeclarationError] = []
        for hook in hooks:
            invalid = await compile_violation(pool, hook, field_types)
            if invalid is not None:
                found += declaration_errors(as_placed(invalid, hook.origin), hook.origin.key, place_in_file(hook))
        return found
    finally:
        await pool.close()
