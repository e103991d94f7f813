"""Memory of the machine and of control groups, against files as Linux writes them."""

import pytest

from medsmith import memory_limits
from medsmith.memory_limits import Memory, available_memory, memory

MIB = 2**20


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Writes the files of a system; what is not written is missing."""
    for name in ("_MACHINE", "_MINE", "_GROUPS"):
        monkeypatch.setattr(memory_limits, name, tmp_path / name)

    def write(machine="MemTotal: 16384 kB\nMemFree: 1 kB\nMemAvailable: 8192 kB\n", mine="", **groups):
        (tmp_path / "_MACHINE").write_text(machine)
        (tmp_path / "_MINE").write_text(mine)
        for name, text in groups.items():
            path = tmp_path / "_GROUPS" / name.replace("__", "/").replace("-", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_without_groups_it_is_that_of_the_machine(system):
    system()
    assert memory() == Memory(16 * MIB, 8 * MIB)
    assert available_memory() == 8 * MIB


@pytest.mark.usefixtures("system")
def test_where_the_system_does_not_tell_it_is_unknown():
    assert memory() is None
    assert available_memory() is None


def test_a_group_of_version_2_limits_it_and_pages_of_files_count_as_free(system):
    system(mine="0::/job/step\n", **{
        "job__step__memory-max": f"{4 * MIB}\n",
        "job__step__memory-current": f"{3 * MIB}\n",
        "job__step__memory-stat": f"anon {MIB}\ninactive_file {MIB}\n",
    })  # fmt: skip
    assert memory() == Memory(4 * MIB, 2 * MIB)


def test_the_limit_of_a_group_about_it_counts_too(system):
    system(mine="0::/job/step\n", **{
        "job__step__memory-max": "max\n",
        "job__step__memory-current": "1\n",
        "job__memory-max": f"{6 * MIB}\n",
        "job__memory-current": f"{5 * MIB}\n",
    })  # fmt: skip
    assert memory() == Memory(6 * MIB, MIB)


def test_a_container_that_has_the_name_of_its_host_is_its_root(system):
    system(mine="0::/docker/0123abcd\n", **{"memory-max": f"{2 * MIB}\n", "memory-current": f"{MIB}\n"})
    assert memory() == Memory(2 * MIB, MIB)


def test_a_group_of_version_1_limits_it(system):
    system(mine="5:cpuset:/\n4:memory:/slurm/job_7\n0::/\n", **{
        "memory__slurm__job_7__memory-limit_in_bytes": f"{5 * MIB}\n",
        "memory__slurm__job_7__memory-usage_in_bytes": f"{4 * MIB}\n",
        "memory__slurm__job_7__memory-stat": f"cache 9\ntotal_inactive_file {MIB}\n",
        "memory__memory-limit_in_bytes": "9223372036854771712\n",
        "memory__memory-usage_in_bytes": "1\n",
    })  # fmt: skip
    assert memory() == Memory(5 * MIB, 2 * MIB)


def test_more_than_the_limit_leaves_nothing(system):
    system(mine="0::/\n", **{"memory-max": f"{MIB}\n", "memory-current": f"{2 * MIB}\n"})
    assert memory() == Memory(MIB, 0)
