"""What surrounds the core: threads, clocks, sockets."""
