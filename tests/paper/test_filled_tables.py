from pathlib import Path

import pytest
from mmengine.config import Config
from report.work_dirs import train_line, write_start, write_test

CONFIGS = Path(__file__).parents[2] / 'configs'
UPERNET, RETINANET = 'upernet_twins_svt_s_160k', 'retinanet_twins_pcpvt_b_1x'
TOY = {'train_dataloader.dataset.data_root': 'data/toy/coco'}


@pytest.fixture
def tables(call_tool):
    """Runs the tool; returns its output and, of each table, the heads and `{backbone: cells}`."""

    def run(*args):
        output, found, backbone = call_tool('reproduce', *args), [], ''
        for line in output.splitlines():
            if not line.startswith('|') or line.startswith('| :'):
                continue
            name, *cells = (cell.strip() for cell in line.strip('|').split('|'))
            if name == 'backbone':
                found.append((cells, {}))
                continue
            if name.startswith('- '):
                name = f'{backbone} {name[2:]}'
            else:
                backbone = name
            found[-1][1][name] = cells
        return output, found

    return run


def finished(folder, name, lines, **changes):
    last = 160_000 if name == UPERNET else 87_950
    write_start(folder, CONFIGS / f'{name}.py', [train_line(last, 0.4, 1e-6), *lines], **changes)


def test_without_runs_it_is_the_papers(tables, tmp_path):
    (tmp_path / 'runs').mkdir()
    output, found = tables('runs')
    assert [len(rows) for _, rows in found] == [35 + 12, 16 + 12, 11 + 8, 11 + 8, 2, 5 + 4]
    for heads, rows in found:
        for name, cells in rows.items():
            assert len(cells) == len(heads)
            if name.endswith((' yours', ' difference')):
                assert set(cells) == {''}
    assert ' '.join(found[2][1]['Twins-SVT-B']) == (
        '163 67.0 45.3 66.7 48.1 28.5 48.9 60.6 46.9 68.0 50.2 31.7 50.3 61.8'
    )
    assert list(found[1][1])[:5] == [
        'ResNet50',
        'PVT-Small',
        'Twins-PCPVT-S',
        'Twins-PCPVT-S yours',
        'Twins-PCPVT-S difference',
    ]


def test_figures_and_differences(tables, tmp_path):
    finished(tmp_path / 'runs/a', UPERNET, [dict(mIoU=46.5, step=160_000)])
    write_test(
        tmp_path / 'runs/a',
        CONFIGS / f'{UPERNET}.py',
        dict(mIoU=46.9),
        'runs/a/iter_160000.pth',
        tta=True,
    )
    finished(
        tmp_path / 'runs/b',
        RETINANET,
        [{'coco/bbox_mAP': 0.45, 'coco/bbox_mAP_50': 0.65, 'coco/bbox_mAP_l': -1, 'step': 12}],
        **{'optim_wrapper.optimizer.lr': 3e-4},
    )
    output, (_, (heads, rows), (_, boxes), *_) = tables('runs')
    assert dict(zip(heads, rows['Twins-SVT-S yours'])) == {
        **dict.fromkeys(heads, ''),
        'UperNet mIoU': '46.5',
        'UperNet MS mIoU': '46.9',
    }
    assert rows['Twins-SVT-S difference'][-2:] == ['+0.3', '-0.2']
    assert boxes['Twins-PCPVT-B yours'][2:5] == ['45.0', '65.0', '']
    assert boxes['Twins-PCPVT-B difference'][2:5] == ['+0.7', '-0.6', '']
    assert set(boxes['Twins-PCPVT-B yours'][5:]) == {''}
    assert f'- {UPERNET}: last validation in runs/a\n' in output
    assert 'test of iter_160000.pth with --tta in runs/a' in output
    assert (
        'runs/b. NOT THE RECIPE: optim_wrapper.optimizer.lr is 0.0003 instead of 0.0001; '
        'values that differ: 1'
    ) in output


def test_classifiers_are_in_table_1(tables, tmp_path):
    write_start(
        tmp_path / 'runs/a',
        CONFIGS / 'imagenet/twins_svt_s.py',
        [train_line(300 * 1251, 2.8, 1e-5), {'accuracy/top1': 81.5, 'step': 300}],
        epoch_length=1251,
    )
    output, ((heads, rows), *_) = tables('runs')
    assert heads[-1] == 'top-1'
    assert [rows[f'Twins-SVT-S{line}'][-1] for line in ('', ' yours', ' difference')] == [
        '81.7',
        '81.5',
        '-0.2',
    ]
    assert '- twins_svt_s: last validation in runs/a\n' in output


def test_others_are_filled_where_they_were_trained(tables, tmp_path):
    """In each table that prints them, against its own figure."""
    for name, box_ap in (('retinanet_swin_t_1x', 0.42), ('retinanet_resnet_50_3x', 0.4)):
        write_start(
            tmp_path / 'runs' / name,
            CONFIGS / f'baselines/{name}.py',
            [train_line(36 * 7330, 0.4, 1e-6), {'coco/bbox_mAP': box_ap, 'step': 36}],
        )
    write_test(
        tmp_path / 'runs/r101',
        CONFIGS / 'baselines/upernet_resnet_101_160k.py',
        dict(mIoU=45.0),
        'iter_160000.pth',
        tta=True,
    )
    output, (_, (_, ade), (_, boxes), _, (_, swin), _) = tables('runs')
    assert (boxes['Swin-T yours'][2], boxes['Swin-T difference'][2]) == ('42.0', '+0.5')
    assert (swin['Swin-T yours'][2], swin['Swin-T difference'][2]) == ('42.0', '+0.5')
    assert (boxes['ResNet50 yours'][8], boxes['ResNet50 difference'][8]) == ('40.0', '+1.0')
    assert (ade['ResNet101 yours'][-1], ade['ResNet101 difference'][-1]) == ('45.0', '+0.1')
    assert not any(row.startswith('PVT-Small ') for row in boxes)
    assert '- retinanet_swin_t_1x: last validation in runs/retinanet_swin_t_1x\n' in output


@pytest.mark.parametrize('name', [UPERNET, f'{UPERNET}_released'])
def test_released_recipe_fills_the_papers_cell_and_is_named(name, tables, tmp_path):
    """Runs of both had one name once."""
    cfg = tmp_path / f'{name}.py'
    Config.fromfile(CONFIGS / f'released/{UPERNET}_released.py').dump(cfg)
    lines = [train_line(160_000, 0.4, 1e-6), dict(mIoU=46.5, step=160_000)]
    write_start(tmp_path / 'runs/a', cfg, lines)
    output, (_, (heads, rows), *_) = tables('runs')
    assert dict(zip(heads, rows['Twins-SVT-S yours']))['UperNet mIoU'] == '46.5'
    assert (f'- {name}: last validation in runs/a, by released/{UPERNET}_released.py\n') in output


def test_same_batch_on_fewer_gpus_is_the_recipe(tables, tmp_path):
    finished(
        tmp_path / 'runs/a',
        UPERNET,
        [dict(mIoU=46.5, step=160_000)],
        processes=4,
        **{'train_dataloader.batch_size': 4},
    )
    output, _ = tables('runs')
    assert f'- {UPERNET}: last validation in runs/a\n' in output


def test_what_is_left_out_is_said(tables, tmp_path):
    finished(tmp_path / 'runs/toy', UPERNET, [dict(mIoU=83.0, step=160_000)], **TOY)
    write_start(
        tmp_path / 'runs/half',
        CONFIGS / f'{UPERNET}.py',
        [train_line(80_000, 0.5, 3e-5), dict(mIoU=44.0, step=80_000)],
    )
    output, (_, (_, rows), *_) = tables('runs')
    assert set(rows['Twins-SVT-S yours']) == {''}
    assert '- runs/toy: a toy run' in output
    assert '- runs/half: not finished, at iteration 80,000 of 160,000' in output


def test_newest_run_counts(tables, tmp_path):
    for folder, miou, hour in (('z', 45.0, 8), ('a', 46.0, 9)):
        finished(
            tmp_path / 'runs' / folder,
            UPERNET,
            [dict(mIoU=miou, step=160_000)],
            start=f'20261120_{hour:02}0000',
        )
    _, (_, (_, rows), *_) = tables('runs')
    assert rows['Twins-SVT-S yours'][-2] == '46.0'


def test_checkpoint_that_was_only_tested(tables, tmp_path):
    write_test(
        tmp_path / 'runs/a',
        CONFIGS / f'{UPERNET}.py',
        dict(mIoU=46.24),
        'alt_gvt_small.pth',
        tta=False,
    )
    finished(tmp_path / 'runs/b', RETINANET, [])
    output, (_, (_, rows), *_) = tables('runs')
    assert rows['Twins-SVT-S yours'][-2:] == ['46.2', '']
    assert 'test of alt_gvt_small.pth in runs/a' in output


def test_no_folder_is_told(call_tool):
    output = call_tool('reproduce', 'none', status=1)
    assert 'Folder not found: none' in output
    assert 'Traceback' not in output
