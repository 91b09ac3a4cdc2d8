"""A client of a cnnf controller that knows nothing of it beforehand: calls and messages come by gRPC's reflection.

    from cnnf import Controller
    controller = Controller("admin.toml")
    for service in controller.TopologyService.ListServices().services: ...

A call is the name of a service, the name of a call, and the fields of its request by name; the answer is the message. docs/api.md lists them.
Needs Python 3.11, grpcio and grpcio-reflection.
"""

import time
import tomllib
import uuid

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "cnnf.v1"
# Answers are given within this time or not at all, in seconds. Streams have no end.
PATIENCE = 10


class Controller:
    """A controller, as the administrator or the API token of `admin.toml` or of a context of contexts.toml."""

    def __init__(self, admin):
        with open(admin, "rb") as file:
            context = tomllib.load(file)
        pem = {name: context[name].encode() for name in ("ca", "certificate", "key") if name in context}
        tls = grpc.ssl_channel_credentials(pem["ca"], pem.get("key"), pem.get("certificate"))
        if "token" in context:
            tls = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(context["token"]))
        self._channel = grpc.secure_channel(context["server"], tls)
        self._pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self._channel))

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Service(self._channel, self._pool.FindServiceByName(f"{PACKAGE}.{name}"))


class _Service:
    def __init__(self, channel, descriptor):
        self._channel, self._descriptor = channel, descriptor

    def __getattr__(self, name):
        call = self._descriptor.FindMethodByName(name)
        question, answer = GetMessageClass(call.input_type), GetMessageClass(call.output_type)
        path = f"/{self._descriptor.full_name}/{name}"
        kind = self._channel.unary_stream if call.server_streaming else self._channel.unary_unary
        ask = kind(path, question.SerializeToString, answer.FromString)
        patience = None if call.server_streaming else PATIENCE
        # A write with a key is made once, also if the channel's own retries send it again.
        return lambda **fields: ask(
            question(**fields), timeout=patience, metadata=(("idempotency-key", str(uuid.uuid4())),)
        )


def pages(call, field, **fields):
    """All entries of a list that comes in pages."""
    token = ""
    while True:
        answer = call(**fields, page={"token": token})
        yield from getattr(answer, field)
        token = answer.next_token
        if not token:
            return


def within(seconds, what, find):
    """What `find` finds once it is something, asked for again and again."""
    end = time.monotonic() + seconds
    while True:
        found = find()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.1)
