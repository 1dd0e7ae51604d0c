"""The architectures a checkpoint may have, by the name its card says. Free of torch; `networks.py` builds them."""

# The default pair: the detector, and either pose network.
EFFICIENTNET_LITE0_FPN = "efficientnet-lite0-fpn"
EFFICIENTNET_LITE1_FPN = "efficientnet-lite1-fpn"
# The reference pair, and the small Faster R-CNN that stands in for it in tests.
FASTER_RCNN_RESNET50 = "fasterrcnn-resnet50-fpn"
FASTER_RCNN_MOBILENET = "fasterrcnn-mobilenet-v3-large-320-fpn"
UNET = "unet-16-32-64-128"

# Checkpoints of these have weights alone: torchvision's Faster R-CNN does not export to ONNX, and the pose network
# trained beside it is served beside it.
_WITHOUT_GRAPH = frozenset({FASTER_RCNN_RESNET50, FASTER_RCNN_MOBILENET, UNET})


def has_graph(architecture: str) -> bool:
    """Whether a checkpoint of this architecture must have an ONNX graph; if not, it must have none."""
    return architecture not in _WITHOUT_GRAPH
