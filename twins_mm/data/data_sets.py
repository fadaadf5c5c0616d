"""The known data sets, a row each: where they are and what they contain."""

from pathlib import Path
from typing import NamedTuple

TOY_ROOT = Path('data/toy')


class Archive(NamedTuple):
    """An official archive: its URL, and how many unpacked files match each pattern."""

    url: str
    contents: dict[str, int]

    @property
    def name(self) -> str:
        return self.url.rpartition('/')[2]

    def find_faults(self, root: Path) -> list[str]:
        """The patterns with the wrong number of files in `root`, one line each."""
        return [
            f'{pattern}: {count:,} of {expected:,} files'
            for pattern, expected in self.contents.items()
            if (count := sum(1 for _ in root.glob(pattern))) != expected
        ]


class DataSet(NamedTuple):
    """A data set as the configs expect it, in `folder` under the current folder.

    Attributes:
        dataset: OpenMMLab's class as its registry names it, with the library.
        splits: Where the folder has the images and annotations for training and validation, as
            arguments of the class.
        filter_cfg: Which images training skips.
        epoch: The number of training images, without those.
        example: A config that trains on it.
        commands: What unpacks the archives in folder {archives}, where `prepare_data` doesn't.
    """

    title: str
    dataset: str
    folder: Path
    archives: tuple[Archive, ...]
    splits: dict[str, dict]
    filter_cfg: dict
    epoch: int
    num_classes: int
    example: str
    commands: str = ''

    @property
    def type(self) -> str:
        """What configs of the library call the class."""
        return self.dataset.partition('.')[2]

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of labels; importing the library takes seconds."""
        from mmengine.registry import DATASETS

        return DATASETS.get(self.dataset).METAINFO['classes']

    @property
    def toy_folder(self) -> Path:
        return TOY_ROOT / self.folder.name

    def find_faults(self, root: Path) -> list[str]:
        """The patterns with the wrong number of files in `root`, one line each."""
        return [fault for archive in self.archives for fault in archive.find_faults(root)]


DATA_SETS = dict(
    coco=DataSet(
        'COCO 2017',
        'mmdet.CocoDataset',
        Path('data/coco'),
        (
            Archive(
                'http://images.cocodataset.org/zips/train2017.zip', {'train2017/*.jpg': 118_287}
            ),
            Archive('http://images.cocodataset.org/zips/val2017.zip', {'val2017/*.jpg': 5_000}),
            Archive(
                'http://images.cocodataset.org/annotations/annotations_trainval2017.zip',
                {
                    'annotations/instances_train2017.json': 1,
                    'annotations/instances_val2017.json': 1,
                },
            ),
        ),
        splits={
            split: dict(
                ann_file=f'annotations/instances_{split}2017.json',
                data_prefix=dict(img=f'{split}2017/'),
            )
            for split in ('train', 'val')
        },
        filter_cfg=dict(filter_empty_gt=True),
        epoch=117_266,
        num_classes=80,
        example='retinanet_twins_svt_s_1x',
    ),
    ade20k=DataSet(
        'ADE20K (scene parsing 2016)',
        'mmseg.ADE20KDataset',
        Path('data/ade/ADEChallengeData2016'),
        (
            Archive(
                'http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip',
                {
                    'images/training/*.jpg': 20_210,
                    'images/validation/*.jpg': 2_000,
                    'annotations/training/*.png': 20_210,
                    'annotations/validation/*.png': 2_000,
                },
            ),
        ),
        splits={
            split: dict(
                data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'annotations/{folder}')
            )
            for split, folder in (('train', 'training'), ('val', 'validation'))
        },
        filter_cfg={},
        epoch=20_210,
        num_classes=150,
        example='upernet_twins_svt_s_160k',
    ),
    cityscapes=DataSet(
        'Cityscapes (fine annotations)',
        'mmseg.CityscapesDataset',
        Path('data/cityscapes'),
        (
            Archive(
                'https://www.cityscapes-dataset.com/file-handling/?packageID=3',
                {
                    'leftImg8bit/train/*/*_leftImg8bit.png': 2_975,
                    'leftImg8bit/val/*/*_leftImg8bit.png': 500,
                },
            ),
            # The archive has the polygons that these are made of.
            Archive(
                'https://www.cityscapes-dataset.com/file-handling/?packageID=1',
                {
                    'gtFine/train/*/*_gtFine_labelTrainIds.png': 2_975,
                    'gtFine/val/*/*_gtFine_labelTrainIds.png': 500,
                },
            ),
        ),
        splits={
            split: dict(
                data_prefix=dict(img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}')
            )
            for split in ('train', 'val')
        },
        filter_cfg={},
        epoch=2_975,
        num_classes=19,
        example='segformer/segformer_twins_svt_s_160k_cityscapes',
        commands="""\
# The two archives are at https://www.cityscapes-dataset.com/downloads, for registered users.
mkdir -p data/cityscapes
python -m zipfile -e {archives}/leftImg8bit_trainvaltest.zip data/cityscapes
python -m zipfile -e {archives}/gtFine_trainvaltest.zip data/cityscapes
pip install cityscapesscripts
CITYSCAPES_DATASET=$PWD/data/cityscapes csCreateTrainIdLabelImgs
""",
    ),
    imagenet=DataSet(
        'ImageNet-1K (ILSVRC 2012)',
        'mmpretrain.ImageNet',
        Path('data/imagenet'),
        (
            Archive(
                'https://image-net.org/data/ILSVRC/2012/ILSVRC2012_img_train.tar',
                {'train/*/*.JPEG': 1_281_167},
            ),
            Archive(
                'https://image-net.org/data/ILSVRC/2012/ILSVRC2012_img_val.tar',
                {'val/**/*.JPEG': 50_000},
            ),
        ),
        splits={split: dict(split=split, data_prefix=split) for split in ('train', 'val')},
        filter_cfg={},
        epoch=1_281_167,
        num_classes=1000,
        example='imagenet/twins_svt_s',
        commands="""\
mkdir -p data/imagenet/train data/imagenet/val data/imagenet/meta
cd data/imagenet
tar -xf {archives}/ILSVRC2012_img_train.tar -C train
for tar in train/*.tar; do
  mkdir "${{tar%.tar}}" && tar -xf "$tar" -C "${{tar%.tar}}" && rm "$tar"
done
tar -xf {archives}/ILSVRC2012_img_val.tar -C val
curl http://dl.caffe.berkeleyvision.org/caffe_ilsvrc12.tar.gz | tar -xz -C meta train.txt val.txt
""",
    ),
)
