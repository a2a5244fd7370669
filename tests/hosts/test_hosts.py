"""The laws of hosts, for the host that --host names; Pyodide runs them in tests/web/inside."""

import asyncio
import gc
import re
import subprocess
import sys

import pytest

from tabgrad.core.errors import DeviceError, HostError, KernelError
from tabgrad.hosts.browser import bridge_source
from tabgrad.hosts.commands import TIMERS, Fault
from tabgrad.hosts.host import available, connect, connect_async, error_of
from tabgrad.hosts.recording import RecordingHost
from tests.hosts import faults, laws
from tests.hosts.bench import Bench, Emulator, floats

KINDS = {"wgpu": "webgpu", "cuda": "cuda"}


def open_host(name, **options):
    if name == "reference":
        emulator = Emulator()
        host = RecordingHost(run=emulator, features=(TIMERS,))
        host.pipelines = emulator.pipelines
        return host
    return connect(KINDS[name], **options)


@pytest.fixture(scope="module")
def shared_host(host_name):
    host = open_host(host_name)
    yield host
    host.close()


def run(law, bench, *rest):
    asyncio.run(law(bench, *rest))


def ids(law):
    return law.__name__


@pytest.mark.every_host
@pytest.mark.parametrize("law", laws.HOSTLESS, ids=ids)
def test_law(law, shared_host):
    bench = Bench(shared_host)
    run(law, bench)
    assert shared_host.faults() == []


@pytest.mark.one_host("wgpu", "cuda")
@pytest.mark.parametrize("law", laws.ON_GPU, ids=ids)
def test_law_of_devices(law, shared_host):
    run(law, Bench(shared_host))


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("law", laws.WEBGPU, ids=ids)
def test_law_of_webgpu(law, shared_host):
    run(law, Bench(shared_host))


@pytest.mark.one_host("reference", "wgpu")
def test_loss(host_name):
    host = open_host(host_name)

    def lose():
        if host_name == "reference":
            host.fail("lost", "pulled out")
        else:
            host._device.destroy()

    run(faults.a_loss_faults_everything, Bench(host), lose)
    after = open_host(host_name)
    run(laws.written_bytes_are_read_back, Bench(after))
    after.close()


@pytest.mark.one_host("wgpu")
def test_diagnosing(host_name):
    host = open_host(host_name, diagnose=True)
    run(faults.diagnosing_names_command_and_kernel, Bench(host))
    host.close()


@pytest.mark.one_host("wgpu")
def test_what_follows_a_failed_command_in_its_packet_does_not_run(shared_host):
    bench = Bench(shared_host)
    x = bench.buffer(floats(1))
    increment = bench.kernel("increment")
    bench.send()
    broken = bench.kernel("broken")
    bench.encoder.dispatch(increment, (1, 1, 1), (x,))
    bench.encoder.write(x, 0, floats(9))
    token = bench.ask(x, 4)
    assert bench.send() == 0
    assert [fault.pipeline for fault in shared_host.faults()] == [broken]
    with pytest.raises(HostError, match="failed with the packet"):
        shared_host.read(token, 1.0)
    assert asyncio.run(bench.floats(x, 1)) == [1]


@pytest.mark.one_host("wgpu")
def test_bind_groups_and_tables_of_freed_buffers_are_forgotten(host_name):
    host = open_host(host_name)
    bench = Bench(host)
    number, _ = laws.chain(bench)
    x = bench.buffer(nbytes=12)
    for _ in range(20):
        y, z = bench.buffer(nbytes=12), bench.buffer(nbytes=12)
        bench.encoder.replay(number, (x, y, z))
        bench.encoder.free([y, z])
        bench.send()
    assert host._groups == {}
    assert host._groups_of == {x: set()}
    assert host._tables_of == {x: set()}
    assert host._lists[number].tables == {}
    for _ in range(20):
        bench.encoder.replay(number, (x, *(bench.buffer(nbytes=12) for _ in "yz")))
        bench.send()
    assert len(host._lists[number].tables) == 8
    assert len(host._tables_of[x]) == 8
    assert host.faults() == []
    host.close()
    gc.collect()


@pytest.mark.one_host("wgpu")
def test_connecting_without_waiting():
    host = asyncio.run(connect_async("webgpu"))
    assert host.hello.language == "wgsl"
    host.close()


def test_an_unknown_kind_is_refused():
    with pytest.raises(DeviceError, match="no host of kind 'tpu': there are 'webgpu' and 'cuda'"):
        connect("tpu")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert available() == ()
    with pytest.raises(DeviceError, match=r"pip install 'tabgrad\[webgpu\]'"):
        connect("webgpu")


def test_faults_become_exceptions():
    assert isinstance(error_of(Fault("compile", "x")), KernelError)
    assert type(error_of(Fault("protocol", "x"))) is HostError
    assert isinstance(error_of(Fault("memory", "x")), MemoryError)


def test_finding_hosts_loads_none_of_them():
    code = (
        "import sys, tabgrad.hosts.host as host, tabgrad.hosts.browser; host.available();"
        "print(sorted({'wgpu', 'cupy', 'js', 'pyodide', 'tabgrad_native'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_bridge_is_one_script_that_gives_connect():
    source = bridge_source()
    assert not re.search(r"^(?:import|export)\b", source, re.MULTILINE)
    assert "\nasync function connect(" in source
    assert source.split("\n")[-2] == "connect;"
    names = re.findall(r"^(?:class|const|(?:async )?function) (\w+)", source, re.MULTILINE)
    assert len(names) == len(set(names)), "two files of the bridge use the same name"
