import numpy as np

from nni_nasoa.data.uneven import are_uneven, uneven_line


def test_the_line_names_the_largest_and_the_smallest_class():
    labels = np.repeat([0, 1, 2], [50, 500, 5])
    line = uneven_line(("a", "big\n", "small"), labels)
    assert line == "classes are uneven: 'big\\n' has 500 images to train on, 'small' 5"
    assert uneven_line(("a", "b"), np.repeat([0, 1], [50, 6])) is None
    assert are_uneven(0, 10) and not are_uneven(0, 9) and not are_uneven(2, 19)
