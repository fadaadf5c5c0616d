"""docs/imagenet.md: from an architecture to a detector."""

import re
import shlex
from pathlib import Path

PAGE = (Path(__file__).parents[2] / 'docs/imagenet.md').read_text()
FILES = dict(re.findall(r'`(my_\w+\.py)`:\n\n```python\n(.*?)```', PAGE, re.DOTALL))
*_, COMMANDS = re.findall(r'```shell\n(.*?)```', PAGE, re.DOTALL)
# Of training runs: one iteration, few images.
FEW = [
    'train_cfg.max_iters=1',
    'train_dataloader.batch_size=2',
    'val_dataloader.dataset.indices=2',
    'test_dataloader.dataset.indices=2',
]


def test_documented_variant_is_pretrained_and_starts_a_detector(run_tool, toy_folder):
    for name, text in FILES.items():
        (toy_folder / name).write_text(text)
    outputs = []
    for line in COMMANDS.splitlines():
        _, tool, *args = shlex.split(re.sub(r'iter_\d+', 'iter_1', line))
        args = [f'{arg}/*1.jpg' if arg.startswith('data/toy') else arg for arg in args]
        more = FEW if '--cfg-options' in args else ['--cfg-options', *FEW]
        outputs.append(run_tool(Path(tool).stem, *args, *more))
    assert len(FILES) == 3 and len(outputs) == 5
    pretrained, tested, named, detector, found = outputs
    assert 'accuracy/top1' in pretrained and 'accuracy/top1' in tested
    assert 'stage norms newly initialised' in detector and 'Evaluating bbox' in detector
    assert ' images, ' in named and ' images, ' in found
