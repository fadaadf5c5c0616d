"""The page in a real browser, without a network. `make test-web` installs what this needs."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright import sync_api as api

from twins_mm.cli import load_config
from twins_mm.demo import browser_page
from twins_mm.demo.shown_model import ShownModel, View

# Without one, playwright looks for its own, and says what to do.
CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
FLAGS = [
    '--no-sandbox',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
]
OPTIONS = {
    'mask_rcnn_twins_pcpvt_s_1x': {
        'model.test_cfg.rcnn.score_thr': 0.0,
        'model.test_cfg.rcnn.max_per_img': 5,
    },
    'semantic_fpn_twins_svt_s_80k': {},
}
WIDTH, HEIGHT = 160, 120
SECOND = 1000  # milliseconds
api.expect.set_options(timeout=60 * SECOND)


@pytest.fixture(scope='module')
def runs():
    """The names of the models whose networks have run."""
    return []


@pytest.fixture(scope='module')
def models(make_tiny_config, save_model, tmp_path_factory, runs):
    folder, shown = tmp_path_factory.mktemp('models'), []
    for name, options in OPTIONS.items():
        config = make_tiny_config(name, folder / f'{name}.py')
        save_model(config, folder / f'{name}.pth')
        cfg = load_config(
            str(config), {**options, 'test_dataloader.dataset.pipeline.1.scale': (256, 192)}
        )
        model = ShownModel(cfg, str(folder / f'{name}.pth'))
        model.predictor.model.backbone.register_forward_hook(
            lambda *_, name=name: runs.append(name)
        )
        shown.append(model)
    return shown


@pytest.fixture(scope='module')
def address(models):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_page, 'MAX_BYTES', 200_000)
        with browser_page.serve(models, 0, '127.0.0.1', None) as address:
            yield address


@pytest.fixture(scope='module')
def browser():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """Opens the page in a new context; at the end, nothing may have been asked from elsewhere."""
    contexts, requests, errors = [], [], []

    def open_in(**options):
        context = browser.new_context(**{'viewport': dict(width=1200, height=900), **options})
        contexts.append(context)
        page = context.new_page()
        page.on('request', lambda request: requests.append(request.url))
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.goto(address)
        return page

    yield open_in
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith((address, 'blob:', 'data:'))] == []
    assert errors == []


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / 'street.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    return path


def choose(page, path):
    page.locator('input[type=file]').set_input_files(path)


def show(page, photograph):
    choose(page, photograph)
    api.expect(page.locator('#status')).to_contain_text('160 × 120 pixels')
    api.expect(page.get_by_text('Download prediction (PNG)')).to_be_enabled()
    api.expect(picture(page)).to_have_js_property('naturalWidth', WIDTH)  # it has loaded


def picture(page, number=0):
    return page.get_by_alt_text(re.compile('^Photograph with')).nth(number)


def attention(page):
    return page.get_by_alt_text(re.compile('^Attention of mask_rcnn'))


def slider(page, name):
    return page.get_by_label(f'range slider for {name}')


def download(page, target):
    with page.expect_download() as download:
        target.click()
    return Path(download.value.path())


def test_slider_redraws_without_the_network(open_page, photograph, runs):
    page, before = open_page(), len(runs)
    show(page, photograph)
    assert runs[before:] == list(OPTIONS)
    rows = page.locator('.found.prose').first.locator('tr')
    api.expect(rows).to_have_count(1 + 5)
    full = picture(page).get_attribute('src')
    slider(page, 'Score').press('End')
    api.expect(picture(page)).to_have_attribute('alt', 'Photograph with nothing found')
    api.expect(rows).to_have_count(1)
    assert picture(page).get_attribute('src') != full
    assert len(runs) == before + 2


def test_downloads(open_page, photograph):
    page = open_page()
    show(page, photograph)
    found = json.loads(download(page, page.get_by_text('Download prediction (JSON)')).read_text())
    assert len(found['annotations']) == 5 and 'segmentation' in found['annotations'][0]
    assert found['images'][0] == dict(id=1, file_name='street.png', width=WIDTH, height=HEIGHT)
    for target in (
        page.get_by_text('Download prediction (PNG)'),
        page.get_by_label('Download', exact=True).first,
    ):
        assert cv2.imread(str(download(page, target))).shape == (HEIGHT, WIDTH, 3)


def test_attention_at_a_click_and_by_keyboard(open_page, photograph, runs):
    page = open_page()
    slider(page, 'Percent of the width').press('Home')
    api.expect(page.locator('#status')).to_have_text('Choose a photograph first.')
    show(page, photograph)
    box, before = picture(page).bounding_box(), len(runs)
    picture(page).click(position=dict(x=box['width'] * 0.75, y=box['height'] * 0.25))
    api.expect(attention(page)).to_have_attribute(
        'alt', re.compile('at 7[456]% of the width and 2[456]% of the height')
    )
    assert float(slider(page, 'Percent of the width').input_value()) == pytest.approx(75, abs=1)
    slider(page, 'Percent of the height').press('End')
    api.expect(attention(page)).to_have_attribute('alt', re.compile('and 100% of the height'))
    assert len(runs) == before + 2  # each backbone once for both points


def test_camera(open_page):
    page = open_page(permissions=['camera'])
    page.get_by_label('Capture from camera').click()
    page.get_by_text(re.compile('Click to Access Webcam', re.IGNORECASE)).click()
    # Before the first frame, there is nothing to capture.
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    page.get_by_label('capture photo').click()
    api.expect(page.locator('#status')).to_contain_text('pixels')
    api.expect(picture(page)).to_be_visible()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'<html>', 'This file could not be read as an image. Use a JPEG or PNG file.'),
        (bytes(300_000), 'exceed the maximum allowed size'),
    ],
    ids=['broken', 'large'],
)
def test_bad_file_is_a_sentence_on_the_page(content, message, open_page, photograph, tmp_path):
    page = open_page()
    (tmp_path / 'bad.png').write_bytes(content)
    choose(page, tmp_path / 'bad.png')
    api.expect(page.get_by_text(message)).to_be_visible()
    assert 'Traceback' not in page.content()
    show(page, photograph)


def test_unexpected_error_tells_nothing_about_the_server(
    open_page, photograph, models, monkeypatch
):
    def fail(*_):
        raise RuntimeError('/home/someone/model.pth')

    page = open_page()
    with monkeypatch.context() as broken:
        broken.setattr(models[0], 'look_at', fail)
        choose(page, photograph)
        api.expect(page.locator('#status')).to_have_text('The model failed on this photograph.')
        assert 'someone' not in page.content()
    page = open_page()
    show(page, photograph)
    monkeypatch.setattr(View, 'attend', fail)
    picture(page).click()
    api.expect(page.locator('#status')).to_have_text(
        'Attention in this photograph could not be drawn.'
    )
    assert 'someone' not in page.content()


def test_names_for_screen_readers_and_order_of_focus(open_page, photograph):
    page = open_page()
    show(page, photograph)
    picture(page).click()
    api.expect(attention(page)).to_be_visible()
    nameless = page.evaluate("""() => [...document.querySelectorAll('img, input, button')].filter(
        one => one.checkVisibility() && !one.closest('[hidden]') && one.type !== 'file'
            && !(one.alt || one.ariaLabel || one.innerText.trim() || one.title
                 || one.querySelector('img[alt], button'))).map(one => one.outerHTML)""")
    assert [html for html in nameless if 'street.png' not in html] == []
    assert page.locator('#status').get_attribute('role') == 'status'
    assert page.locator('html').get_attribute('lang') == 'en'
    assert [page.locator(f'h{level}:visible').count() for level in (1, 2)] == [1, 6]
    page.locator('h1').click()
    names = []
    for _ in range(40):
        page.keyboard.press('Tab')
        names.append(
            page.evaluate("""() => document.activeElement.ariaLabel
                                            || document.activeElement.innerText.slice(0, 40)""")
        )
    expected = [
        'Upload file',
        'range slider for Score',
        'Download prediction (JSON)',
        'Download prediction (PNG)',
        'range slider for Percent of the width',
        'range slider for Percent of the height',
    ]
    assert [name for name in names if name in expected][:6] == expected, names


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_phone(scheme, open_page, photograph):
    page = open_page(viewport=dict(width=390, height=844), color_scheme=scheme, has_touch=True)
    show(page, photograph)
    picture(page).tap()
    api.expect(attention(page)).to_be_attached()
    assert page.evaluate('document.scrollingElement.scrollWidth') <= 390
    ground, ink = (
        sum(
            map(
                int,
                re.findall(
                    r'\d+', page.locator(element).evaluate(f'one => getComputedStyle(one).{name}')
                )[:3],
            )
        )
        for element, name in (('body', 'backgroundColor'), ('h1', 'color'))
    )
    assert (ink - ground if scheme == 'dark' else ground - ink) > 400


@pytest.mark.parametrize(
    'path',
    [
        'gradio_api/file=/etc/hostname',
        'gradio_api/file=http://127.0.0.1/x',
        'monitoring',
        'gradio_api/proxy=http://127.0.0.1/x',
        'gradio_api/runs',
        'gradio_api/openapi.json',
    ],
)
def test_endpoints_that_the_page_does_not_need_are_closed(path, address):
    with pytest.raises(urllib.error.HTTPError, match='404'):
        urllib.request.urlopen(address + path)


@pytest.mark.parametrize('path', ['/etc/hostname', 'http://127.0.0.1/x.png'])
def test_events_name_no_path_or_url(path, address):
    file = dict(path=path, meta=dict(_type='gradio.FileData'))
    event = dict(data=[file, 0.3], fn_index=0, session_hash='abc')
    with pytest.raises(urllib.error.HTTPError, match='404'):
        urllib.request.urlopen(
            urllib.request.Request(
                address + 'gradio_api/queue/join',
                json.dumps(event).encode(),
                {'Content-Type': 'application/json'},
            )
        )


def test_tool_leaves_no_photographs(make_tiny_config, save_model, tmp_path):
    config, name = make_tiny_config('semantic_fpn_twins_svt_s_80k', tmp_path / 'tiny.py'), 'm.pth'
    save_model(config, tmp_path / name)
    (tmp_path / 'temporary').mkdir()
    tool = Path(__file__).parents[2] / 'tools/demo.py'
    process = subprocess.Popen(
        [sys.executable, str(tool), str(config), name],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, 'TMPDIR': str(tmp_path / 'temporary')},
    )
    address = next(
        re.findall('page: (http://127.0.0.1:[0-9]+/)', line)[0]
        for line in process.stdout
        if line.startswith('page: ')
    )
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nX\r\n--x--'
    )
    urllib.request.urlopen(
        urllib.request.Request(
            address + 'gradio_api/upload', body, {'Content-Type': 'multipart/form-data; boundary=x'}
        )
    )
    assert list((tmp_path / 'temporary').rglob('a.png'))
    process.terminate()
    assert process.wait(30) == 0
    assert not [path for path in (tmp_path / 'temporary').rglob('*') if path.is_file()]
