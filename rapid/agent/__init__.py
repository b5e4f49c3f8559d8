"""The member that runs as a service: its configuration, its admin endpoint and its page."""
