import warnings

import numpy as np
import torch

from nni_nasoa.data import ImageArrays
from nni_nasoa.data.tensors import to_tensors


def test_a_mapped_part_stays_where_it_is_and_warns_nobody(tmp_path):
    np.save(tmp_path / "images.npy", np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images, labels = to_tensors(ImageArrays(mapped, np.array([5, 0, 7, 0])[::2]), torch.device("cpu"))
    assert images.data_ptr() == mapped.ctypes.data and np.array_equal(images.numpy(), mapped)
    assert labels.tolist() == [5, 7] and labels.dtype == torch.int64
