"""The page and its server, in gradio, which nothing else imports."""

import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from jinja2 import Environment, PackageLoader
from starlette.middleware import Middleware

from ..errors import UserError
from .guard import Guard
from .photograph import MAX_BYTES, read_photograph
from .shown_model import ShownModel, View

_PHOTOGRAPH = '<h2>Photograph</h2><p class="quiet">Drop, choose or take one.</p>'
_ATTENTION = """
<h2>Where it attends</h2>
<p>Click a point of a prediction, or set it here. The first row has the backbone's pyramid: the
first three principal components of each stage, as colours. Below is where the point attends in each
stage: in its window (LSA), and in the whole image (GSA).</p>
"""
_THEME = gr.themes.Default(
    primary_hue='blue',
    neutral_hue='slate',
    font=['system-ui', 'sans-serif'],
    font_mono=['ui-monospace', 'monospace'],
).set(  # enough contrast to read
    block_info_text_color='*neutral_600',
    block_info_text_color_dark='*neutral_300',
    body_text_color_subdued='*neutral_600',
    body_text_color_subdued_dark='*neutral_300',
)
_STYLE = """
h2 { font-size: 1rem; }
.quiet { opacity: .8; }
.problem { border-left: .4rem solid #cf222e; padding-left: .8rem; }
.found.prose { max-height: 22rem; overflow: auto; font-size: .9rem; }
.found table { width: 100%; font-variant-numeric: tabular-nums; }
.found :is(th, td) { text-align: left; padding: .2rem .5rem; }
.found caption { text-align: left; padding-bottom: .3rem; }
.found i { display: inline-block; width: .8em; height: .8em; margin-right: .5em; }
.attention .image-container { overflow-x: auto; }
.attention .image-container > button { min-width: 56rem; }
.attention .image-frame { padding-top: 1.5rem; background: #fff; }  /* under the buttons */
"""
_TEMPLATES = Environment(loader=PackageLoader(__package__), autoescape=True)
_PARTS = _TEMPLATES.get_template('parts.html').module
# A screen reader says what changes in an element of this role.
_ANNOUNCE = "() => document.getElementById('status').setAttribute('role', 'status')"
_SCROLL = "() => document.getElementById('figures').scrollIntoView({block: 'nearest'})"


class _Column:
    """What the page has for a model."""

    def __init__(self, model: ShownModel):
        self.model = model
        with gr.Column(min_width=300):
            gr.HTML(_PARTS.model(model.name, model.checkpoint))
            self.picture = _make_picture()
            self.findings = gr.HTML(elem_classes='found')
            self.file = gr.DownloadButton('Download prediction', interactive=False)

    def add_attention(self) -> None:
        gr.HTML(_PARTS.heading(self.model.name))
        self.attention = _make_picture(elem_classes='attention')

    def draw(self, view: View, score_thr: float) -> dict:
        """Updates for a slider's position."""
        words = view.describe(score_thr)
        return {
            self.picture: gr.Image(view.draw(score_thr), alt_text=f'Photograph with {words}'),
            self.findings: _PARTS.table(view.find(score_thr), words),
        }

    def show(self, view: View, score_thr: float) -> dict:
        """Updates for a new photograph."""
        kind = view.file.suffix[1:].upper()
        return self.draw(view, score_thr) | {
            self.file: gr.DownloadButton(
                f'Download prediction ({kind})', view.file, interactive=True
            )
        }

    def clear(self) -> dict:
        return {
            self.picture: None,
            self.findings: '',
            self.file: gr.DownloadButton('Download prediction', None, interactive=False),
        }

    def attend(self, view: View, x: float, y: float) -> dict:
        text = f'Attention of {self.model.name} at {x:.0%} of the width and {y:.0%} of the height'
        return {self.attention: gr.Image(view.attend(x, y), alt_text=text)}


def build_page(models: Sequence[ShownModel], score_thr: float) -> gr.Blocks:
    """Builds a page for one or more models; its slider of scores starts at `score_thr`."""

    def show(file: dict | None, score_thr: float) -> dict:
        updates = {views: [], status: '', figures: gr.Column(visible=False)}
        for column in columns:
            updates |= column.clear()
        if file is None:
            return updates
        start = time.perf_counter()
        try:
            photograph, size = read_photograph(Path(file['path']))
            seen = [column.model.look_at(photograph) for column in columns]
        except UserError as error:
            return updates | {status: _PARTS.problem(str(error))}
        except Exception:
            traceback.print_exc()  # for who runs the server
            return updates | {status: _PARTS.problem('The model failed on this photograph.')}
        seconds = time.perf_counter() - start
        for column, view in zip(columns, seen):
            updates |= column.show(view, score_thr)
        return updates | {views: seen, status: f'<p>{size}, {seconds:.1f} seconds</p>'}

    def redraw(seen: list[View], score_thr: float) -> dict:
        updates = {views: seen}
        for column, view in zip(columns, seen):
            if column.model.task.has_scores:
                updates |= column.draw(view, score_thr)
        return updates

    def attend(seen: list[View], across: float, down: float) -> dict:
        if not seen:
            return {status: _PARTS.problem('Choose a photograph first.')}
        updates = {figures: gr.Column(visible=True)}
        try:
            for column, view in zip(columns, seen):
                if column in attending:
                    updates |= column.attend(view, across / 100, down / 100)
        except Exception:
            traceback.print_exc()
            return {status: _PARTS.problem('Attention in this photograph could not be drawn.')}
        return updates

    def click(seen: list[View], event: gr.SelectData) -> dict:
        if not seen:
            return attend(seen, 0, 0)
        (x, y), view = event.index, seen[0]
        x, y = round(100 * x / view.width, 1), round(100 * y / view.height, 1)
        return attend(seen, x, y) | {across: x, down: y}

    with gr.Blocks(title='Twins', analytics_enabled=False, delete_cache=(600, 3600)) as page:
        views = gr.State([])
        gr.HTML('<h1>Twins</h1>')
        with gr.Row():
            with gr.Column(min_width=300):
                gr.HTML(_PHOTOGRAPH)
                photograph = gr.Image(
                    show_label=False, buttons=[], sources=['upload', 'webcam', 'clipboard']
                )
                status = gr.HTML('', elem_id='status')
                score = gr.Slider(
                    0,
                    1,
                    score_thr,
                    step=0.01,
                    label='Score',
                    buttons=[],
                    info='Objects with a lower score are hidden. The download has all.',
                    visible=any(model.task.has_scores for model in models),
                )
            columns = [_Column(model) for model in models]
        attending = [column for column in columns if column.model.backbone is not None]
        gr.HTML(_ATTENTION, visible=bool(attending))
        with gr.Row(visible=bool(attending)):
            across = gr.Slider(0, 100, 50, step=0.1, buttons=[], label='Percent of the width')
            down = gr.Slider(0, 100, 50, step=0.1, buttons=[], label='Percent of the height')
        with gr.Column(visible=False, elem_id='figures') as figures:
            for column in attending:
                column.add_attention()

        pictures = [part for column in columns for part in (column.picture, column.findings)]
        attentions = [figures, *(column.attention for column in attending)]
        # One at a time, since drawing is not made for threads; of what waits, only the last counts.
        common = dict(trigger_mode='always_last', api_visibility='private', concurrency_id='models')
        photograph.input(
            show,
            [photograph, score],
            [views, status, *pictures, *(column.file for column in columns), figures],
            preprocess=False,
            show_progress_on=[column.picture for column in columns],
            **common,
        )
        score.input(redraw, [views, score], [views, *pictures], show_progress='hidden', **common)
        gr.on(
            [across.input, down.input],
            attend,
            [views, across, down],
            [status, *attentions],
            show_progress_on=[across, down],
            **common,
        )
        for column in columns if attending else ():
            column.picture.select(
                click,
                views,
                [status, across, down, *attentions],
                show_progress_on=[across, down],
                **common,
            ).then(None, js=_SCROLL)
        page.load(None, js=_ANNOUNCE)
    return page


def _make_picture(**kwargs: Any) -> gr.Image:
    return gr.Image(
        show_label=False,
        format='png',
        interactive=False,
        buttons=['download', 'fullscreen'],
        **kwargs,
    )


@contextmanager
def _upload_folder() -> Iterator[Path]:
    """A temporary folder for what gradio keeps, which asks the environment at each request."""
    with TemporaryDirectory() as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ['GRADIO_TEMP_DIR']


@contextmanager
def serve(
    models: Sequence[ShownModel], score_thr: float, host: str, port: int | None
) -> Iterator[str]:
    """Serves the page as long as the context lasts, and yields its address.

    Photographs and predictions are kept in a temporary folder, for an hour or two.

    Args:
        models: The models to show.
        score_thr: Where the slider of scores starts.
        host: The address to listen on.
        port: None for the first free one from 7860.

    Raises:
        UserError: The port is not free.
    """
    with _upload_folder() as uploads:
        page = build_page(models, score_thr)
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                ssr_mode=False,
                mcp_server=False,
                enable_monitoring=False,
                run_history=False,
                pwa=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=MAX_BYTES,
                theme=_THEME,
                css=_STYLE,
                footer_links=[],
                app_kwargs=dict(middleware=[Middleware(Guard, uploads=uploads)]),
            )
        except OSError:
            raise UserError(
                f'Port {port or "7860 to 7959"} of {host} is not available: '
                'choose another with --port'
            ) from None
        try:
            yield address
        finally:
            page.close(verbose=False)
