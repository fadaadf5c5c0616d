"""Unpacks a data set's official archives into the folders that the configs expect."""

import fnmatch
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich import progress

from ..errors import UserError
from ..files.atomic_write import replacing
from .data_sets import Archive, DataSet


class _Member(NamedTuple):
    """A file in an archive, and its target path."""

    archive: Archive
    opened: zipfile.ZipFile
    info: zipfile.ZipInfo
    path: Path


def unpack_archives(data: DataSet, folder: Path, root: Path) -> int:
    """Unpacks missing files into `root`; returns the number of files written.

    Files that exist with the right size are skipped, so an interrupted run can be continued. An
    archive may be missing from `folder` if its contents are complete in `root`.

    Raises:
        UserError: An archive is missing, damaged or not the official one, the disk is too small,
            `root` contains other files, or Ctrl-C. Files unpacked so far stay. Or the data set's
            own commands unpack it.
    """
    if data.commands:
        raise UserError(
            f'{data.title} is unpacked by these commands:\n'
            + data.commands.format(archives=folder.absolute())
        )
    absent = [archive for archive in data.archives if not (folder / archive.name).is_file()]
    needed = [archive for archive in absent if archive.find_faults(root)]
    if needed:
        raise UserError(
            '\n'.join(
                [
                    f'Not in {folder}:',
                    *(f'  {archive.name:28} {archive.url}' for archive in needed),
                    f'Download them into {folder}; wget -c resumes interrupted downloads.',
                ]
            )
        )
    with ExitStack() as stack:
        members = [
            member
            for archive in data.archives
            if archive not in absent
            for member in _list_missing(archive, folder, root, stack)
        ]
        _check_space(members, root)
        _extract_all(members, data.title)
    faults = data.find_faults(root)
    if faults:
        raise UserError(
            '\n'.join(
                [
                    f'{root} contains files that do not belong to {data.title}:',
                    *(f'  {fault}' for fault in faults),
                    'Move them away; everything else is in place.',
                ]
            )
        )
    return len(members)


def _list_missing(
    archive: Archive, folder: Path, root: Path, stack: ExitStack
) -> Iterator[_Member]:
    """The files of an archive, which `stack` keeps open, that are not in `root` in full."""
    path = folder / archive.name
    try:
        opened = stack.enter_context(zipfile.ZipFile(path))
    except zipfile.BadZipFile as error:
        raise _damaged(path, archive, error) from error
    # ADE20K's archive has a top-level folder, COCO's have none.
    infos = {
        info.filename.removeprefix(f'{root.name}/'): info
        for info in opened.infolist()
        if not info.is_dir()
    }
    for name in map(PurePosixPath, infos):
        if name.is_absolute() or '..' in name.parts:
            raise UserError(
                f'{path} would write outside of {root}, to {name}. It is not the '
                f'official archive, so it was not unpacked: {archive.url}'
            )
    for pattern, expected in archive.contents.items():
        count = len(fnmatch.filter(infos, pattern))
        if count != expected:
            raise UserError(
                f'{path} has {count:,} files {pattern}, expected {expected:,}. It is '
                f'not the official archive: {archive.url}'
            )
    return (
        _Member(archive, opened, info, path)
        for name, info in infos.items()
        if not ((path := root / name).is_file() and path.stat().st_size == info.file_size)
    )


def _check_space(members: list[_Member], root: Path) -> None:
    disk = next(path for path in (root, *root.absolute().parents) if path.is_dir())
    needed = sum(member.info.file_size for member in members)
    free = shutil.disk_usage(disk).free
    if needed > free:
        raise UserError(
            f'Unpacking into {root} needs another {needed / 1e9:.1f} GB, but only '
            f'{free / 1e9:.1f} GB are free there. Free some space, or pass a folder on another '
            'disk as --out'
        )


def _extract_all(members: list[_Member], description: str) -> None:
    columns = (
        progress.TextColumn('{task.description}'),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, disable=not members) as bar:
        task = bar.add_task(description, total=sum(m.info.file_size for m in members))
        for member in members:
            try:
                with (
                    replacing(member.path) as partial,
                    member.opened.open(member.info) as source,
                    partial.open('wb') as target,
                ):
                    shutil.copyfileobj(source, target)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise _damaged(member.opened.filename, member.archive, error) from error
            except OSError as error:
                raise UserError(
                    f'Could not write {member.path}: {error}. The same command continues from here'
                ) from error
            except KeyboardInterrupt as error:
                raise UserError('Stopped. The same command continues from here') from error
            bar.advance(task, member.info.file_size)


def _damaged(path: Path | str | None, archive: Archive, error: Exception) -> UserError:
    return UserError(
        f'{path} is damaged: {error}\nDelete it, download it again from {archive.url} '
        'and repeat the command; it continues where it stopped'
    )
