"""What KServe's own clients say to a server of a weighted sum of 23 columns: kserve_talk.py URL GRPC. Prints what went well."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import kserve
import numpy as np

ROWS = np.random.default_rng(1).normal(size=(5, 23)).astype(np.float32)
WEIGHTS = np.arange(1, 24, dtype=np.float32)


def check(found: Any) -> None:
    assert np.allclose(np.asarray(found).ravel(), ROWS.astype(float) @ WEIGHTS, atol=1e-2), found


def request(binary: bool) -> kserve.InferRequest:
    given = kserve.InferInput("inputs", [5, 23], "FP32")
    given.set_data_from_numpy(ROWS, binary_data=binary)
    return kserve.InferRequest("risk", [given], parameters={"binary_data_output": True} if binary else {})


async def talk_v1(url: str) -> None:
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v1", retries=0))
    assert await client.is_server_live(url)
    assert await client.is_model_ready(url, "risk")
    check((await client.infer(url, {"instances": ROWS.tolist()}, model_name="risk"))["predictions"])
    await client.close()


async def talk_v2(url: str) -> None:
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, "risk")
    for binary in (False, True):
        check((await client.infer(url, request(binary), model_name="risk")).outputs[0].as_numpy())
    await client.close()


async def talk_grpc(address: str) -> None:
    client = kserve.InferenceGRPCClient(address)
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("risk")
    for binary in (False, True):
        check((await client.infer(request(binary))).outputs[0].as_numpy())
    await client.close()


def compare_messages() -> None:
    """Ours have every field of theirs, which are the standard's, with its number and type; and both may be in one process."""
    from google.protobuf import descriptor_pb2
    from kserve.protocol.grpc import grpc_predict_v2_pb2

    from fairway.serve.protocols import inference_messages

    standard = descriptor_pb2.FileDescriptorProto()
    grpc_predict_v2_pb2.DESCRIPTOR.CopyToProto(standard)
    compared = 0
    for message in standard.message_type:
        if message.name.startswith("Repository"):
            continue
        ours = descriptor_pb2.DescriptorProto()
        getattr(inference_messages, message.name).DESCRIPTOR.CopyToProto(ours)
        theirs, found = fields(message), fields(ours)
        assert theirs.items() <= found.items(), theirs.items() - found.items()
        compared += len(theirs)
    assert compared > 50


def fields(message: Any, prefix: str = "") -> dict[str, Any]:
    found = {f"{prefix}{message.name}.{one.name}": (one.number, one.type, one.label, one.type_name) for one in message.field}
    for inner in message.nested_type:
        found |= fields(inner, f"{prefix}{message.name}.")
    return found


if __name__ == "__main__":
    asyncio.run(talk_v1(sys.argv[1]))
    print("v1")
    asyncio.run(talk_v2(sys.argv[1]))
    print("v2")
    asyncio.run(talk_grpc(sys.argv[2]))
    print("grpc")
    compare_messages()
    print("messages")
