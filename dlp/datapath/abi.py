"""The Python mirror of bpf/abi.h: enums, and structs as ctypes.

Nothing but layout. tests/datapath/test_abi.py compares every size and offset with
what the compiler makes of the header; integers are in host order.
"""

from __future__ import annotations

import enum
from ctypes import Structure, c_int8, c_uint8, c_uint16, c_uint32, c_uint64, sizeof

TAIL = 128
COUNTED = 4
SPAN = 126
LITERAL = 32
STEPS = 16
CLASSES = 256
CLASS_WORDS = 1024
ANCHORS = 8
GRAM_BUCKETS = 32768
GRAM_STARTS = 2048
GRAM_ENTRIES = 65535
GRAM_ROW = 512
GRAM_ROWS = 128
LANE = 64
BLOOM_WORDS = 8192
SIGNATURES = 4096
SHAPES = 16384
RULES = 8192
RULE_PAGE = 64
SUMS = 256
SUM_LONGEST = 32
SUM_LARGEST = 127
SUM_ANY = 254
SUM_NEVER = 255
KEYWORD = 32
KEYWORDS = 1024
KEYWORD_WORDS = 16
NEARS = 256
STARTS = 1024
WINDOW = 64
POLICIES = 64
DESTINATIONS = 32
WORKLOADS = 1024
REASONS = 128
DEBRUIJN = 0x03F79D71B4CB0A89

TC_PASS = 0xFFFFFFFF  # TC_ACT_UNSPEC as BPF_PROG_TEST_RUN returns it
TC_DROP = 2
TC_STOLEN = 4


class Reason(enum.IntEnum):
    """Why a packet or its bytes were treated as they were; see enum dlp_reason."""

    PACKETS = 0
    INSPECTED = 1
    NO_PAYLOAD = 2
    EXEMPT = 3
    DENIED = 4
    MATCH_DROPPED = 5
    FLOW_BLOCKED = 6
    OPAQUE_TLS = 7
    OPAQUE_QUIC = 8
    OPAQUE_SSH = 9
    UNINSPECTABLE = 10
    OTHER_PROTOCOL = 11
    NON_IP_SCANNED = 12
    ARP = 13
    MALFORMED_L2 = 14
    MALFORMED_IP4 = 15
    MALFORMED_IP6 = 16
    MALFORMED_L4 = 17
    IP6_CHAIN = 18
    FRAGMENT = 19
    RETRANSMISSION = 20
    GAP = 21
    OUT_OF_ORDER = 22
    MIDSTREAM = 23
    OVER_BUDGET = 24
    PULL_FAILED = 25
    LOAD_FAILED = 26
    TAIL_CALL_FAILED = 27
    MAP_FAILED = 28
    EVENT_LOST = 29
    MIRROR_LOST = 30
    BLOOM_CANDIDATE = 31
    DIGIT_CANDIDATE = 32
    SHAPE_CANDIDATE = 33
    CHECK_FAILED = 34
    MATCH = 35
    BELOW_THRESHOLD = 36
    REPEATED = 37
    EXCEPTED = 38
    MIRRORED = 39
    WOULD_DROP = 40
    RESUMED = 41
    INSPECTOR_DOWN = 42
    NO_POLICY = 43
    LENGTH_LIE = 44
    TRAILER = 45
    PASSED = 46
    DROPPED = 47
    CONTROL = 48
    SATURATED = 49
    INSPECTOR_BLOCKED = 50
    UNOWNED = 51
    URGENT = 52
    MPTCP_JOIN = 53
    FRAGMENT_ORDER = 54
    REWRITTEN = 55
    HELD = 56
    WAITED = 57
    RELEASED = 58
    HOLD_TIMEOUT = 59
    HOLD_LOST = 60
    HOLD_UDP = 61
    QUARANTINED = 62
    EVENT_LIMITED = 63
    OVERLOAD = 64
    GUARDED = 65
    BYPASS = 66
    GUARD_HELD = 67
    CLOSED = 68
    GATED = 69
    FRAGMENT_REFUSED = 70
    IP_OPTIONS = 71
    HOP_LIMIT = 72
    BLOCK_LOST = 73
    SHADOW_MATCH = 74
    SHADOW_LIMITED = 75
    NO_KEYWORD = 76
    SHADOW_MIRRORED = 77
    SHADOW_UNREAD = 78

    @property
    def label(self) -> str:
        return self.name.lower()


class EventKind(enum.IntEnum):
    MATCH = 1
    PREFILTER = 2
    OPAQUE = 3
    BUDGET = 4
    DENIED = 5
    REFUSED = 6
    BYPASS = 7
    HELD = 8
    HOLD_TIMEOUT = 9


class PolicyFlag(enum.IntFlag):
    MONITOR = 1
    INSPECTOR_DOWN_CLOSED = 2
    OTHER_DROP = 4
    OVER_BUDGET_DROP = 8
    UNOWNED_DROP = 16
    URGENT_DROP = 32
    MPTCP_DROP = 64
    FRAGMENTS_DROP = 128
    OPEN_END_WAIT = 256
    HOLD_CLOSED = 512
    HOLD_UDP_DROP = 1024
    OVERLOAD_CLOSED = 2048


class FlowState(enum.IntEnum):
    OPEN = 0
    BLOCKED = 1


class FlowFlag(enum.IntFlag):
    INIT = 1
    PARTLY = 2
    MIRROR = 4
    HOLE = 8
    EXEMPT = 16
    DENIED = 32
    FIRST = 64
    TAIL = 128
    OWNED = 256
    HELD_BEFORE = 512
    SEAM = 1024
    OPENED = 2048
    SHADOW = 4096


class EventFlag(enum.IntFlag):
    MONITOR = 1
    BELOW_THRESHOLD = 2
    EXCEPTED = 4
    MIDSTREAM = 8
    OWNED = 16
    SHADOW = 32


class RuleFlag(enum.IntFlag):
    SHADOW = 1


class DeviceFlag(enum.IntFlag):
    """What an entry program knows of its device."""

    GUARDED = 1
    STEALS = 2
    LOOPBACK = 4
    FINAL = 8
    STAMPS = 16


class GuardFlag(enum.IntFlag):
    CLOSED = 1
    MONITOR = 2
    QUARANTINED = 4


class Slot(enum.IntEnum):
    """Slots of the program array; see bpf/maps.h."""

    CLASSIFY = 0
    SCAN2 = 1
    SCAN3 = 2
    SCAN6 = 3
    GRAMS = 4
    DIGITS = 5
    SHAPE = 6
    CHECK = 7
    JUDGE = 8
    GROUPS = 9
    HOLD = 10
    NEAR = 11


SCAN_SLOT = {2: Slot.SCAN2, 3: Slot.SCAN3, 6: Slot.SCAN6}


class StepStruct(Structure):
    _fields_ = [("cls", c_uint8), ("min", c_uint8), ("max", c_uint8), ("pad", c_uint8)]


class ShapeStruct(Structure):
    _fields_ = [
        ("literal", c_uint8 * LITERAL),
        ("fold", c_uint8 * LITERAL),
        ("mask", c_uint8 * LITERAL),
        ("step", StepStruct * STEPS),
        ("signature", c_uint16),
        ("literal_offset", c_uint8),
        ("steps", c_uint8),
        ("left", c_uint8),
        ("right", c_uint8),
        ("trigger", c_uint8),
        ("near", c_uint8),
    ]


class AnchorStruct(Structure):
    _fields_ = [("gram", c_uint32), ("shape", c_uint16), ("offset", c_int8), ("last", c_uint8)]


class AnchorsStruct(Structure):
    _fields_ = [("entry", AnchorStruct * GRAM_ROW)]


class GramStartsStruct(Structure):
    _fields_ = [("first", c_uint16 * GRAM_STARTS)]


class SignatureStruct(Structure):
    _fields_ = [
        ("check", c_uint8),
        ("prefilter", c_uint8),
        ("normalise", c_uint8),
        ("sums", c_uint8),
        ("sum", c_uint8 * 2),
        ("near", c_uint16),
    ]


class KeywordStruct(Structure):
    _fields_ = [
        ("text", c_uint8 * KEYWORD),
        ("mask", c_uint8 * KEYWORD),
        ("length", c_uint8),
        ("pad", c_uint8 * 7),
    ]


class StartsStruct(Structure):
    _fields_ = [("first", c_uint16 * STARTS), ("count", c_uint8 * STARTS)]


class NearStruct(Structure):
    _fields_ = [
        ("keyword", c_uint64 * KEYWORD_WORDS),
        ("distance", c_uint8),
        ("pad", c_uint8 * 7),
    ]


class SumStruct(Structure):
    _fields_ = [
        ("weight", c_uint8 * SUM_LONGEST),
        ("expected", c_uint8 * (SUM_LARGEST + 1)),
        ("modulus", c_uint8),
        ("check", c_uint8),
        ("length", c_uint8),
        ("digits", c_uint8),
        ("pad", c_uint8 * 4),
    ]


class BloomStruct(Structure):
    _fields_ = [("word", c_uint64 * BLOOM_WORDS)]


class ClassesStruct(Structure):
    _fields_ = [("member", c_uint64 * CLASS_WORDS)]


class LaneStruct(Structure):
    _fields_ = [
        ("first", c_uint64 * 512),
        ("second", c_uint64 * 16),
        ("before", c_uint64 * 256),
        ("after", c_uint64 * 256),
        ("shape", c_uint16 * LANE),
        ("offset", c_uint8 * LANE),
    ]


class RulePageStruct(Structure):
    _fields_ = [("rule", c_uint16 * RULE_PAGE)]


class RuleStruct(Structure):
    _fields_ = [
        ("action", c_uint8),
        ("index", c_uint8),
        ("threshold", c_uint8),
        ("flags", c_uint8),
        ("id", c_uint32),
        ("window_s", c_uint32),
        ("pad", c_uint32),
    ]


class HitsStruct(Structure):
    _fields_ = [("matches", c_uint64), ("acted", c_uint64), ("prefilters", c_uint64)]


class WindowKeyStruct(Structure):
    _fields_ = [("netns", c_uint64), ("rule", c_uint32), ("pad", c_uint32)]


class WindowStruct(Structure):
    _fields_ = [
        ("value", c_uint64 * WINDOW),
        ("seen_ns", c_uint64 * WINDOW),
        ("changes", c_uint64),
    ]


class DestinationStruct(Structure):
    _fields_ = [
        ("address", c_uint8 * 16),
        ("mask", c_uint8 * 16),
        ("port_low", c_uint16),
        ("port_high", c_uint16),
        ("action", c_uint8),
        ("pad", c_uint8 * 3),
    ]


class PolicyStruct(Structure):
    _fields_ = [
        ("flags", c_uint32),
        ("uninspectable", c_uint8),
        ("destinations", c_uint8),
        ("hold_timeout_ms", c_uint16),
        ("destination", DestinationStruct * DESTINATIONS),
    ]


class WhoStruct(Structure):
    _fields_ = [("netns", c_uint64), ("cgroup", c_uint64)]


class BindingStruct(Structure):
    _fields_ = [("policy", c_uint16 * 2)]


class SettingsStruct(Structure):
    _fields_ = [
        ("generation", c_uint32),
        ("scan_slot", c_uint32 * 2),
        ("cgroup_level", c_uint32),
        ("heartbeat_ns", c_uint64),
        ("heartbeat_max_ns", c_uint64),
        ("release", c_uint32),
        ("bloom_shift", c_uint8 * 2),
        ("by_cgroup", c_uint8),
        ("pad", c_uint8),
        ("policies", c_uint8 * 2),
        ("event_burst", c_uint16),
        ("pad2", c_uint8 * 4),
        ("hmac_inner", c_uint32 * 8),
        ("hmac_outer", c_uint32 * 8),
    ]


class ConstantsStruct(Structure):
    _fields_ = [
        ("sha256", c_uint32 * 64),
        ("bit_number", c_uint8 * 64),
        ("value", c_uint8 * 256),
        ("dni_letter", c_uint8 * 32),
        ("verhoeff_product", c_uint8 * 256),
        ("verhoeff_place", c_uint8 * 128),
        ("kind", c_uint8 * 256),
    ]


class FlowKeyStruct(Structure):
    _fields_ = [
        ("netns", c_uint64),
        ("source", c_uint8 * 16),
        ("destination", c_uint8 * 16),
        ("source_port", c_uint16),
        ("destination_port", c_uint16),
        ("protocol", c_uint16),
        ("family", c_uint8),
        ("pad", c_uint8),
    ]


class CountedStruct(Structure):
    _fields_ = [("rule", c_uint32), ("values", c_uint32)]


class FlowStruct(Structure):
    _fields_ = [
        ("id", c_uint64),
        ("cgroup", c_uint64),
        ("started_ns", c_uint64),
        ("seen_ns", c_uint64),
        ("packets", c_uint64),
        ("offset", c_uint64),
        ("inspected", c_uint64),
        ("missed", c_uint64),
        ("opaque_bytes", c_uint64),
        ("gap_ns", c_uint64),
        ("held_ns", c_uint64),
        ("held_to", c_uint64),
        ("clear_to", c_uint64),
        ("listed_ns", c_uint64),
        ("next_seq", c_uint32),
        ("isn", c_uint32),
        ("matches", c_uint32),
        ("signature", c_uint16),
        ("policy", c_uint16),
        ("wait_seq", c_uint32),
        ("flags", c_uint16),
        ("state", c_uint8),
        ("opaque", c_uint8),
        ("told", c_uint8),
        ("refused", c_uint8),
        ("waits", c_uint8),
        ("next_byte", c_uint8),
        ("kept", c_uint8),
        ("hops", c_uint8),
        ("question", c_uint8),
        ("shadow_left", c_uint8),
        ("pad", c_uint8 * 4),
        ("release", c_uint32),
        ("counted", CountedStruct * COUNTED),
        ("tail", c_uint8 * TAIL),
    ]


class WordStruct(Structure):
    _fields_ = [
        ("clear_to", c_uint64),
        ("signature", c_uint32),
        ("block", c_uint16),
        ("keep", c_uint8),
        ("question", c_uint8),
    ]


class BlockStruct(Structure):
    _fields_ = [("until_ns", c_uint64), ("signature", c_uint32), ("pad", c_uint32)]


class GuardStruct(Structure):
    _fields_ = [
        ("token", c_uint32 * 2),
        ("held", c_uint32 * 2),
        ("current", c_uint32),
        ("flags", c_uint32),
    ]


class DatagramStruct(Structure):
    _fields_ = [
        ("seen_ns", c_uint64),
        ("next", c_uint32),
        ("release", c_uint32),
        ("tail", c_uint8 * TAIL),
    ]


class BucketStruct(Structure):
    _fields_ = [
        ("filled_ns", c_uint64),
        ("level", c_uint64),
        ("full_ns", c_uint64),
        ("shadow_filled_ns", c_uint64),
        ("shadow_level", c_uint64),
        ("shadow_payload_ns", c_uint64),
        ("shadow_payload_level", c_uint64),
    ]


class SeenKeyStruct(Structure):
    _fields_ = [
        ("flow", c_uint64),
        ("value", c_uint64),
        ("rule", c_uint32),
        ("pad", c_uint32),
    ]


class ExceptionKeyStruct(Structure):
    _fields_ = [("policy", c_uint32), ("pad", c_uint32), ("digest", c_uint8 * 32)]


class CountersStruct(Structure):
    _fields_ = [("packets", c_uint64 * REASONS), ("bytes", c_uint64 * REASONS)]


class EventStruct(Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("size", c_uint32),
        ("time_ns", c_uint64),
        ("flow", c_uint64),
        ("cgroup", c_uint64),
        ("key", FlowKeyStruct),
        ("offset", c_uint64),
        ("let_out", c_uint64),
        ("length", c_uint32),
        ("sent_before", c_uint32),
        ("count", c_uint32),
        ("release", c_uint32),
        ("signature", c_uint16),
        ("policy", c_uint16),
        ("rule", c_uint8),
        ("action", c_uint8),
        ("flags", c_uint8),
        ("reason", c_uint8),
        ("digest", c_uint8 * 32),
        ("head", c_uint8 * 8),
        ("tail", c_uint8 * 8),
    ]


class PayloadStruct(Structure):
    _fields_ = [
        ("time_ns", c_uint64),
        ("flow", c_uint64),
        ("key", FlowKeyStruct),
        ("offset", c_uint64),
        ("length", c_uint32),
        ("release", c_uint32),
        ("policy", c_uint16),
        ("final", c_uint8),
        ("held", c_uint8),
        ("again", c_uint8),
        ("before", c_uint8),
        ("question", c_uint8),
        ("pad", c_uint8 * 1),
    ]


PAYLOAD_HEADER = sizeof(PayloadStruct)

STRUCTS: dict[str, type[Structure]] = {
    "dlp_step": StepStruct,
    "dlp_shape": ShapeStruct,
    "dlp_anchor": AnchorStruct,
    "dlp_anchors": AnchorsStruct,
    "dlp_gram_starts": GramStartsStruct,
    "dlp_signature": SignatureStruct,
    "dlp_sum": SumStruct,
    "dlp_keyword": KeywordStruct,
    "dlp_starts": StartsStruct,
    "dlp_near": NearStruct,
    "dlp_bloom": BloomStruct,
    "dlp_classes": ClassesStruct,
    "dlp_lane": LaneStruct,
    "dlp_rule_page": RulePageStruct,
    "dlp_rule": RuleStruct,
    "dlp_hits": HitsStruct,
    "dlp_window_key": WindowKeyStruct,
    "dlp_window": WindowStruct,
    "dlp_destination": DestinationStruct,
    "dlp_policy": PolicyStruct,
    "dlp_binding": BindingStruct,
    "dlp_who": WhoStruct,
    "dlp_settings": SettingsStruct,
    "dlp_constants": ConstantsStruct,
    "dlp_flow_key": FlowKeyStruct,
    "dlp_flow": FlowStruct,
    "dlp_counted": CountedStruct,
    "dlp_word": WordStruct,
    "dlp_block": BlockStruct,
    "dlp_guard": GuardStruct,
    "dlp_datagram": DatagramStruct,
    "dlp_bucket": BucketStruct,
    "dlp_seen_key": SeenKeyStruct,
    "dlp_exception_key": ExceptionKeyStruct,
    "dlp_counters": CountersStruct,
    "dlp_event": EventStruct,
    "dlp_payload": PayloadStruct,
}
