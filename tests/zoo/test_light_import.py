"""What stands in the place of torch._dynamo while timm is imported, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import sys
from nni_nasoa.zoo import light_import
"""


def python(text):
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", BEGIN + text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("model", ["lite0", "timm/resnet18", "resnet18"])
def test_a_network_is_made_and_run_without_torch_dynamo(model):
    names = python(f"""
import torch
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.staged import staged
view = staged(create_model({model!r}, 10), {model!r}).eval()
assert view(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
print(*(name for name in ("timm", "torch._dynamo", "wandb") if name in sys.modules))
""")
    assert names in (["timm"], [])


def test_afterwards_all_is_as_after_a_plain_import():
    python("""
import torch
timm = light_import.imported("timm")
assert light_import.imported("timm.models") is timm.models
import torchvision, wandb
from torchvision.ops import roi_align
from torchvision.ops import roi_align as function
assert function(torch.ones(1, 3, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], 2).shape == (1, 3, 2, 2)
torch.use_deterministic_algorithms(True)
function(torch.ones(1, 3, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], 2)
import importlib
module = importlib.import_module("torchvision.ops.roi_align")
assert module.is_compile_supported("cpu") in (True, False) and "torch._dynamo" in sys.modules
import torch._dynamo
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.__spec__ is not None
doubled = torch.compile(lambda x: 2 * x, backend="eager")
assert doubled(torch.ones(2)).tolist() == [2, 2]
assert wandb is sys.modules["wandb"] and wandb.__file__ and timm.utils.summary.wandb.__name__ == "wandb"
assert timm.utils.summary.wandb.init is wandb.init
""")


@pytest.mark.parametrize("asked", ["from torch._dynamo.utils import counters", "torch._dynamo.reset()"])
def test_what_is_not_known_there_is_asked_of_the_module_itself(asked):
    python(f"""
import torch
with light_import._others_aside():
    import torch._dynamo
    from torch._dynamo.utils import is_compile_supported
    assert torch._dynamo.__spec__ is None
    {asked}
    import torch._dynamo
    from torch._dynamo.utils import counters
    assert torch._dynamo.__spec__ is not None and torch._dynamo.utils.counters is counters
    assert sys.modules["torch._dynamo.utils"].__spec__ is not None
assert sys.modules["torch._dynamo"] is torch._dynamo
""")


def test_what_is_there_already_stays():
    python("""
import torch, torch._dynamo
before = torch._dynamo
light_import.imported("timm")
assert torch._dynamo is before is sys.modules["torch._dynamo"]
""")
