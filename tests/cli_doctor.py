#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern doctor from outside: this machine, copies of other machines' /proc and /sys, and
topologies that are not here.

usage: cli_doctor.py PROGRAM FOLDER-OF-MODELS
"""

import json
import os
import re
import stat
import sys
import time
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from pathlib import Path

from cli_harness import Program, Terminal, case, main

QUIET = {  # a machine on which nothing costs speed, but what hwloc says of this one
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Test CPU 9000\nmicrocode\t: 0x7\n",
    "/proc/self/status": "Name:\tquern\nCpus_allowed_list:\t0-31\n",
    "/proc/self/cgroup": "0::/\n",
    "/proc/self/mountinfo": "41 23 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "/proc/stat": "cpu  100 0 100 9999 0 0 0 0 0 0\n",
    "/proc/loadavg": "0.01 0.10 0.20 1/99 999\n",
    "/proc/meminfo": "MemTotal: 33554432 kB\nMemAvailable: 31457280 kB\nSwapTotal: 0 kB\n"
                     "SwapFree: 0 kB\n",
    "/proc/sys/kernel/numa_balancing": "0\n",
    "/proc/sys/kernel/perf_event_paranoid": "2\n",
    "/proc/sys/vm/overcommit_memory": "0\n",
    "/sys/devices/system/cpu/online": "0-31\n",
    "/sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3100000\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "4000000\n",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
}
TWO_SOCKETS = "pack:2 numa:1 l3:2 core:4 pu:2"

# What changes -> the finding that warns, and what its command has to name.
SPOILED = [
    ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n", "governor",
     "cpupower frequency-set -g performance"),
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n", "turbo", "intel_pstate/no_turbo"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n", "huge_pages",
     "transparent_hugepage/enabled"),
    ("/proc/sys/kernel/numa_balancing", "1\n", "numa_balancing", "kernel.numa_balancing=0"),
    ("/proc/sys/vm/overcommit_memory", "2\n", "overcommit", "vm.overcommit_memory=0"),
    ("/proc/sys/kernel/perf_event_paranoid", "4\n", "perf_event_paranoid",
     "kernel.perf_event_paranoid=2"),
    ("/proc/stat", "cpu 100 0 100 9999 0 0 0 50 0 0\n", "steal", "vmstat"),
    ("/proc/loadavg", "7.50 1 1 1/99 9\n", "load", "top"),
    ("/proc/self/status", "Cpus_allowed_list:\t0-3,8\n", "affinity", "taskset"),
    ("/proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable: 1 kB\nSwapTotal: 9000000 kB\n"
     "SwapFree: 1000 kB\n", "swap", "swapoff"),
    ("/sys/fs/cgroup/cpu.max", "250000 100000\n", "quota", "--cpus 16"),
]


def make_root(program: Program, **changes: str) -> Path:
    root = program.scratch / "root"
    for path, text in {**QUIET, **changes}.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def examine(program: Program, *arguments) -> dict:
    return json.loads(program.succeeds("doctor", "--json", *arguments).stdout)


def finding(report: dict, key: str) -> dict:
    return next(f for f in report["findings"] if f["key"] == key)


def elsewhere(program: Program, changes: dict) -> dict:
    return examine(program, "--root", make_root(program, **changes), "--topology", TWO_SOCKETS)


@case
def a_quiet_machine_has_no_warnings(program: Program):
    report = elsewhere(program, {})
    warned = [f for f in report["findings"] if f["verdict"] == "WARN"]
    # What the processor has and the build lacks is not of the folder, nor is what was asked for.
    left_out = set(finding(report, "isa_found")["value"].split()) - \
        set(finding(report, "isa_compiled")["value"].split()) - {"none"}
    keys = {f["key"] for f in warned} - ({"isa_chosen"} if "QUERN_ISA" in os.environ else set())
    assert keys == ({"isa_compiled"} if left_out else set()), warned
    assert report["processor"] == TWO_SOCKETS and report["threads"] == 16
    assert report["figures"] is None
    assert finding(report, "frequency")["value"] == "3.10 GHz now, 4.00 at the most"
    assert finding(report, "memory")["value"] == "32.0 GiB, 30.0 available"


@case
def each_spoiled_setting_is_told_with_its_command(program: Program):
    for path, text, key, command in SPOILED:
        found = finding(elsewhere(program, {path: text}), key)
        assert found["verdict"] == "WARN", found
        assert command in found["mend"], found


@case
def a_quota_gives_the_threads(program: Program):
    for text, threads in [("250000 100000", 2), ("max 100000", 16), ("50000 100000", 1),
                          ("1600000 100000", 16)]:
        report = elsewhere(program, {"/sys/fs/cgroup/cpu.max": text + "\n"})
        assert report["threads"] == threads, (text, report["threads"])
        assert sum(p["worker"] is not None for p in report["processors"]) == threads
    report = elsewhere(program, {
        "/proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n",
        "/proc/self/mountinfo": "30 23 0:28 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup cpu\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "350000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"})
    assert report["threads"] == 3 and report["quota"] == 3.5
    assert finding(report, "quota")["value"].startswith("3.5 CPUs: 3 threads of 16")


@case
def a_memory_limit_is_told(program: Program):
    for changes in [{"/sys/fs/cgroup/memory.max": "2147483648\n"},
                    {"/proc/self/cgroup": "5:memory:/docker/x\n4:cpu:/\n",
                     "/proc/self/mountinfo":
                         "30 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup cpu\n"
                         "31 23 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup memory\n",
                     "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                     "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "2147483648\n"}]:
        found = finding(elsewhere(program, changes), "memory_limit")
        assert found["value"] == "2.0 GiB of the control group", found
    assert finding(elsewhere(program, {"/sys/fs/cgroup/memory.max": "max\n",
                                       **{k: QUIET[k] for k in ("/proc/self/cgroup",
                                                                "/proc/self/mountinfo")}}),
                   "memory_limit")["value"] == "none"


@case
def an_empty_root_is_no_error(program: Program):
    root = program.scratch / "nothing"
    root.mkdir()
    report = examine(program, "--root", root, "--topology", "core:2 pu:1")
    assert finding(report, "governor")["verdict"] == "-"
    assert finding(report, "numa_balancing")["verdict"] == "-"


@case
def groups_are_told(program: Program):
    for text, value in [(TWO_SOCKETS, "4 of 4 threads; a barrier joins each, then their leaders"),
                        ("core:20 pu:1", "3, of 6 to 7 threads; a barrier joins each, then their "
                                         "leaders"),
                        ("core:1 pu:2", "1 of 1 thread")]:
        found = finding(examine(program, "--no-measure", "--topology", text), "groups")
        assert found["value"] == value, found


@case
def a_topology_is_drawn(program: Program):
    for text, cores, threads, sizes in [(TWO_SOCKETS, 16, 32, [4, 4, 4, 4]), ("pu:3", 3, 3, [3]),
                                        ("core:20 pu:1", 20, 20, [6, 7, 7])]:
        path = program.scratch / "machine.svg"
        program.succeeds("doctor", "--topology", text, "--svg", path)
        svg = ElementTree.parse(path).getroot()
        boxes = [e.get("class", "").split() for e in svg.iter("{http://www.w3.org/2000/svg}rect")]
        assert sum("core" in b for b in boxes) == cores, text
        assert sum("thread" in b for b in boxes) == threads, text
        assert sum("core" in b and "used" in b for b in boxes) == cores
        groups = [e.text for e in svg.iter("{http://www.w3.org/2000/svg}text")
                  if e.get("class") == "group"]
        assert groups == [f"group {g}" for g, n in enumerate(sizes) for _ in range(n)], groups
        width, height = float(svg.get("width")), float(svg.get("height"))
        for rect in svg.iter("{http://www.w3.org/2000/svg}rect"):
            assert float(rect.get("x", 0)) + float(rect.get("width")) <= width, text
            assert float(rect.get("y", 0)) + float(rect.get("height")) <= height, text


HYBRID = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" cpuset="0x0000000f" complete_cpuset="0x0000000f"
          allowed_cpuset="0x0000000f" nodeset="0x1" complete_nodeset="0x1" allowed_nodeset="0x1"
          gp_index="1">
    <object type="NUMANode" os_index="0" cpuset="0x0000000f" complete_cpuset="0x0000000f"
            nodeset="0x1" complete_nodeset="0x1" gp_index="2" local_memory="1073741824"/>
{cores}
  </object>
  <cpukind cpuset="0x00000003" forced_efficiency="0"/>
  <cpukind cpuset="0x0000000c" forced_efficiency="1"/>
</topology>
"""
CORE = """<object type="Core" os_index="{i}" cpuset="{mask}" complete_cpuset="{mask}"
  nodeset="0x1" complete_nodeset="0x1" gp_index="{core}"><object type="PU" os_index="{i}"
  cpuset="{mask}" complete_cpuset="{mask}" nodeset="0x1" complete_nodeset="0x1"
  gp_index="{pu}"/></object>"""


@case
def hybrid_cores_are_told_apart(program: Program):
    cores = "\n".join(CORE.format(i=i, mask=f"0x{1 << i:08x}", core=10 + i, pu=20 + i)
                      for i in range(4))
    path = program.scratch / "hybrid.xml"
    path.write_text(HYBRID.format(cores=cores))
    program.environment["HWLOC_XMLFILE"] = str(path)
    report = examine(program, "--no-measure")
    kinds = {p["cpu"]: p["kind"] for p in report["processors"]}
    assert kinds == {0: 0, 1: 0, 2: 1, 3: 1}, kinds
    assert finding(report, "hybrid")["value"].startswith("hybrid: 2 fast, 2 slower; 2 fast and 0")
    assert {p["cpu"] for p in report["processors"] if p["worker"] is not None} == {2, 3}


@case
def this_machine_on_one_page(program: Program):
    text = program.succeeds("doctor", "--no-measure").stdout.decode()
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines if not line.lstrip().startswith("$"))
    assert "\x1b" not in text and not any(line != line.rstrip() for line in lines)
    for section in ["Instructions", "Kernels", "Cores", "Clock", "Memory", "Counters"]:
        assert any(line.startswith(section) for line in lines), section
    report = examine(program, "--no-measure")
    allowed = sorted(os.sched_getaffinity(0))
    assert [p["cpu"] for p in report["processors"] if p["allowed"]] == allowed
    pinned = finding(report, "pinned")
    assert f"{report['threads']}, {report['threads']} pinned" in pinned["value"], pinned


@case
def one_processor_of_the_mask(program: Program):
    first = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {first})
    try:
        report = examine(program, "--no-measure")
    finally:
        os.sched_setaffinity(0, before)
    assert report["threads"] == 1
    assert [p["cpu"] for p in report["processors"] if p["worker"] == 0] == [first]
    if len(before) > 1:
        assert finding(report, "affinity")["verdict"] == "WARN"


@case
def kernels_are_those_of_the_set(program: Program):
    report = examine(program, "--no-measure", "--isa", "ref")
    assert {k["isa"] for k in report["kernels"]} == {"ref"}
    assert {k["op"] for k in report["kernels"]} >= {"matmul", "matvec", "attention", "add"}
    chosen = finding(report, "isa_chosen")
    assert chosen["value"].startswith("ref")


@case
def a_lower_set_than_usual_is_warned_of(program: Program):
    """Not one that adds to the usual ones, nor the usual one by its name."""
    def taken(report):
        return {(k["op"], k["variant"]): rank.index(k["isa"]) for k in report["kernels"]}
    program.environment.pop("QUERN_ISA", None)
    report = examine(program, "--no-measure")
    rank = ["ref", *finding(report, "isa_found")["value"].split()]
    usual = taken(report)
    assert finding(report, "isa_chosen")["verdict"] == "OK"
    for isa in program.instruction_sets()[1]:
        report = examine(program, "--no-measure", "--isa", isa)
        mine = taken(report)
        lower = any(mine[slot] < usual[slot] for slot in usual)
        assert finding(report, "isa_chosen")["verdict"] == ("WARN" if lower else "OK"), isa


@case
def figures_are_kept_and_measured_again(program: Program):
    cache = program.scratch / "cache"
    program.environment["XDG_CACHE_HOME"] = str(cache)
    first = examine(program)["figures"]
    files = list((cache / "quern").iterdir())
    assert len(files) == 1 and stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert examine(program)["figures"] == first, "the second time they come from the cache"
    told = datetime.fromisoformat(first["measured_at"].replace("Z", "+00:00")).timestamp()
    assert told == json.loads(files[0].read_text())["measured_at"]
    for limits in first["limits"]:
        for name, rate in limits.items():
            if isinstance(rate, dict):
                assert 0 < rate["median"] <= rate["best"], (name, rate)
                assert 0 <= rate["clean_runs"] <= rate["runs"]
    kept = json.loads(files[0].read_text())
    kept["measured_at"] -= 3 * 86400
    kept["all"]["f32"]["best"] = 4321.0
    files[0].write_text(json.dumps(kept))
    page = program.succeeds("doctor").stdout.decode()
    assert "Measured 3 days ago" in page
    if first["limits"][1]["f32_gflop_s"] is not None:
        assert "4321.0 of" in page
    # The clock goes on between writing and reading.
    for age, told in ((1, r"[1-9] seconds?"), (20, "2[0-9] seconds"), (61, "1 minute"),
                      (119 * 60, "119 minutes"), (3 * 3600, "3 hours")):
        kept["measured_at"] = int(time.time()) - age
        files[0].write_text(json.dumps(kept))
        page = program.succeeds("doctor").stdout.decode()
        assert re.search(rf"\nMeasured {told} ago \(--fresh measures again\)\n", page), (age, page)
        assert "Measured 1 seconds" not in page
    assert "Measured just now" in program.succeeds("doctor", "--fresh").stdout.decode()


@case
def figures_that_cannot_be_kept_are_told(program: Program):
    (program.scratch / "file").write_text("not a folder")
    program.environment["XDG_CACHE_HOME"] = str(program.scratch / "file")
    told = [program.run("doctor"), program.run("bench", program.model("llama-f32"), "--roofline",
                                               "-p", "1", "-n", "0", "-r", "1", "-t", "1")]
    for done in told:
        assert done.returncode == 0 and done.stderr.count(b"cannot be kept in") == 1, done


@case
def a_narrow_terminal_wraps_words(program: Program):
    program.environment["NO_COLOR"] = "1"
    elsewhere = ["--root", make_root(program), "--topology", TWO_SOCKETS]  # no word is too long
    for columns in (60, 80, 200):
        with Terminal(program, "doctor", *elsewhere, columns=columns) as terminal:
            status, shown = terminal.finish()
        lines = [line for line in shown.splitlines() if not line.lstrip().startswith("$ ")]
        assert status == 0 and len(lines) > 30
        assert columns - 20 < max(map(len, lines[1:])) <= columns or columns > 80, (columns, shown)
        assert max(map(len, lines[1:])) <= 80, "long lines are hard to read on any terminal"


@case
def strict_fails_on_a_warning(program: Program):
    quiet = make_root(program)
    arguments = ["doctor", "--strict", "--topology", TWO_SOCKETS, "--root"]
    program.environment.pop("QUERN_ISA", None)
    clean = program.run(*arguments, quiet)
    make_root(program, **{"/proc/loadavg": "99 99 99 1/9 9\n"})
    spoiled = program.run(*arguments, quiet)
    assert spoiled.returncode == 1 and b"WARN" in spoiled.stdout and spoiled.stderr == b""
    assert clean.returncode == (1 if b"WARN" in clean.stdout else 0)


@case
def wrong_usage_is_told(program: Program):
    program.fails(2, ["sideways"], "doctor", "--topology", "sideways:2")
    program.fails(2, ["'mmx'"], "doctor", "--isa", "mmx")
    program.fails(2, ["unexpected"], "doctor", "x")
    program.fails(1, ["--root", "/no/such/folder"], "doctor", "--root", "/no/such/folder")
    program.fails(1, ["--root", "is not a folder"], "doctor", "--root", program.model("llama-f32"))
    for text in ["pack:1000 core:1000 pu:2", "8193", "pack:2 [numa(memory=1GB)] core:0x1001 pu:1",
                 "core:99999999999999999999999"]:
        program.fails(2, [text, "more than 8192 processors"], "doctor", "--topology", text)
    # Numbers of names and attributes do not count.
    program.succeeds("doctor", "--topology", "pack:2 l3:2(size=999999) core:4 2")
    done = program.run("doctor", "--no-measure", "--json", "--svg", "/dev/full")
    assert done.returncode == 1 and b"cannot write /dev/full: No s" in done.stderr, done
    assert json.loads(done.stdout)["findings"]


if __name__ == "__main__":
    sys.exit(main())
