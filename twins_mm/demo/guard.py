"""Keeps the page's server to what the page asks for, and to files that the page has uploaded."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

# Not in it: what else gradio serves, such as URLs that it fetches and videos that it converts.
_NEEDED = re.compile(
    r'/|/(assets|static)/.+|/(config|theme\.css|favicon\.ico|manifest\.json)'
    r'|/gradio_api/(info|upload|upload_progress|startup-events|heartbeat/\w+|queue/(join|data))'
)
_FILE = '/gradio_api/file='
_EVENT = '/gradio_api/queue/join'
_MOST_BYTES = 1_000_000  # of an event: names of files, positions of sliders

Receive = Callable[[], Awaitable[dict]]


class Guard:
    """ASGI middleware that answers 404 to other requests, and closes web sockets.

    Files that a request asks for or an event names must be in the folder of uploads.
    """

    def __init__(self, app: Callable, uploads: Path):
        self.app, self.uploads = app, uploads.resolve()

    async def __call__(self, connection: dict, receive: Receive, send: Callable) -> None:
        if connection['type'] == 'websocket':
            await send(dict(type='websocket.close', code=1008))  # against the policy
            return
        if connection['type'] == 'http':
            path = connection['path']
            allowed = (
                self._is_upload(path.removeprefix(_FILE))
                if path.startswith(_FILE)
                else _NEEDED.fullmatch(path) is not None
            )
            if path == _EVENT:
                body = await _read(receive)
                receive = _repeat(body, receive)
                allowed = self._names_uploads(body)
            if not allowed:
                await send(dict(type='http.response.start', status=404, headers=[]))
                await send(dict(type='http.response.body', body=b'Not available here'))
                return
        await self.app(connection, receive, send)

    def _names_uploads(self, event: bytes) -> bool:
        if len(event) > _MOST_BYTES:
            return False
        try:
            return all(map(self._is_upload, _paths_in(json.loads(event))))
        except (ValueError, RecursionError):
            return False

    def _is_upload(self, path: object) -> bool:
        return isinstance(path, str) and Path(path).resolve().is_relative_to(self.uploads)


async def _read(receive: Receive) -> bytes:
    body, more = b'', True
    while more and len(body) <= _MOST_BYTES:
        message = await receive()
        body += message.get('body', b'')
        more = message.get('more_body', False)
    return body


def _repeat(body: bytes, receive: Receive) -> Receive:
    messages = [dict(type='http.request', body=body)]

    async def receive_again() -> dict:
        return messages.pop() if messages else await receive()

    return receive_again


def _paths_in(data: object) -> Iterator[object]:
    """What a file's description has as `path`, at any depth."""
    if isinstance(data, dict):
        if 'path' in data:
            yield data['path']
        data = list(data.values())
    if isinstance(data, list):
        for part in data:
            yield from _paths_in(part)
