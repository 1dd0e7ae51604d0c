"""From a checkpoint to its network in torch: which class stands behind an architecture's name."""

from collections.abc import Callable

from safetensors.torch import load_file
from torch import Tensor

from service.models import architectures
from service.models.checkpoint import Checkpoint, CheckpointError
from service.models.detector import HandDetector
from service.models.faster_rcnn import HandFasterRCNN
from service.models.pose import HandPose
from service.models.unet import HandUNet

DetectorNetwork = HandDetector | HandFasterRCNN
PoseNetwork = HandPose | HandUNet


# By task and architecture; each takes the architecture and the input size.
NETWORKS: dict[tuple[str, str], Callable[[str, int], DetectorNetwork | PoseNetwork]] = {
    ("detector", architectures.EFFICIENTNET_LITE0_FPN): lambda *_: HandDetector(),
    ("detector", architectures.FASTER_RCNN_RESNET50): HandFasterRCNN,
    ("detector", architectures.FASTER_RCNN_MOBILENET): HandFasterRCNN,
    ("pose", architectures.EFFICIENTNET_LITE0_FPN): lambda *_: HandPose("lite0"),
    ("pose", architectures.EFFICIENTNET_LITE1_FPN): lambda *_: HandPose("lite1"),
    ("pose", architectures.UNET): lambda *_: HandUNet(),
}


def load_network(checkpoint: Checkpoint) -> DetectorNetwork | PoseNetwork:
    """The checkpoint's network with its weights, in float32 on the CPU, in evaluation mode.

    Raises CheckpointError for an architecture that is not known for its task, and for weights of another network.
    """
    card = checkpoint.card
    build = NETWORKS.get((card.task, card.architecture))
    if build is None:
        known = sorted(name for task, name in NETWORKS if task == card.task)
        raise CheckpointError(
            f"{checkpoint.folder}: there is no {card.task} network {card.architecture!r}, only {', '.join(known)}"
        )
    network = build(card.architecture, card.input_size)
    state = load_file(checkpoint.weights)
    _check(checkpoint, state, network.state_dict())
    network.load_state_dict(state)  # into float32, whatever they are stored as
    return network.eval()


def _check(checkpoint: Checkpoint, state: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    def refuse(what: str) -> None:
        raise CheckpointError(
            f"{checkpoint.weights}: not the weights of {checkpoint.card.architecture}: {what}"
        )

    for name, tensor in own.items():
        if name not in state:
            refuse(f"{name} is missing")
        if state[name].shape != tensor.shape:
            refuse(f"{name} is {tuple(state[name].shape)}, expected {tuple(tensor.shape)}")
    for name in state:
        if name not in own:
            refuse(f"it has no {name}")
