"""The wire format: messages to bytes and back, the only part that knows protobuf."""
