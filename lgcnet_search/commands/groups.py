"""Options that belong together are the fields of a dataclass, and a command takes the dataclass."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_args, get_type_hints

from typer.models import OptionInfo


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """For typer: `command` with an option for every field of those of its parameters that are dataclasses.

    A field's option and help are its annotation, its default that of the parameter's default instance, else the
    field's own.
    """
    groups: dict[str, type] = {}
    options: list[inspect.Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        group = hints[parameter.name]
        if not is_dataclass(group):
            options.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(group, type)
        groups[parameter.name] = group
        own = inspect.signature(group).parameters
        for name, hint in get_type_hints(group, include_extras=True).items():
            default = own[name].default if parameter.default is parameter.empty else getattr(parameter.default, name)
            options.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))

    @wraps(command)
    def run(**values: Any) -> None:
        built = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **built)

    for option in options:
        _leave_out_type_of_flag(option.annotation)
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


def _leave_out_type_of_flag(annotation: Any) -> None:
    """A flag takes no value, though typer's help would name the type of one."""
    kind, *details = get_args(annotation) or (None,)
    for detail in details if kind is bool else ():
        if isinstance(detail, OptionInfo):
            detail.metavar = ""
