"""Every classifier's config takes a training step and a test step."""

import pytest
from config_steps import CLASSIFIERS, name_of, step_and_predict


@pytest.mark.large
@pytest.mark.parametrize('path', CLASSIFIERS, ids=name_of)
def test_step(path):
    cfg, _, prediction = step_and_predict(path)
    assert prediction.pred_score.shape == (cfg.model.head.num_classes,)
