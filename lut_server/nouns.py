"""A noun of the API, as its route file declares it: gate, application and docs page read it from there."""

from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from fastapi import APIRouter

from latency_tables.contract import Role

MIB = 2**20


@dataclass(frozen=True)
class Noun:
    """A noun as all files but its routes know it. The defaults are the rights and bounds of any other path.

    `tag`: its sentence on the docs page; nouns are listed there by `order`, then by name.
    `read`, `write`: the least roles that may send GET, HEAD or OPTIONS, and any other method.
    `max_bytes`: the largest body of a request.
    `of_device`: a token for one device may write it, for that device.
    `prefix`: of the paths of its router; "" if they are no resources of the API, like the web pages.
    """

    name: str
    tag: str = ""
    order: int = 100
    read: Role = "read"
    write: Role = "admin"
    max_bytes: int = MIB // 4
    of_device: bool = False
    prefix: str = "/v1"


def collect(package: ModuleType) -> dict[Noun, APIRouter]:
    """The nouns of a package's route files, each with its router, in the order of the docs page.

    A file without `router` holds what route files share.

    Raises:
        TypeError: a route file declares no noun, or the noun of another file.
    """
    routers: dict[Noun, APIRouter] = {}
    for file in iter_modules(package.__path__, f"{package.__name__}."):
        module = import_module(file.name)
        if not hasattr(module, "router"):
            continue
        noun = getattr(module, "NOUN", None)
        if not isinstance(noun, Noun):
            raise TypeError(f'{file.name}: a file with a `router` declares its noun: NOUN = Noun("…", tag="…")')
        if noun.name in {other.name for other in routers}:
            raise TypeError(f"{file.name}: NOUN = {noun.name!r} is declared by another route file already")
        routers[noun] = module.router
    return dict(sorted(routers.items(), key=lambda item: (item[0].order, item[0].name)))
