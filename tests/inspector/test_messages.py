import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.inspector.messages import (
    MAX_DATA,
    MAX_FRAME,
    Begin,
    Done,
    Finding,
    FrameError,
    Key,
    Live,
    Ping,
    Ready,
    Record,
    Refused,
    Rule,
    Settling,
    Stop,
    decode,
    encode,
)

U8, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" \n\t…"),
    max_size=50,
)
MESSAGES = st.one_of(
    st.builds(Key, st.binary(max_size=64)),
    st.builds(
        Rule,
        index=U32,
        id=TEXT,
        regex=TEXT,
        validator=TEXT,
        normalise=st.booleans(),
        mask_head=U8,
        mask_tail=U8,
    ),
    st.builds(Begin, U32, U32),
    st.builds(
        Record,
        sequence=U64,
        flow=U64,
        offset=U64,
        data=st.binary(max_size=200),
        final=st.booleans(),
    ),
    st.builds(Ping, U64),
    st.just(Stop()),
    st.builds(Ready, TEXT, TEXT),
    st.builds(Live, U32),
    st.builds(Refused, U32, TEXT),
    st.builds(
        Finding,
        release=U32,
        signature=U32,
        flow=U64,
        offset=U64,
        length=U32,
        digest=st.binary(min_size=32, max_size=32),
        masked=TEXT,
    ),
    st.builds(
        Done,
        sequence=U64,
        gaps=U32,
        gap_bytes=U64,
        retransmitted=U64,
        rewritten=U64,
        evicted=U32,
        bounded=U32,
        suppressed=U32,
    ),
    st.builds(Settling, U64, st.booleans()),
)


@given(MESSAGES)
def test_messages_survive_the_way(message):
    """What is encoded is decoded to the same message, whatever its values."""
    assert message == decode(encode(message))


@given(st.binary(max_size=300))
def test_garbage_is_refused(frame):
    """Bytes that are no frame raise FrameError and nothing else."""
    with pytest.raises(FrameError):
        decode(frame)


@given(MESSAGES, st.data())
def test_damaged_frames_are_refused_or_read(message, data):
    """A frame with one byte changed, cut or added never raises anything but FrameError."""
    frame = bytearray(encode(message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(frame), bytes(frame[:at]), bytes(frame) + b"x"):
        try:
            decode(damaged)
        except FrameError:
            continue


@given(MESSAGES)
def test_cut_and_padded_frames_are_refused(message):
    """The length of a frame is checked against what came."""
    frame = encode(message)
    for damaged in (frame[:-1], frame + b"\0"):
        with pytest.raises(FrameError):
            decode(damaged)


def test_other_versions_are_refused():
    """A frame of another version is not guessed at."""
    frame = bytearray(encode(Stop()))
    frame[2] += 1

    with pytest.raises(FrameError, match="version"):
        decode(bytes(frame))


def test_text_must_be_printable():
    """Text from a worker cannot carry control characters to a terminal or a log."""
    with pytest.raises(FrameError, match="printable"):
        decode(encode(Refused(1, "\x1b[2J")))


@pytest.mark.parametrize(
    "message",
    [
        Record(flow=1, offset=0, data=bytes(MAX_FRAME)),
        Begin(-1, 0),
        Ready("x" * 70_000, ""),
    ],
)
def test_what_does_not_fit_is_refused(message):
    """A message beyond the frame's bounds is not sent cut short."""
    with pytest.raises(FrameError):
        encode(message)


def test_largest_record_fits():
    """The longest piece that the client sends fits a frame."""
    assert len(encode(Record(flow=1, offset=0, data=bytes(MAX_DATA)))) <= MAX_FRAME


def test_nothing_shows_payload_or_key():
    """A repr, which ends in logs and tracebacks, holds neither payload nor key."""
    shown = repr([Record(flow=1, offset=0, data=b"4111111111111111"), Key(b"very-secret")])

    assert "4111" not in shown
    assert "very-secret" not in shown
