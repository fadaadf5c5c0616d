import subprocess
import sys


def test_torch_is_not_imported_before_torchvision():
    code = """
import sys
assert 'sitecustomize' in sys.modules and 'torch' not in sys.modules
import torchvision
assert 'torch' in sys.modules
"""
    subprocess.run([sys.executable, '-c', code], check=True)
