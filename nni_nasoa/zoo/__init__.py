"""Named pretrained models, in the manner of timm: `list_models`, `get`, `create_model`.

A family is a module: `et_nas` holds the networks that the paper published, `torchvision_models` and `timm_models` those of
the two libraries, `searched` the networks of a front file that a search has written. Importing this package loads no torch;
`create_model` does. `staged.staged` gives every network the same form, for fine-tuning.
"""

from . import et_nas, timm_models, torchvision_models
from .family import Family, ModelInfo
from .registry import create_model, get, list_models, register_family
from .searched import FrontError, read_front

register_family(et_nas.FAMILY)
register_family(torchvision_models.FAMILY)
register_family(timm_models.FAMILY, timm_models.PREFIX)

__all__ = ["Family", "FrontError", "ModelInfo", "create_model", "get", "list_models", "read_front", "register_family"]
