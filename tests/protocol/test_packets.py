"""Packets as Python writes and reads them."""

import struct
from array import array

import pytest
from hypothesis import given, settings, strategies as st

from tabgrad.hosts.commands import (
    COMMANDS,
    Alloc,
    Copy,
    Dispatch,
    PacketError,
    Pipeline,
    Read,
    Replay,
    Routine,
    Store,
    TimedReplay,
    Window,
    Write,
    WriteBlob,
)
from tabgrad.hosts.encoder import INLINE_BYTES, Encoder
from tabgrad.hosts.protocol import command_words, decode
from tabgrad.hosts.recording import RecordingHost
from tests.protocol import constants, vectors


def test_the_numbers_of_the_bridge_are_those_of_the_declaration():
    assert constants.PATH.read_text() == constants.text(), "run python -m tests.protocol.constants"


def test_vectors_are_up_to_date():
    assert vectors.FILE.read_text("utf-8") == vectors.text()


def test_a_packet_written_out_by_hand():
    words = [0x74616267, 1, 2]
    words += [1 | 2 << 8, 5, 8]
    words += [3 | 5 << 8, 5, 0, 8, 0x64636261, 0x68676665]
    encoder = Encoder()
    encoder.alloc(5, 8)
    encoder.write(5, 0, b"abcdefgh")
    packet, nbytes, blobs = encoder.finish()
    assert bytes(packet[:nbytes]) == struct.pack("<12I", *words)
    assert blobs == []


@pytest.mark.parametrize("case", vectors.read("good"), ids=lambda case: case["name"])
def test_good_packets_decode(case):
    blobs = [bytes.fromhex(blob) for blob in case["blobs"]]
    commands = decode(bytes.fromhex(case["hex"]), None, blobs)
    assert commands == vectors.GOOD[case["name"]]
    assert [vectors.plain(command) for command in commands] == case["commands"]


@pytest.mark.parametrize("case", vectors.read("good"), ids=lambda case: case["name"])
def test_the_encoder_writes_the_same_words(case):
    encoder = Encoder(capacity=4)
    blobs = [bytes.fromhex(blob) for blob in case["blobs"]]
    for command in vectors.GOOD[case["name"]]:
        encode(encoder, command)
    packet, nbytes, _ = encoder.finish()
    assert bytes(packet[:nbytes]).hex() == case["hex"]
    assert decode(packet, nbytes, blobs) == vectors.GOOD[case["name"]]


def encode(encoder, command):
    """Write a command with the method of its name."""
    if isinstance(command, Alloc):
        encoder.alloc(command.id, command.nbytes)
    elif isinstance(command, Write):
        encoder.write(command.id, command.offset, command.data)
    elif isinstance(command, WriteBlob):
        encoder.append(command)
    elif isinstance(command, Copy):
        encoder.copy(*vars_of(command))
    elif isinstance(command, Pipeline):
        number, label, source, bindings, overrides = vars_of(command)
        encoder.pipeline(number, label, source, bindings, dict(overrides))
    elif isinstance(command, Dispatch):
        number, gx, gy, gz, buffers, uniform = vars_of(command)
        encoder.dispatch(number, (gx, gy, gz), buffers, uniform)
    elif isinstance(command, Routine):
        encoder.routine(*vars_of(command))
    elif isinstance(command, Read):
        encoder.read(*vars_of(command))
    elif isinstance(command, Store):
        encoder.store(*vars_of(command))
    elif isinstance(command, Replay):
        encoder.replay(*vars_of(command))
    elif isinstance(command, TimedReplay):
        encoder.timed_replay(*vars_of(command))
    else:
        name = {"Free": "free", "Drop": "drop", "DropPipeline": "drop_pipelines"}
        getattr(encoder, name[type(command).__name__])(command.ids)


def vars_of(command):
    return [getattr(command, name) for name in type(command).__slots__]


@pytest.mark.parametrize("case", vectors.read("malformed"), ids=lambda case: case["name"])
def test_malformed_packets_are_refused_whole(case):
    host = RecordingHost()
    setup = bytes.fromhex(vectors.read("setup")[0]["hex"])
    assert host.submit(setup, len(setup), []) == 1
    before = (host.text(), {number: bytes(data) for number, data in host.buffers.items()})
    bad = bytes.fromhex(case["hex"])
    blobs = [bytes.fromhex(blob) for blob in case["blobs"]]
    assert host.submit(bad, len(bad), blobs) == 0
    (fault,) = host.faults()
    assert (fault.kind, fault.message) == ("protocol", case["message"])
    assert (fault.command, fault.packet) == (case["command"], 2)
    assert (host.text(), host.buffers) == before
    follow = vectors.packet([Alloc(9, 16), Alloc(8, 16), Replay(1, (1, 2)), Read(9, 1, 0, 4)])
    assert host.submit(follow, len(follow), []) == 1
    assert host.faults() == []


def test_a_length_beyond_the_memory_is_refused():
    good = vectors.packet([Alloc(1, 4)])
    with pytest.raises(PacketError, match="truncated"):
        decode(good, len(good) + 4)
    with pytest.raises(PacketError, match="truncated"):
        decode(good + b"x", len(good) + 1)


def test_what_does_not_fit_a_command_says_so():
    with pytest.raises(PacketError, match="Free: a command holds at most 16777215 words"):
        Encoder().free(array("I", bytes(4 << 24)))


def test_large_data_travels_beside_the_packet():
    encoder = Encoder()
    large = bytearray(INLINE_BYTES + 4)
    encoder.write(1, 0, bytes(INLINE_BYTES))
    encoder.write(1, 4, large)
    packet, nbytes, blobs = encoder.finish()
    first, second = decode(packet, nbytes, blobs)
    assert isinstance(first, Write)
    assert second == WriteBlob(1, 4, len(large), 0)
    assert blobs[0].obj is large
    assert encoder.bytes_up == 2 * INLINE_BYTES + 4


def test_data_of_a_broken_word_is_padded():
    encoder = Encoder()
    encoder.write(1, 0, b"abcde")
    encoder.write(1, 0, bytes(INLINE_BYTES + 1))
    packet, nbytes, blobs = encoder.finish()
    first, second = decode(packet, nbytes, blobs)
    assert first.data == b"abcde\0\0\0"
    assert second.nbytes == INLINE_BYTES + 4 == len(blobs[0])


def test_the_encoder_is_used_again_in_the_same_memory():
    encoder = Encoder(capacity=64)
    encoder.dispatch(1, (1, 1, 1), [2], [3])
    encoder.write(2, 0, bytes(64))
    encoder.pipeline(1, "", "", "", {})
    encoder.read(1, 2, 0, 4)
    counts = (encoder.commands, encoder.dispatches, encoder.pipelines, encoder.reads)
    assert counts == (4, 1, 1, 1)
    memory, _, blobs = encoder.finish()
    encoder.reset()
    counts = (encoder.commands, encoder.dispatches, encoder.pipelines, encoder.reads)
    assert counts == (0, 0, 0, 0)
    assert encoder.bytes_up == 0
    encoder.alloc(1, 4)
    again, nbytes, blobs = encoder.finish()
    assert again is memory
    assert decode(again, nbytes, blobs) == [Alloc(1, 4)]


def test_growing_while_the_memory_is_pinned():
    encoder = Encoder(capacity=8)
    encoder.alloc(1, 4)
    pinned = memoryview(encoder.finish()[0])
    for number in range(2, 100):
        encoder.alloc(number, 4)
    packet, nbytes, blobs = encoder.finish()
    assert decode(packet, nbytes, blobs) == [Alloc(number, 4) for number in range(1, 100)]
    assert len(pinned) == 32


def test_arrays_and_lists_replay_alike():
    words = []
    for kind in (list, tuple, lambda values: array("I", values)):
        encoder = Encoder()
        encoder.replay(3, kind([1, 2]), kind([0, 9]))
        packet, nbytes, _ = encoder.finish()
        words.append(bytes(packet[:nbytes]))
    assert words[0] == words[1] == words[2]


WORD = st.integers(0, 2**32 - 1)
WORDS = st.lists(WORD, max_size=6).map(tuple)
FIELDS = {
    "u": WORD,
    "s": st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    "i": WORDS,
    "*": WORDS,
    "d": st.binary(max_size=4).map(lambda data: data * 4),
    "o": st.lists(
        st.tuples(st.text("abé", max_size=5), st.floats(allow_nan=False)), max_size=3
    ).map(tuple),
}


def command_of(kind):
    nested = st.lists(st.deferred(lambda: NESTED), max_size=3).map(tuple)
    return st.builds(kind, *[FIELDS.get(letter, nested) for letter in kind.LAYOUT])


NESTED = st.one_of(*[command_of(kind) for kind in (Copy, Dispatch, Routine, Window)])
ANY = st.one_of(*[command_of(kind) for kind in COMMANDS if kind is not WriteBlob])


@given(st.lists(ANY, max_size=6))
@settings(deadline=None)
def test_what_is_encoded_decodes_to_itself(commands):
    assert decode(vectors.packet(commands)) == commands


@given(st.sampled_from(sorted(vectors.GOOD)), st.data())
@settings(deadline=None, max_examples=300)
def test_a_damaged_packet_is_read_or_refused(name, data):
    """Never anything but a fault, whatever the words are."""
    words = array("I", vectors.packet(vectors.GOOD[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(words) - 1))
        words[index] = data.draw(st.one_of(WORD, st.integers(0, 64), st.integers(0, 4096)))
    host = RecordingHost()
    damaged = words.tobytes()
    taken = host.submit(damaged, len(damaged), vectors.BLOBS.get(name, []))
    faults = host.faults()
    assert (taken, len(faults)) in ((1, 0), (0, 1))
    assert all(fault.kind == "protocol" for fault in faults)


def test_every_command_has_a_layout_for_each_field():
    for kind in COMMANDS:
        assert len(kind.LAYOUT) == len(kind.__slots__)
        assert set(kind.LAYOUT) <= set("usiod*c")
        assert all(letter not in "*c" for letter in kind.LAYOUT[:-1])
    assert [kind.TAG for kind in COMMANDS] == list(range(1, 16))


def test_words_of_a_command():
    assert list(command_words(Dispatch(2, 3, 1, 1, (8, 9), (5,)))) == [
        7 | 8 << 8, 2, 3, 1, 1, 2, 8, 9, 5,
    ]  # fmt: skip
