"""Outputs lie in no input, and one process at a time writes to a folder."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from medsmith.errors import CohortError, FileError, RunError
from medsmith.formats.folders import check_disjoint_folders, check_outside, lies_in, paths_below
from medsmith.formats.lock import LOCK, check_not_held, hold_folder, hold_output


def test_an_output_in_or_on_an_input_is_refused_however_it_is_written(tmp_path):
    cohort = tmp_path / "cohort"
    (cohort / "labelsTr").mkdir(parents=True)
    (tmp_path / "link").symlink_to(cohort)
    inside = [cohort, cohort / "new", cohort / "labelsTr" / "x.safetensors", tmp_path / "link" / "new",
              cohort / "labelsTr" / ".." / "new"]  # fmt: skip
    for out in inside:
        with pytest.raises(CohortError) as refusal:
            check_outside(out, [tmp_path / "other", cohort])
        said = f"lies in or on {cohort}; nothing is written into what is read; choose a place outside"
        assert refusal.value.line == f"{out}: {said}"
    for out in (tmp_path, tmp_path / "cohort2", cohort / ".." / "new"):
        check_outside(out, [cohort])


def test_folders_that_lie_in_each_other_are_refused_in_either_order(tmp_path):
    for folders in ((tmp_path, tmp_path / "a"), (tmp_path / "a", tmp_path), (tmp_path, tmp_path)):
        with pytest.raises(CohortError, match=f"{folders[1]}: lies in, on or around {folders[0]}; choose a folder of"):
            check_disjoint_folders(folders)
    check_disjoint_folders([tmp_path / "a", tmp_path / "ab", tmp_path / "b"])


def test_a_loop_of_links_is_no_folder_and_raises_nothing(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert not lies_in(tmp_path / "a", tmp_path / "c")


def test_a_folder_has_one_writer(tmp_path):
    out = tmp_path / "new" / "out"
    with hold_output(out), pytest.raises(CohortError) as refusal, hold_output(out):
        pass
    assert refusal.value.line == f"{out}: another process is writing here; one at a time; wait for it"
    assert not out.exists()  # it was made here and is empty
    with hold_output(out):
        (out / "kept").touch()
    with hold_output(out):  # free again
        assert (out / "kept").exists()


def test_one_error_is_raised_for_the_holder_that_asks(tmp_path):
    busy = RunError(tmp_path, "busy")
    with hold_folder(tmp_path, busy), pytest.raises(RunError, match="busy"), hold_folder(tmp_path, busy):
        pass
    assert tmp_path.exists()  # it was not made here


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(FileError, match=r"file: cannot be made or written to \(File exists\); choose another folder"),
        hold_output(tmp_path / "file"),
    ):
        pass


def test_a_folder_that_was_removed_while_it_was_opened_is_made_and_locked_anew(tmp_path, monkeypatch):
    out, acquire = tmp_path / "out", FileLock.acquire
    tried: list[object] = []

    def acquire_late(self, **options):
        if not tried:
            out.rmdir()  # by the process that had made it
        tried.append(self)
        return acquire(self, **options)

    monkeypatch.setattr(FileLock, "acquire", acquire_late)
    with hold_output(out):
        assert out.is_dir()
        with pytest.raises(CohortError), hold_output(out):
            pass


HOLDER = "import sys, time; from pathlib import Path; from medsmith.formats.lock import hold_output\n"
HOLDER += "with hold_output(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def start_holder(out, *namespace):
    command = [*namespace, sys.executable, "-c", HOLDER, str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline()


def kill(process):
    process.kill()
    process.communicate()


@pytest.mark.parametrize("place", ["/proc/absent", "/proc/absent/deeper", "/dev/null/new"])
def test_a_place_that_takes_no_folder_is_named(place):
    with pytest.raises(FileError, match=f"{place}: cannot be made or written to"), hold_output(Path(place)):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    out = tmp_path / "out"
    process, said = start_holder(out)
    try:
        assert said == "held\n"
        with pytest.raises(CohortError, match="another process is writing here"):
            check_not_held(out)
    finally:
        kill(process)
    assert (out / LOCK).exists()
    check_not_held(out)
    assert not list(out.iterdir())
    check_not_held(tmp_path / "absent" / "folder")
    assert not (tmp_path / "absent").exists()
    (tmp_path / "file").touch()
    for place, reason in (("file", "File exists"), ("file/folder", "Not a directory")):
        with pytest.raises(FileError, match=f"{place}: cannot be made or written to \\({reason}\\)"):
            check_not_held(tmp_path / place)


def test_a_process_of_another_container_of_this_host_is_kept_out(tmp_path):
    """Its numbers of processes are others, so that a number in a file says nothing."""
    unshare = ("unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces of processes here")
    process, said = start_holder(tmp_path / "out", *unshare)
    try:
        assert said == "held\n"
        with pytest.raises(CohortError, match="another process is writing here"), hold_output(tmp_path / "out"):
            pass
    finally:
        kill(process)


def test_a_file_system_without_locks_warns_and_goes_on(tmp_path, monkeypatch, caplog):
    def unsupported(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(FileLock, "acquire", unsupported)
    with hold_output(tmp_path / "out"):
        pass
    assert "is on a file system without locks; take care that one process writes here" in caplog.text
    assert not (tmp_path / "out").exists()


def test_of_many_at_once_one_writes(tmp_path):
    start, done, held = threading.Barrier(8), threading.Barrier(8), []

    def go():
        start.wait()
        try:
            with hold_output(tmp_path / "out"):
                held.append(1)
                done.wait()
        except CohortError:
            done.wait()

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == [1]


def test_folders_of_any_depth_are_walked(tmp_path, monkeypatch):
    """More levels than Python has for calls, as deep as a path may be."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1100):
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
    Path("scan.dcm").touch()
    os.chdir(tmp_path)
    found = paths_below(tmp_path)
    assert len(found) == 1101
    assert found[-1].name == "scan.dcm"
    for path in reversed(found):  # too deep for pytest to remove
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_folder_that_cannot_be_listed_is_refused_without_its_name_unless_it_is_hidden(tmp_path, monkeypatch):
    for name in ("Smith", ".trash"):
        (tmp_path / name).mkdir()
    listed = os.scandir
    refused = {str(tmp_path / ".trash")}

    def scandir(path):
        if path in refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [path.name for path in paths_below(tmp_path)] == [".trash", "Smith"]
    refused.add(str(tmp_path / "Smith"))
    with pytest.raises(FileError) as caught:
        paths_below(tmp_path)
    assert caught.value.line == (
        f"{tmp_path}: a folder in it cannot be listed (Permission denied); cases may lie there; change its mode or "
        f"owner, or move it away (find {tmp_path} ! -readable names it)"
    )


def test_folders_behind_links_are_walked_once(tmp_path):
    real = tmp_path / "elsewhere"
    (real / "scans").mkdir(parents=True)
    (real / "scans" / "a.png").write_bytes(b"")
    root = tmp_path / "root"
    root.mkdir()
    (root / "b.png").write_bytes(b"")
    (root / "images").symlink_to(real / "scans")
    (root / "again").symlink_to(root)
    names = [path.relative_to(root).as_posix() for path in paths_below(root)]
    assert names == ["again", "b.png", "images", "images/a.png"]
    plain = tmp_path / "elsewhere"
    assert paths_below(plain) == sorted(plain.rglob("*"))
