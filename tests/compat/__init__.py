"""The library beside the versions of its dependencies that other people have: run by ``make compat``."""
