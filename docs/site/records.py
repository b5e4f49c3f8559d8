"""A record is a dataclass to the reference, too: its fields are the parameters of the class."""

from __future__ import annotations

from typing import Any

import griffe

RECORD = "rapid.records.record"


class Records(griffe.Extension):
    """Has griffe read ``@record(...)`` as the ``@dataclass(...)`` that it is."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called by griffe for each class that it reads, before it looks for dataclasses."""
        for decorator in cls.decorators:
            call = decorator.value
            if isinstance(call, griffe.ExprCall) and call.canonical_path == RECORD:
                call.function = griffe.ExprName("dataclass", parent="dataclasses")
