import torch

from twins_mm.benchmark.peers import PEERS
from twins_mm.benchmark.timing import interleave, seconds_of


def fastest_steps(peers, variant, training, images, rounds):
    """The shortest step of each peer, in turns in one process: forward and, in training, back."""

    def make_step(peer):
        model = PEERS[peer].build(variant).train(training)

        def step():
            with torch.set_grad_enabled(training):
                levels = model(images)
            if training:
                sum(level.mean() for level in levels).backward()

        return step

    return map(min, interleave(seconds_of, list(map(make_step, peers)), rounds))
