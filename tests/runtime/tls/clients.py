"""Raw clients of a member: what they send, and how their streams end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import grpc

from rapid import Endpoint
from rapid.proto import rapid_pb2 as pb
from rapid.proto.codec import encode
from rapid.protocol.messages import Message
from rapid.runtime.resolver import target
from rapid.runtime.streams import METHOD
from tests.runtime.authority import Authority


async def call(
    to: Endpoint, channel_credentials: grpc.ChannelCredentials | None, *frames: bytes
) -> tuple[grpc.StatusCode, str]:
    """How the stream of a raw client ends."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    if channel_credentials is None:
        channel = grpc.aio.insecure_channel(target([to.host], to.port), options=options)
    else:
        channel = grpc.aio.secure_channel(target([to.host], to.port), channel_credentials, options=options)
    async with channel:
        exchange = channel.stream_stream(METHOD)()
        try:
            for frame in frames:
                await exchange.write(frame)
            await exchange.done_writing()
            while await exchange.read() is not grpc.aio.EOF:
                continue
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            pass  # the status says how it has ended
        return await exchange.code(), str(await exchange.details())


def frame(sender: Endpoint, *messages: Message) -> bytes:
    return pb.Frame(
        sender=pb.Endpoint(host=sender.host, port=sender.port), messages=map(encode, messages)
    ).SerializeToString()


def client(
    authority: Authority, *, certificate: bytes | None = None, key: bytes | None = None
) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.pem, key, certificate)


CLIENTS: dict[str, Callable[[Authority, Authority], grpc.ChannelCredentials | None]] = {
    "no certificate": lambda ours, theirs: client(ours),
    "another authority's": lambda ours, theirs: client(
        ours, **dict(zip(("certificate", "key"), theirs.pair(), strict=True))
    ),
    "expired": lambda ours, theirs: client(
        ours,
        **dict(zip(("certificate", "key"), ours.pair(lasts=timedelta(days=-1)), strict=True)),
    ),
    "plaintext": lambda ours, theirs: None,
}
"""Clients that trust our authority, and are not to be trusted."""
