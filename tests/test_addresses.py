"""Where addresses in configs, docs and code lead: to servers that are known to be alive."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PLACES = [
    'configs',
    'docs',
    'twins_mm',
    'tools',
    'README.md',
    'CONTRIBUTING.md',
    'benchmarks/README.md',
    'model-index.yml',
]
# No server can be asked in a test. On this day none of them was known to be gone, as
# download.openmmlab.com is since June 2026, and with it mmengine's `open-mmlab://`.
CHECKED = '2026-11-30'
ALIVE = {
    'arxiv.org',
    'data.csail.mit.edu',
    'docs.nvidia.com',
    'dl.caffe.berkeleyvision.org',  # often down
    'download.pytorch.org',
    'github.com',
    'hf://',
    'huggingface.co',
    'image-net.org',
    'images.cocodataset.org',
    'mmengine.readthedocs.io',
    'openvinotoolkit.github.io',
    'pytorch.org',
    'supervision.roboflow.com',
    'www.cityscapes-dataset.com',
}
# Nobody's, or those of a user's own machine.
EXAMPLES = re.compile(r's3://|127\.0\.0\.1|(.+\.)?example\.(com|net|org)')


def list_addresses(text):
    """Pairs of a server, or a scheme that isn't the web's, and the address.

    Nothing follows a scheme that a text only mentions, and a host of one word is no server's.
    """
    for address in re.findall(r'[a-z][a-z0-9+.-]*://\w[^\s\'"`<>()\[\]{}|]*', text):
        scheme, host = re.match(r'(.+?://)([\w.-]*)', address).groups()
        if scheme not in ('http://', 'https://'):
            yield scheme, address
        elif '.' in host:
            yield host.rstrip('.'), address


def read_files():
    for place in PLACES:
        path = REPOSITORY / place
        for file in sorted(path.rglob('*')) if path.is_dir() else [path]:
            if file.suffix in ('.py', '.md', '.yml', '.html', '.css', '.js', '.json'):
                yield file.relative_to(REPOSITORY), file.read_text()


def test_addresses_lead_to_servers_that_are_alive():
    found = [
        (server, f'{file}: {address}')
        for file, text in read_files()
        for server, address in list_addresses(text)
        if not EXAMPLES.fullmatch(server)
    ]
    unknown = [f'{place} ({server})' for server, place in found if server not in ALIVE]
    assert not unknown, (
        f'Not among the servers that were alive on {CHECKED}. Open it, and add it to ALIVE:\n'
        + '\n'.join(unknown)
    )
    assert not (unused := ALIVE - {server for server, _ in found}), f'Remove from ALIVE: {unused}'


@pytest.mark.parametrize(
    ('text', 'servers'),
    [
        ("checkpoint='open-mmlab://resnet50_v1c')", ['open-mmlab://']),
        ('[weights](https://download.openmmlab.com/mmseg/a.pth), ', ['download.openmmlab.com']),
        ('pip install -f https://download.pytorch.org/whl/cpu', ['download.pytorch.org']),
        ('It is at https://arxiv.org.', ['arxiv.org']),
        ('hf://ORG/NAME, hf://timm/x.in1k', ['hf://', 'hf://']),
        ('`open-mmlab://` is gone, `http(s)://` is not', []),
        ("b'version https://git-lfs', http://localhost:7860", []),
        ('http://127.0.0.1:7860 and s3://bucket/coco', ['127.0.0.1', 's3://']),
    ],
)
def test_addresses_are_found(text, servers):
    assert [server for server, _ in list_addresses(text)] == servers
