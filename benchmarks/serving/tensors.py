"""Binary tensors through tritonclient, as a script in its environment: PORT SECONDS MODEL FOLDER [OUTPUT]. Prints one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
import tritonclient.http as triton


def main(port: str, seconds: float, model: str, folder: str, output: str = "") -> None:
    x = np.load(f"{folder}/rows.npy").astype(np.float32)
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    tensor = triton.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=True)
    outputs = [triton.InferRequestedOutput(output, binary_data=True)] if output else None

    def once() -> np.ndarray:
        reply = client.infer("m", [tensor], outputs=outputs)
        return reply.as_numpy(reply.get_response()["outputs"][0]["name"])

    got = once()
    right = x if model == "identity" else np.load(f"{folder}/expected.npy")
    found = got if model == "identity" or got.ndim == 1 else got[:, -1]
    for _ in range(20):
        once()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
    right_enough = bool(np.allclose(found, right, atol=1e-4))
    print(json.dumps({"right": right_enough, "rows_s": len(x) * len(times) / sum(times), "p50_us": statistics.median(times) * 1e6}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
