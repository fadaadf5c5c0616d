import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from twins_mm.benchmark import measure as bench
from twins_mm.benchmark.measure import Case, matmul_rate, measure
from twins_mm.benchmark.peers import ABLATION_PEERS, PEERS, ROW_PEERS, SEGMENTOR_PEERS
from twins_mm.models.variants import VARIANTS
from twins_mm.paper.figures import TABLES
from twins_mm.paper.flops import count_macs


def case(peer, training=False, size=(1, 64, 64), precision='float32'):
    return Case(peer, 'svt_s', training, precision, size, 'cpu')


@pytest.mark.parametrize(
    ('training', 'precision'),
    [
        (True, 'float32'),
        *(
            pytest.param(False, precision, marks=pytest.mark.large)
            for precision in ('float32', 'bfloat16')
        ),
    ],
)
def test_each_has_its_rounds(training, precision):
    said = []
    cases = [
        case(name, training, precision=precision) for name in ('matmul', 'twins_mm', 'textbook')
    ]
    results = measure(cases, 2, said.append)
    for result in results:
        assert result.error == ''
        assert len(result.seconds) == 2 and min(result.seconds) > 0
    parameters = 4 * 23_548_672
    for result in results[1:]:
        # Training adds gradients and AdamW's two averages.
        assert parameters * (4 if training else 1) < result.memory < parameters * 12
    assert said[-1] == 'round 2 of 2'


@pytest.mark.parametrize(('seconds', 'size'), [(0.01, 1024), (10.0, 512)])
def test_products_are_smaller_where_they_take_long(seconds, size, monkeypatch):
    """What `_serve` sends, the time over the share, is that of the products of full size."""
    monkeypatch.setattr(bench, 'MATMUL_SIZE', dict(cpu=1024))
    monkeypatch.setattr(bench, 'seconds_of', lambda _: seconds)
    step, share = bench._matmul(case('matmul'))
    with FlopCounterMode(display=False) as counter:
        step()
    assert counter.get_total_flops() == bench.MATMULS * 2 * size**3
    assert counter.get_total_flops() / share == matmul_rate(case('matmul'), 1.0)


def test_what_cannot_run_is_told_and_the_others_run():
    small, large, tiny = measure(
        [
            case('textbook'),
            case('textbook', size=(1, 60_000, 60_000)),
            case('twins_mm', size=(1, 4, 4)),
        ],
        1,
    )
    assert len(small.seconds) == 1
    assert (large.seconds, large.error) == ([], 'out of memory')
    assert tiny.error.startswith('images of 4 x 4 pixels are too small')


@pytest.mark.parametrize(
    ('peer', 'variant'),
    [
        (peer, variant)
        for peer in ('twins_mm', 'textbook', 'mmseg', 'Swin', 'PVT')
        for variant in VARIANTS
        if variant[-2:] in ('_s', '_b', '_l')
        and (peer in ('twins_mm', 'textbook') or 'stvit' not in variant)
    ],
)
def test_peers_are_what_their_names_say(peer, variant):
    model = PEERS[peer].build(variant)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    # The paper's Table 1, less its classifier; stage norms and position embeddings aside.
    expected = dict(
        twins_mm=dict(pcpvt=(23.6, 43.3, 60.5), svt=(23.5, 55.3, 98.2), stvit=(23.9, 50.1, 93.3)),
        Swin=dict.fromkeys(('pcpvt', 'svt'), (28, 49, 87)),
        PVT=dict.fromkeys(('pcpvt', 'svt'), (24, 43.7, 60.9)),
    )
    family, size = variant.split('_')
    assert millions == pytest.approx(
        expected.get(peer, expected['twins_mm'])[family]['sbl'.index(size)], rel=0.03
    )


@pytest.mark.parametrize('peer', ['mmseg', 'Swin'])
def test_peers_that_a_family_lacks_say_so(peer):
    with pytest.raises(Exception, match=f'{peer}.* STViT'):
        PEERS[peer].build('stvit_s')


# Table 5's parameters, less the classifier; of Table 6, those that convolutions don't have.
@pytest.mark.parametrize(
    ('peer', 'millions'),
    [
        ('svt_s_lll', 8.6),
        ('svt_s_llg', 23.0),
        ('svt_s_lllg', 21.7),
        ('svt_s_separable_convolution', 22.1),
        ('svt_s_average_pooling', 21.7),
    ],
)
def test_rows_of_the_ablations_are_peers(peer, millions):
    model = PEERS[peer].build('svt_s')
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
    with pytest.raises(ValueError, match='not an ablation of svt_b'):
        PEERS[peer].build('svt_b')


def test_ablations_are_measured_where_asked_for():
    from runpy import run_path

    from twins_mm.files.shipped import TOOLS

    assert len(ABLATION_PEERS) == 6
    assert not ABLATION_PEERS.keys() & run_path(str(TOOLS / 'benchmark.py'))['DEFAULT_PEERS']


def test_rows_of_table_1_are_peers():
    """All of its throughputs but CPVT's, which no library has, and ViT's, which is DeiT's."""
    with_throughput = {row for row, values in TABLES[1].rows.items() if values[2]}
    assert with_throughput - ROW_PEERS.keys() == {'CPVT-Small-GAP', 'CPVT-B', 'ViT-Base/16'}
    for row in ('Twins-PCPVT-S', 'Swin-T + CPVT', 'PVT-Small'):
        model = ROW_PEERS[row].build('')
        model.eval()
        (level,) = model(torch.zeros(1, 3, 64, 64))
        assert level.shape[2:] == (2, 2)
        # Without the classifier.
        millions = (sum(p.numel() for p in model.parameters()) + level.shape[1] * 1000) / 1e6
        assert millions == pytest.approx(TABLES[1].rows[row][0], rel=0.03)


def test_throughput_is_next_to_the_papers(call_tool, monkeypatch):
    monkeypatch.setattr(
        'twins_mm.benchmark.measure.measure',
        lambda cases, *_: [
            bench.Measurement([1.0, 1.0, 9.0] if case.peer == 'Twins-SVT-S' else [2.0], 0)
            for case in cases
        ],
    )
    output = call_tool('benchmark', 'throughput', '--rows', 'Twins-SVT-S', 'Swin-T', 'Swin-B')
    tables = dict.fromkeys(line for line in output.splitlines() if line.startswith('**'))
    if not torch.cuda.is_available():
        assert list(tables) == [
            f'**{size}, inference, 8 x 224 x 224, float32**' for size in ('small', 'large')
        ]
        assert [
            cell.strip()
            for line in output.splitlines()
            if line.startswith('| Swin')
            for cell in line.strip('|').split('|')
        ] == ['Swin-T', '4.00', '766', '2.00', '1.38', 'Swin-B', '4.00', '275', '', '1.05']


@pytest.mark.parametrize(
    ('title', 'macs'),
    [  # as tests/paper/test_costs.py has them
        ('Semantic FPN', 36.65 + 1.98),
        ('SegFormer head', 22.63),
    ],
)
def test_segmentors_are_whole_without_what_training_needs(title, macs):
    with torch.device('meta'):
        model = SEGMENTOR_PEERS[title].build('svt_s').eval()
        images = torch.empty(1, 3, 512, 512)
        assert model(images).shape == (1, 150, 128, 128)
        assert sum(count_macs(model, images)) / 1e9 == pytest.approx(macs, abs=0.01)


def test_segmentor_has_no_auxiliary_head():
    with torch.device('meta'):
        assert not SEGMENTOR_PEERS['UperNet'].build('svt_s').with_auxiliary_head
