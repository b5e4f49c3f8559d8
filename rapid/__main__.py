"""``python -m rapid``."""

from rapid.cli import entry

if __name__ == "__main__":
    entry()
