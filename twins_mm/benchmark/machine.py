"""The machine that a measurement was made on."""

import platform
import re
from datetime import date
from pathlib import Path

import torch


def describe_machine(device: str) -> str:
    """Processor, threads, torch and date."""
    if device == 'cuda':
        processor = torch.cuda.get_device_name()
    else:
        model = re.search(r'model name\s*: (.*)', Path('/proc/cpuinfo').read_text())
        processor = (
            f'{model[1] if model else platform.machine()}, {torch.get_num_threads()} threads'
        )
    return f'{processor}, torch {torch.__version__}, {date.today()}'
