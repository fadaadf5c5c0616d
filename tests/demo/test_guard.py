import asyncio
import json

import pytest

from twins_mm.demo.guard import Guard

EVENT = '/gradio_api/queue/join'


def request(guard, path, body=b'', method='GET'):
    """What the application behind the guard gets of a request; None if nothing."""
    got, status = [], []

    async def application(scope, receive, send):
        got.append(b'')
        more = True
        while more:
            message = await receive()
            got[0] += message['body']
            more = message.get('more_body', False)

    parts = [
        dict(type='http.request', body=body[start : start + 50], more_body=True)
        for start in range(0, len(body), 50)
    ]
    parts.append(dict(type='http.request', body=b'', more_body=False))

    async def receive():
        return parts.pop(0)

    async def send(message):
        status.append(message.get('status'))

    guard.app = application
    asyncio.run(guard(dict(type='http', path=path, method=method), receive, send))
    assert bool(got) != (status[:1] == [404])
    return got[0] if got else None


@pytest.fixture
def guard(tmp_path):
    (tmp_path / 'uploads').mkdir()
    return Guard(None, tmp_path / 'uploads')


@pytest.mark.parametrize(
    'path',
    [
        '/',
        '/config',
        '/assets/index.js',
        '/gradio_api/upload',
        '/gradio_api/queue/data',
        '/gradio_api/heartbeat/abc',
    ],
)
def test_what_the_page_needs_is_served(path, guard):
    assert request(guard, path) == b''


@pytest.mark.parametrize(
    'path',
    [
        '/gradio_api/proxy=https://example.org/x',
        '/gradio_api/process_recording',
        '/monitoring',
        '/gradio_api/run/predict',
        '/gradio_api/call/predict',
        '/gradio_api/deep_link',
        '/gradio_api/vibe-edit',
        '/gradio_api/file/etc/passwd',
        '/docs',
        '/assets',
    ],
)
def test_other_endpoints_are_not(path, guard):
    assert request(guard, path) is None


@pytest.mark.parametrize(
    ('path', 'allowed'),
    [
        ('{}/a/photo.jpg', True),
        ('{}/../secret', False),
        ('{}_other/x', False),
        ('/etc/passwd', False),
        ('https://example.org/x.png', False),
        ('', False),
    ],
)
def test_only_uploaded_files_are_read(path, allowed, guard):
    path = path.format(guard.uploads)
    assert (request(guard, f'/gradio_api/file={path}') is not None) == allowed
    body = json.dumps(
        dict(
            data=[0.3, [dict(value=dict(path=path, url='/x', meta=dict(_type='gradio.FileData')))]]
        )
    ).encode()
    assert request(guard, EVENT, body) == (body if allowed else None)


@pytest.mark.parametrize(
    'body',
    [
        b'{"data": [{"path": 7}]}',
        b'{"data": [{"path": null}]}',
        b'not JSON',
        b'',
        b'{"data": "' + b' ' * 1_000_000 + b'"}',
    ],
    ids=['number', 'null', 'text', 'empty', 'long'],
)
def test_events_of_another_form_are_refused(body, guard):
    assert request(guard, EVENT, body) is None


def test_event_without_a_file_passes_unchanged(guard):
    body = b'{"data": [0.5], "session_hash": "abc"}'
    assert request(guard, EVENT, body) == body


def test_web_sockets_are_refused(guard):
    passed = []

    async def application(scope, receive, send):
        passed.append(scope['type'])

    async def ignore(message=None):
        return {}

    guard.app = application
    for kind in ('lifespan', 'websocket'):
        asyncio.run(guard(dict(type=kind, path='/gradio_api/run/predict'), ignore, ignore))
    assert passed == ['lifespan']  # by which the server starts


def test_deep_event_is_refused(guard):
    assert request(guard, EVENT, b'[' * 100_000 + b']' * 100_000) is None
