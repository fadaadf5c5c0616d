"""Ours against the fixed reference, in turns in one process: never an absolute time."""

import pytest
import torch
from steps import fastest_steps


@pytest.mark.parametrize(
    ('variant', 'training', 'limit'),
    [
        ('svt_s', False, 1.0),
        ('svt_s', True, 1.15),
        ('pcpvt_s', False, 1.0),
        pytest.param('pcpvt_s', True, 1.15, marks=pytest.mark.large),
    ],
)
def test_ours_is_not_slower_than_the_textbook_form(variant, training, limit):
    ours, textbook = fastest_steps(
        ['twins_mm', 'textbook'], variant, training, torch.randn(1, 3, 512, 512), rounds=4
    )
    assert ours < textbook * limit
