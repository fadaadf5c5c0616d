import pytest
import torch
from steps import fastest_steps

from twins_mm.benchmark import peers
from twins_mm.benchmark.peers import PEERS, build_ours


@pytest.mark.parametrize('variant', ['pcpvt_s', 'svt_s'])
def test_timm_is_a_peer_with_our_weights(variant, monkeypatch):
    assert PEERS['timm'].is_installed
    ours = build_ours(variant, norm_after_stage=False).eval().double()
    monkeypatch.setattr(peers, 'build_ours', lambda *_, **__: ours)
    theirs = PEERS['timm'].build(variant).eval().double()
    images = torch.randn(1, 3, 224, 224).double()
    with torch.no_grad():
        expected = theirs(images)
        found = theirs.norm(ours(images)[-1].flatten(2).transpose(1, 2)).mean(1)
    torch.testing.assert_close(found, expected)


def test_timm_has_no_stvit():
    with pytest.raises(Exception, match='timm.* STViT'):
        PEERS['timm'].build('stvit_s')


@pytest.mark.parametrize('training', [False, True])
def test_ours_is_not_slower_than_timms(training):
    """A tenth is noise: measured, timm's takes longer."""
    ours, timm = fastest_steps(
        ['twins_mm', 'timm'], 'svt_s', training, torch.randn(2, 3, 224, 224), rounds=8
    )
    assert ours < timm * 1.1
