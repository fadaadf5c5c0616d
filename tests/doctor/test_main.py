import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from twins_mm.data.data_sets import DATA_SETS
from twins_mm.doctor import __main__ as doctor
from twins_mm.doctor import probe
from twins_mm.doctor.installation import check_module, check_torchvision
from twins_mm.doctor.probe import Finding

REPOSITORY = Path(__file__).parents[2]
OK = Finding('ok', 'torch 2.13.0')
ABSENT = Finding('warning', 'there is no data', 'make data')
BROKEN = Finding('wrong', 'it is broken', 'fix it')


def run(checks, monkeypatch, *args):
    monkeypatch.setattr(
        doctor,
        'CHECKS',
        {
            name: check if callable(check) else lambda check=check: check
            for name, check in checks.items()
        },
    )
    monkeypatch.setattr(sys, 'argv', ['doctor', *args])
    return doctor.main()


@pytest.mark.parametrize(('finding', 'status'), [(OK, 0), (ABSENT, 0), (BROKEN, 1)])
def test_exit_status_shows_whether_something_is_wrong(finding, status, monkeypatch):
    assert run(dict(a=OK, b=finding), monkeypatch) == status


def test_findings_are_printed_with_their_fixes(monkeypatch, capsys):
    run(dict(first=OK, second=ABSENT, third=BROKEN, fourth=BROKEN), monkeypatch)
    assert (
        capsys.readouterr().out
        == """\
ok       first   torch 2.13.0
warning  second  there is no data
                 -> make data
wrong    third   it is broken
                 -> fix it
wrong    fourth  it is broken
                 -> the same as above

2 wrong, 1 warning.
Fix the first one, then run this again: it may be the cause of the others.
"""
    )


def test_json(monkeypatch, capsys):
    run(dict(first=OK, second=BROKEN), monkeypatch, '--json')
    assert json.loads(capsys.readouterr().out) == [
        dict(check='first', state='ok', message='torch 2.13.0', fix=''),
        dict(check='second', state='wrong', message='it is broken', fix='fix it'),
    ]


def test_failing_check_does_not_stop_the_others(monkeypatch, capsys):
    def fail():
        raise ZeroDivisionError('of all things')

    assert run(dict(first=fail, second=OK), monkeypatch) == 1
    output = capsys.readouterr().out
    assert 'wrong    first   ZeroDivisionError: of all things' in output
    assert 'ok       second' in output


def test_folder_that_cannot_be_read_is_no_bug(monkeypatch, capsys):
    def fail():
        raise PermissionError(13, 'Permission denied', '/data/coco')

    run(dict(first=fail), monkeypatch)
    output = capsys.readouterr().out
    assert 'wrong    first  /data/coco: Permission denied\n\n' in output


def test_slow_disk_is_not_taken_for_a_broken_package(monkeypatch, capsys):
    monkeypatch.setattr(probe, '_TIMEOUT_S', 0.1)
    run(dict(slow=partial(check_module, 'mmdet', 'import time; time.sleep(9)')), monkeypatch)
    output = capsys.readouterr().out
    assert 'still running after' in output
    assert 'run this again' in output and 'install' not in output


def test_driver_that_hangs_is_no_bug(tmp_path, monkeypatch, capsys):
    program = tmp_path / 'nvidia-smi'
    program.write_text('#!/bin/sh\nexec sleep 9\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(probe, '_DRIVER_TIMEOUT_S', 0.1)
    run(dict(torchvision=check_torchvision), monkeypatch)
    output = capsys.readouterr().out
    assert 'nvidia-smi does not answer' in output and '-> restart the machine' in output


def test_reader_that_ends_is_no_error(tmp_path):
    done = subprocess.run(
        f'{sys.executable} -m twins_mm.doctor | head -1',
        shell=True,
        text=True,
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'HF_HUB_OFFLINE': '1'},
    )
    assert not done.stderr


def test_this_installation_is_ok(run_doctor):
    output = run_doctor(status=0)
    states = {
        line[9:].split('  ')[0]: line.split()[0]
        for line in output.splitlines()
        if line.startswith(('ok', 'info', 'warning', 'wrong'))
    }
    assert list(states) == list(doctor.CHECKS)
    assert 'wrong' not in states.values()
    assert states['COCO'] == states['ADE20K'] == 'info'
    assert all(
        states[check] == 'ok'
        for check in (
            'torch',
            'numpy',
            'opencv',
            'pkg_resources',
            'mmengine',
            'operators',
            'mmdet',
            'mmseg',
            'ftfy, regex',
            'twins_mm',
        )
    )
    assert re.search(r'operators +\S+ \S+; (compiled for|on CPUs by torch) ', output)


def test_import_error_in_training_points_to_the_doctor(stub, run_tool):
    stub('mmengine', "raise ImportError('libGL.so.1: cannot open shared object file')")
    output = run_tool('train', '--help', status=1)
    assert 'error: libGL.so.1: cannot open' in output
    assert 'python -m twins_mm.doctor' in output
    assert 'Traceback' not in output


def test_unexpected_error_points_to_the_doctor(stub, run_tool, tiny_config, toy_folder):
    stub('mmdet', "raise RuntimeError('of all things')")
    output = run_tool('train', tiny_config('retinanet_twins_svt_s_1x'), '--toy', status=1)
    assert 'RuntimeError: of all things' in output
    assert output.endswith('python -m twins_mm.doctor\n')


def test_torch_that_crashes_does_not_end_the_doctor(stub, run_doctor):
    stub('torch', 'import os; os.abort()')
    findings = {finding['check']: finding for finding in json.loads(run_doctor('--json', status=1))}
    assert findings['torch']['message'].endswith('Python crashed: SIGABRT')
    assert findings['disk']['state'] in ('ok', 'warning')


def test_import_that_fails_is_not_swallowed(stub, tmp_path):
    """A config's `custom_imports` would pass, and `TwinsSVT` be missing from the registry."""
    stub('mmengine', "raise ImportError('libGL.so.1: cannot open shared object file')")
    done = subprocess.run(
        [sys.executable, '-c', 'import twins_mm'], text=True, capture_output=True, cwd=REPOSITORY
    )
    assert done.returncode == 1
    assert done.stderr.endswith('ImportError: libGL.so.1: cannot open shared object file\n')


def test_checks_share_the_cores(monkeypatch, capsys):
    """Each imports torch or OpenMMLab from a disk that may be slow."""
    for count in ('cpu_count', 'process_cpu_count'):
        monkeypatch.setattr(os, count, lambda: 2, raising=False)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1})
    running, most = [], []

    def check():
        running.append(1)
        most.append(len(running))
        time.sleep(0.2)
        running.pop()
        return OK

    run({str(number): check for number in range(8)}, monkeypatch)
    assert max(most) <= 2


def test_data_that_is_not_there_is_no_warning(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    titles = {data.title.split()[0] for data in DATA_SETS.values()}
    run({name: check for name, check in doctor.CHECKS.items() if name in titles}, monkeypatch)
    assert '0 wrong, 0 warnings' in capsys.readouterr().out
