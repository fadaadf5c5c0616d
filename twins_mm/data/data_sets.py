"""What the full data sets consist of: archives, folders, and how many files are in each."""
from pathlib import Path
from typing import NamedTuple


class Archive(NamedTuple):
    """An official archive: its address, and how many files match each pattern once unpacked."""
    url: str
    contents: dict[str, int]

    @property
    def name(self) -> str:
        return self.url.rpartition('/')[2]

    def find_faults(self, root: Path) -> list[str]:
        """What of its contents is not in `root`, or not in the right number: a line for each."""
        counts = {pattern: sum(1 for _ in root.glob(pattern)) for pattern in self.contents}
        return [f'{pattern}: {counts[pattern]:,} of {expected:,} files'
                for pattern, expected in self.contents.items() if counts[pattern] != expected]


class Layout(NamedTuple):
    """A data set as the configs expect it: in `folder`, below the current folder."""
    name: str
    dataset: str
    folder: Path
    archives: tuple[Archive, ...]

    def find_faults(self, root: Path) -> list[str]:
        """What is not in `root`, or not in the right number: a line for each."""
        return [fault for archive in self.archives for fault in archive.find_faults(root)]

    def describe(self) -> list[str]:
        """A line for each kind of file: where it is, and how many there are."""
        return [f'{pattern:40} {count:>8,}'
                for archive in self.archives for pattern, count in archive.contents.items()]


LAYOUTS = dict(
    coco=Layout('COCO 2017', 'CocoDataset', Path('data/coco'), (
        Archive('http://images.cocodataset.org/zips/train2017.zip',
                {'train2017/*.jpg': 118_287}),
        Archive('http://images.cocodataset.org/zips/val2017.zip',
                {'val2017/*.jpg': 5_000}),
        Archive('http://images.cocodataset.org/annotations/annotations_trainval2017.zip',
                {'annotations/instances_train2017.json': 1,
                 'annotations/instances_val2017.json': 1}))),
    ade20k=Layout('ADE20K (scene parsing 2016)', 'ADE20KDataset',
                  Path('data/ade/ADEChallengeData2016'), (
        Archive('http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip',
                {'images/training/*.jpg': 20_210,
                 'images/validation/*.jpg': 2_000,
                 'annotations/training/*.png': 20_210,
                 'annotations/validation/*.png': 2_000}),)))
