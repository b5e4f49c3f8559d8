"""A program: imports every module of the library, and prints how many there are."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import rapid

if __name__ == "__main__":
    names = [module.name for module in walk_packages(rapid.__path__, "rapid.")]
    for name in names:
        import_module(name)
    print(len(names))
