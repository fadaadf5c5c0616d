import signal
import socket


def test_second_run_in_a_folder_is_refused(train, tmp_path):
    """Until the first has ended, in whatever way."""
    first = train('model.seconds=0.5', end=1000)
    first.wait_for('[   1/')
    output = train().end(1)
    assert (f'error: {tmp_path}/run is in use by process {first.process.pid} on '
            f'{socket.gethostname()}.') in output
    first.end(-signal.SIGKILL, send=signal.SIGKILL)
    train('model.seconds=0').end()
