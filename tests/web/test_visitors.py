"""Several visitors of the page, by what a browser sends; this needs gradio, but no browser."""

import json
import os
from urllib.request import Request, urlopen

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from twins_mm.demo import browser_page
from twins_mm.demo.shown_model import View
from twins_mm.tasks import TASKS

SHOW, REDRAW = 0, 1  # the page's events: a photograph, and the slider of scores


class Model:
    """A detector that finds a cat in each photograph."""

    name, checkpoint, task = 'cats', 'cats.pth', TASKS['detection']
    dataset_meta, backbone = dict(classes=('cat',), palette=[(255, 0, 0)]), None

    def look_at(self, photograph):
        return View(
            self,
            photograph,
            DetDataSample(
                pred_instances=InstanceData(
                    bboxes=torch.tensor([[0.0, 0, 10, 10]]),
                    scores=torch.tensor([0.9]),
                    labels=torch.tensor([0]),
                )
            ),
        )


def visit(address, visitor, event, *data):
    """Sends an event of a visitor's page; returns what it changes there, as text."""
    api = f'{address}gradio_api/queue'
    body = json.dumps(dict(session_hash=visitor, fn_index=event, data=data)).encode()
    urlopen(Request(f'{api}/join', body, {'Content-Type': 'application/json'})).close()
    with urlopen(f'{api}/data?session_hash={visitor}') as lines:
        return next(line for line in lines if b'process_completed' in line).decode()


def test_first_of_nine_visitors_keeps_the_photograph():
    with browser_page.serve([Model()], 0.3, '127.0.0.1', None) as address:
        path = os.path.join(os.environ['GRADIO_TEMP_DIR'], 'x.png')
        cv2.imwrite(path, np.zeros((20, 40, 3), np.uint8))
        photograph = dict(path=path, meta=dict(_type='gradio.FileData'))
        for number in range(9):
            visit(address, f'visitor_{number}', SHOW, photograph, 0.3)
        last, first = (visit(address, f'visitor_{number}', REDRAW, None, 0.5) for number in (8, 0))
    assert 'Photograph with 1 cat' in last
    assert 'Photograph with 1 cat' in first
