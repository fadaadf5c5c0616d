"""What can be wrong with a data set, one row each."""

from collections.abc import Mapping
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of fault: what it is called, whether it breaks or poisons training, what to do."""

    title: str
    is_error: bool
    advice: str


class Fault(NamedTuple):
    """A fault: its row in `KINDS`, the image or other file, and where in it.

    `box` is left, top, right, bottom in pixels; `labels` the path of a label map.
    """

    kind: str
    path: str
    detail: str = ''
    box: tuple[float, ...] | None = None
    labels: str | None = None


class ImageContents(NamedTuple):
    """What is in an image: how much of each label, the size of each object, and what is wrong.

    Amounts are objects or pixels; a size is the square root of a box's area, in pixels.
    """

    amounts: Mapping[int, int] = {}
    sizes: tuple[float, ...] = ()
    findings: tuple[Fault, ...] = ()


_CORRECT = 'Correct the annotation, or leave the image out. '
_DROPPED = 'mmdet leaves such objects out without a message; their pixels count as background. '

KINDS = dict(
    # The data set as a whole.
    no_images=Kind(
        'The data set is empty',
        True,
        'Look at ann_file and data_prefix, and at img_suffix if the images come from a folder.',
    ),
    class_count=Kind(
        'num_classes is not the number of classes',
        True,
        'Set num_classes in each head to the number of names in metainfo.classes. `use_own_data` '
        'does it.',
    ),
    class_not_in_file=Kind(
        'Classes that the annotation file does not have',
        True,
        'mmdet drops classes that it does not find, and all later ones move up. Write the names in '
        '`classes` exactly as the file does, and list all categories in each file, also those '
        'without an object in it.',
    ),
    class_order=Kind(
        'Classes in another order than in the annotation file',
        True,
        "mmdet numbers classes in the file's order and names them in the order of `classes`, so "
        "predictions get wrong names. Use the file's order, the same in each file.",
    ),
    repeated_category=Kind(
        'Categories of the same name',
        True,
        'They get different numbers, more than there are classes. Merge them in the file.',
    ),
    evaluator_file=Kind(
        'The evaluator reads another annotation file',
        True,
        "Set the evaluator's ann_file to that of the data set. `use_own_data` does it.",
    ),
    never_seen=Kind(
        'Classes without an example',
        False,
        'They cannot be learned from this set, or measured on it. Look for the reason in the '
        'names or values above, or drop the class.',
    ),
    shifted_labels=Kind(
        'The last class is never seen, and 0 means "not labelled"',
        False,
        'With reduce_zero_label=True, the first class is 1. If 0 is your first class, set '
        'reduce_zero_label=False.',
    ),
    only_background=Kind(
        'The only labels are 0 and 255',
        True,
        '255 means "not labelled" and is ignored, so there is nothing to tell apart. Write masks '
        'of 0 and 255 as 0 and 1.',
    ),
    unused_files=Kind(
        'Images with another suffix',
        False,
        'The data set reads only files that end in img_suffix. Convert or rename the others.',
    ),
    in_two_sets=Kind(
        'Images of another set',
        False,
        'They have the same pixels. Results on images that were trained on are too good.',
    ),
    # Images.
    unreadable=Kind(
        'Images that cannot be read',
        True,
        'Training stops when it comes to such an image. Copy the file again, or remove it from the '
        'annotations.',
    ),
    backslash=Kind(
        'Images whose paths have a backslash',
        True,
        'Windows separates folders by a backslash, other systems by a slash, which works on both: '
        "replace it in the annotation file's names.",
    ),
    wrong_size=Kind(
        'Images whose size differs from the annotation',
        True,
        'Boxes and masks are in the wrong place. Often, photographs were resized after labelling, '
        'or the labelling tool ignored their EXIF orientation, which mmcv applies.',
    ),
    # Objects.
    unknown_category=Kind(
        'Objects with a category_id that is not among the categories',
        True,
        _DROPPED + 'Ids may be any numbers, but each must be the id of a category. Often, one list '
        'starts at 0 and the other at 1.',
    ),
    other_class=Kind(
        'Objects of other classes',
        False,
        _DROPPED + 'That is right if you train on some of the classes; else add the names to '
        '`classes`.',
    ),
    no_area=Kind(
        'Boxes without area',
        False,
        _DROPPED + 'Boxes are x, y, width, height in pixels, and at least one pixel wide and high; '
        'widths below 1 are often shares of the image, as in YOLO files.',
    ),
    no_area_field=Kind(
        'Objects whose area is 0 in the file',
        False,
        _DROPPED + 'Compute the field `area`: of the mask, or of the box.',
    ),
    outside=Kind('Boxes outside the image', False, _DROPPED + _CORRECT),
    beyond_edge=Kind(
        'Boxes that reach beyond the image',
        False,
        _CORRECT + 'If there are many, the file may have x1, y1, x2, y2 where COCO has x, y, '
        'width, height.',
    ),
    no_objects=Kind(
        'No objects are left', True, 'Nothing can be learned. The other findings say why.'
    ),
    orphans=Kind(
        'Annotations of images that the file does not list',
        False,
        'They are ignored. Look for the image_id among the images.',
    ),
    # Masks.
    no_mask=Kind(
        'Objects without a mask',
        True,
        "Mask R-CNN stops there with KeyError: 'mask'. Label the outlines too, or train a detector "
        'of boxes, such as RetinaNet.',
    ),
    broken_polygon=Kind(
        'Polygons with fewer than three corners', False, 'mmdet ignores such objects. ' + _CORRECT
    ),
    empty_mask=Kind('Masks that cover no pixel', False, _CORRECT),
    mask_size=Kind(
        'Masks of another size than the image',
        True,
        'Training stops there. The field `size` of an RLE is height, width.',
    ),
    # Label maps.
    unreadable_labels=Kind(
        'Label maps that are missing or cannot be read',
        True,
        "A label map has its image's name, with seg_map_suffix, in the folder seg_map_path.",
    ),
    colours=Kind(
        'Label maps with colours instead of labels',
        True,
        'A label map has one channel, whose values are the numbers of classes. Map each colour to '
        'its class: most tools export either. PNGs with a palette are fine.',
    ),
    large_values=Kind(
        'Label maps with values over 255',
        True,
        'mmseg reads 8 bits, so 256 becomes 0. Save 8-bit maps with values up to 254.',
    ),
    value_without_class=Kind(
        'Values that no class has',
        True,
        'Values are 0 to the number of classes less 1, and 255 for "not labelled". If yours start '
        'at 1, and 0 is not labelled, set reduce_zero_label=True; if 0 is the background, add it '
        'to `classes`.',
    ),
    labels_size=Kind(
        'Label maps of another size than the image', True, 'Export both at the same size.'
    ),
    unlabelled=Kind('Images without any label', False, 'All of their pixels are ignored.'),
)
