"""A seeded world with a virtual clock that drives the same core (to come)."""
