"""What was appended survives a killed process; a full disk costs answers of the log, which are counted, not errors."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.segment_files import is_owned
from schemas.resolution_log import (
    HEADER_BYTES,
    IDENTIFIER_BYTES,
    ClientClass,
    Damage,
    End,
    Gap,
    LoggedAnswer,
    Outcome,
    Transport,
    decode_answers,
    decode_header,
)
from schemas.segments import SMALLEST_SEGMENT_BYTES, SegmentWriter

SMALL = SMALLEST_SEGMENT_BYTES
ADDRESS = bytes((10, 0, 0, 7))


def append(writer: SegmentWriter, identifier: bytes, address: bytes = ADDRESS) -> None:
    writer.append(identifier, 5, 3, Transport.HTTP, Outcome.FOUND, ClientClass.PUBLIC, address)


def read(directory: Path) -> tuple[list[LoggedAnswer], list[Gap], list[End | Damage]]:
    """Answers, gaps and the ends of all segments, in order of their sequence."""
    answers: list[LoggedAnswer] = []
    gaps, ends = [], []
    for path in sorted(directory.glob("*.segment"), key=lambda p: decode_header(p.read_bytes()).sequence):
        data = path.read_bytes()
        gap = decode_header(data).gap
        gaps += [gap] if gap else []
        for one in decode_answers(data):
            if isinstance(one, LoggedAnswer):
                answers.append(one)
            else:
                ends.append(one)
    return answers, gaps, ends


def test_what_was_appended_is_read_while_the_writer_goes_on(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", SMALL)
    append(writer, b"88.101.5/a")
    append(writer, b"88.101.5/b", b"")
    answers, _, ends = read(tmp_path)
    assert [(a.identifier, a.address, a.prefix_id, a.template_id) for a in answers] == [
        (b"88.101.5/a", ADDRESS, 5, 3), (b"88.101.5/b", b"", 5, 3),
    ]  # fmt: skip
    assert [end.finished for end in ends if isinstance(end, End)] == [False]
    writer.close()


def test_a_closed_writer_leaves_finished_segments_of_the_size_they_need(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", SMALL)
    append(writer, b"88.101.5/a")
    writer.close()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size < 256
    assert read(tmp_path)[2] == [End(path.stat().st_size - 4, finished=True)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=IDENTIFIER_BYTES), min_size=1, max_size=300))
def test_segments_follow_each_other_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, identifiers: list[bytes]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    writer = SegmentWriter(directory, "resolver-0", SMALL)
    for identifier in identifiers:
        append(writer, identifier)
    writer.close()
    answers, gaps, ends = read(directory)
    assert [answer.identifier for answer in answers] == identifiers
    assert gaps == []
    assert writer.missing == 0
    assert all(isinstance(end, End) and end.finished for end in ends)


def test_many_segments_are_filled_without_a_loss(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", SMALL)
    for number in range(20_000):
        append(writer, b"%d" % number)
    writer.close()
    answers, _, _ = read(tmp_path)
    assert [answer.identifier for answer in answers] == [b"%d" % number for number in range(20_000)]
    assert len(list(tmp_path.iterdir())) > 8


def test_an_identifier_longer_than_a_record_may_be_is_cut_off(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", SMALL)
    append(writer, b"x" * 5_000)
    append(writer, b"next")
    writer.close()
    first, second = read(tmp_path)[0]
    assert first.identifier == b"x" * (IDENTIFIER_BYTES + 16 - len(ADDRESS))
    assert second.identifier == b"next"


def test_two_writers_of_one_name_keep_apart(tmp_path: Path) -> None:
    old, new = SegmentWriter(tmp_path, "resolver-0", SMALL), SegmentWriter(tmp_path, "resolver-0", SMALL)
    append(old, b"old")
    append(new, b"new")
    old.close()
    new.close()
    assert {answer.identifier for answer in read(tmp_path)[0]} == {b"old", b"new"}


@pytest.mark.parametrize("owner", ["", "../x", "a/b", "a.b", ".x", "x" * 64])
def test_an_owner_is_a_plain_name(tmp_path: Path, owner: str) -> None:
    with pytest.raises(ValueError, match="owner"):
        SegmentWriter(tmp_path, owner)


def test_readers_can_tell_whether_the_owner_lives(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", SMALL)
    append(writer, b"a")
    descriptor = os.open(next(tmp_path.iterdir()), os.O_RDONLY)
    assert is_owned(descriptor)
    writer.close()
    assert not is_owned(descriptor)
    os.close(descriptor)


# Killed ---------------------------------------------------------------------------------------------------------

WRITE_AND_TELL = """
import os, sys
from pathlib import Path
from schemas.segments import SegmentWriter
writer = SegmentWriter(Path(sys.argv[1]), "resolver-0", 65536)
number = 0
while True:
    os.write(1, b"?")          # asked
    writer.append(b"88.101.5/%d" % number, 5, 3, 1, 1, 1, bytes(4))
    os.write(1, b"!")          # answered
    number += 1
"""


@pytest.mark.parametrize("seed", range(6))
def test_of_a_killed_process_answered_le_counted_le_asked(tmp_path: Path, seed: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_TELL, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    told = child.stdout.read(random.Random(seed).randrange(2, 40_000))
    child.send_signal(signal.SIGKILL)
    told += child.stdout.read()
    child.wait()
    child.stdout.close()
    asked, answered = told.count(b"?"), told.count(b"!")
    answers, gaps, ends = read(tmp_path)
    assert answered <= len(answers) <= asked <= answered + 1
    assert [a.identifier for a in answers] == [b"88.101.5/%d" % n for n in range(len(answers))]
    assert gaps == []
    assert all(isinstance(end, End) for end in ends)


# A full disk ----------------------------------------------------------------------------------------------------

# The limit on a file's size refuses allocations as a full disk does, for ordinary users too.
FILL = """
import resource, sys
from pathlib import Path
import schemas.segments
directory, limit, before, during, after = Path(sys.argv[1]), *map(int, sys.argv[2:])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
def set_limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
if limit >= 0 and before == 0:
    set_limit(limit)
writer = schemas.segments.SegmentWriter(directory, "resolver-0", 262144)
for number in range(before):
    writer.append(b"before", 5, 3, 1, 1, 1, b"")
set_limit(limit)
for number in range(during):
    writer.append(b"during", 5, 3, 1, 1, 1, b"")
full = writer.missing
schemas.segments.RETRY_US = 0  # as if a second had passed
set_limit(hard)
for number in range(after):
    writer.append(b"after", 5, 3, 1, 1, 1, b"")
writer.close()
print(full, writer.missing)
"""


def fill(directory: Path, limit: int, before: int, during: int, after: int) -> tuple[int, int]:
    """Missing when the disk had been full, and in the end."""
    arguments = [str(number) for number in (limit, before, during, after)]
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(directory), *arguments],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    full, missing = map(int, done.stdout.split())
    return full, missing


@pytest.mark.parametrize(
    ("limit", "before", "during", "after", "why"),
    [
        (1_000, 10, 30_000, 5_000, "full while a segment is in use: it is filled, then answers are dropped"),
        (1_000, 0, 500, 5_000, "full from the start: there is no segment at all"),
        (70_000, 10, 30_000, 10, "room for small segments only: they are used"),
        (1_000, 10, 30_000, 0, "full until the end: the gap stands in the last segment"),
    ],
)
def test_a_full_disk_costs_answers_of_the_log_and_they_are_counted(
    tmp_path: Path, limit: int, before: int, during: int, after: int, why: str
) -> None:
    full, missing = fill(tmp_path, limit, before, during, after)
    answers, gaps, ends = read(tmp_path)
    assert len(answers) + missing == before + during + after, why
    assert sum(gap.missing for gap in gaps) == missing
    assert full == missing, "as soon as there is room nothing is dropped"
    assert all(isinstance(end, End) and end.finished for end in ends)
    assert (missing == 0) == (limit == 70_000)


def test_a_gap_survives_a_killed_process(tmp_path: Path) -> None:
    script = FILL.replace("full = writer.missing", "import os; os.kill(os.getpid(), 9)")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), "1000", "10", "30000", "0"], cwd=Path(__file__).parents[2]
    )
    assert done.returncode == -signal.SIGKILL
    answers, (gap,), _ = read(tmp_path)
    assert len(answers) + gap.missing == 30_010
    assert gap.from_us <= gap.to_us


def test_answers_that_do_not_reach_the_disk_are_counted_and_noted_when_it_takes_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing to a mapping never fails, so the disk is asked: here by a descriptor that cannot be synchronised."""
    writer = SegmentWriter(tmp_path, "resolver-0", SMALL)
    append(writer, b"before")
    writer.begin_sync()()
    assert writer._segment is not None
    pipe = os.pipe()
    os.dup2(pipe[1], writer._segment.descriptor)
    with pytest.raises(OSError) as refused:
        writer.begin_sync()()
    writer.give_up(refused.value)
    for number in range(5):
        append(writer, b"during %d" % number)
    monkeypatch.setattr("schemas.segments.RETRY_US", 0)  # as if a second had passed
    append(writer, b"after")
    writer.begin_sync()()
    for end in pipe:
        os.close(end)
    writer.close()
    answers, (gap,), _ = read(tmp_path)
    assert [answer.identifier for answer in answers] == [b"before", b"after"]
    assert gap.missing == writer.missing == 5


def test_a_directory_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(OSError, match="exists"):
        SegmentWriter(tmp_path / "log", "resolver-0")


def test_appending_after_the_end_counts_what_is_missing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", SMALL)
    writer.close()
    append(writer, b"late")
    assert writer.missing == 1


def test_a_reader_beside_the_writer_sees_complete_records_only(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "resolver-0", 4 * 1024 * 1024)
    (path,) = tmp_path.iterdir()
    done = threading.Event()
    seen: list[object] = []

    def watch() -> None:
        while not done.is_set():
            seen.extend(one for one in decode_answers(path.read_bytes()) if isinstance(one, Damage))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(20_000):
        append(writer, b"88.101.5/%d" % number)
    done.set()
    watcher.join()
    assert seen == []
    assert len([a for a in decode_answers(path.read_bytes(), HEADER_BYTES) if isinstance(a, LoggedAnswer)]) == 20_000
    writer.close()
