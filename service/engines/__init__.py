"""What runs the networks. An engine takes batches of uint8 pictures and returns decoded numpy arrays."""

import os

# Newer ONNX Runtimes tell Microsoft of every start and every model, and keep files in ~/.cache, unless this is set
# before they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
