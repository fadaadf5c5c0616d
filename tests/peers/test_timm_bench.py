import pytest
import torch

from twins_mm.bench import peers
from twins_mm.bench.peers import PEERS, build_ours


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
