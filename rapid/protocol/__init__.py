"""One member as a pure state machine: messages and the time go in, messages and events come out."""
