import logging

from twins_mm.training.console import shorten_console


def test_log_file_has_what_the_console_leaves_out(tmp_path, capsys):
    logger = logging.Logger('run')
    logger.addHandler(logging.StreamHandler())
    logger.addHandler(logging.FileHandler(tmp_path / 'run.log'))
    shorten_console(logger)
    said = ['The prefix is not set in metric class IoUMetric.', 'Iter(train) [10/20]  loss: 3.1']
    for text in said:
        logger.warning(text)
    assert capsys.readouterr().err.splitlines() == said[1:]
    assert (tmp_path / 'run.log').read_text().splitlines() == said
