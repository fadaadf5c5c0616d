from pathlib import PurePath
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from twins_mm.tasks import TASKS


@pytest.mark.parametrize(
    ('reduce_zero_label', 'classes', 'expected', 'dtype'),
    [
        (True, 150, [1, 150], np.uint8),
        (False, 150, [0, 149], np.uint8),
        (None, 300, [0, 299], np.uint16),
    ],
)
def test_labels_have_the_data_sets_numbers(reduce_zero_label, classes, expected, dtype, tmp_path):
    meta = dict(classes=range(classes), reduce_zero_label=reduce_zero_label)
    sample = SimpleNamespace(pred_sem_seg=SimpleNamespace(data=torch.tensor([[[0, classes - 1]]])))
    output = TASKS['semantic_segmentation'].open_output(tmp_path, meta)
    assert output.add(PurePath('x'), sample) == []
    labels = cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED)
    assert labels.tolist() == [expected] and labels.dtype == dtype
