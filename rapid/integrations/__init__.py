"""Rapid beside other libraries. Each module says which extra it needs; ``import rapid`` loads none."""
