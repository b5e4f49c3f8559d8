"""The messages of rapid.proto, built by the protobuf that is installed when this is first imported.

The code that protoc generates refuses a protobuf of another major version than its own or the next. The
messages are therefore built from their descriptor, which any protobuf reads. Their types are in
rapid_pb2.pyi, which protoc generates.
"""

import google.protobuf

from rapid.proto.descriptor import FILE

OLDEST = (4, 25)
REQUIREMENT = "protobuf>=4.25,<9"

_UNSUPPORTED = (
    f"unsupported protobuf: {google.protobuf.__version__} is installed, and rapid-membership needs "
    f"{REQUIREMENT}; install it with: python -m pip install '{REQUIREMENT}'"
)

if tuple(int(number) for number in google.protobuf.__version__.split(".")[:2]) < OLDEST:
    raise ImportError(_UNSUPPORTED)
try:
    from google.protobuf import descriptor_pool, message_factory

    # A pool of its own: that of the process takes one file of a name, and one message of a name. A second
    # copy of this library, of another version, would not load there, nor would another rapid.v1.
    DESCRIPTOR = descriptor_pool.DescriptorPool().AddSerializedFile(FILE)
    for _name, _descriptor in DESCRIPTOR.message_types_by_name.items():
        globals()[_name] = message_factory.GetMessageClass(_descriptor)
except (AttributeError, ImportError, TypeError) as error:
    raise ImportError(_UNSUPPORTED) from error
