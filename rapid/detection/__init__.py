"""Which edges are faulty, and which set of members to change at once."""
