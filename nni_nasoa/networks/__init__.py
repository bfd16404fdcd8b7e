"""Networks of the ET-NAS space in PyTorch, and the published checkpoints in their terms."""

from .et_net import ETNet
from .published import WeightsError, convert_published
from .weights import load_weights

__all__ = ["ETNet", "WeightsError", "convert_published", "load_weights"]
