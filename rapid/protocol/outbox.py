"""What a node has to say, collected until the driver takes it, and what it has counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Message, Named
from rapid.protocol.outputs import Event, Notify, Output, Rejected, Reply, Send


class Outbox:
    """One of a node, shared by its rooms. Outputs leave in the order they were put in.

    What has to bear the cluster's name is given it here.
    """

    def __init__(self, cluster_name: str = "") -> None:
        self.cluster_name = cluster_name
        self.stats: Counter[str] = Counter()
        self._outputs: list[Output] = []

    def send(self, to: Endpoint, message: Message) -> None:
        self._outputs.append(Send(to, self._named(message)))

    def answer(self, token: Hashable | None, to: Endpoint, message: Message) -> None:
        """Back the way that a message came; to its sender where the transport gave no way."""
        message = self._named(message)
        self._outputs.append(Send(to, message) if token is None else Reply(token, message))

    def _named(self, message: Message) -> Message:
        if self.cluster_name and isinstance(message, Named):
            message.cluster_name = self.cluster_name
        return message

    def notify(self, event: Event) -> None:
        self._outputs.append(Notify(event))

    def put(self, output: Output) -> None:
        self._outputs.append(output)

    def reject(self, reason: str, sender: Endpoint | None) -> None:
        """A message had no effect: counted, and told for the log."""
        self.stats[f"rejected:{reason}"] += 1
        self.notify(Rejected(reason, sender))

    def drain(self) -> list[Output]:
        outputs, self._outputs = self._outputs, []
        return outputs
